package apiserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/ident"
	"stint/internal/policy"
	"stint/internal/workload"
)

// still refuses a call by a workload's login that is nothing any more: the certificate
// that it is bound to is not there, or the documents do not say of it what they did.
func (s *Server) still(r *http.Request, l access.Login) error {
	if l.Exchange == nil {
		return nil
	}
	if want := l.Exchange.Certificate; want != (access.Digest{}) {
		if err := s.lent(r); err != nil {
			return err
		}
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || sha256.Sum256(r.TLS.VerifiedChains[0][0].Raw) != want {
			return access.Fail(access.Unauthenticated, "not-signed-in", "there is no such login on this device").
				Because("a login by certificate is good only on connections with that certificate").Try("exchange again")
		}
	}
	set, err := s.broker.Documents(r.Context())
	if err != nil {
		return err
	}
	why := unfit(set, l)
	if why == "" {
		return nil
	}
	if err := s.endWorkload(r.Context(), l, why); err != nil {
		s.log.Warn("a workload's login could not be ended; it is refused all the same", "login", l.Name(), "error", err)
	}
	return access.Fail(access.Unauthenticated, "login-ended", "the login has ended").Because(why)
}

// unfit says why no document makes of a login what it is; empty when one does.
func unfit(set *policy.Set, l access.Login) string {
	x := *l.Exchange
	if x.Integration != "" {
		i, ok := set.Integration(x.Integration)
		if !ok {
			return "the integration " + x.Integration + " is gone"
		}
		at := issuerOf(i)
		issuer := at.Address
		if i.Type == workload.TypeSPIFFE {
			issuer = "spiffe://" + at.Domain
		}
		if issuer != x.Issuer || !slices.Contains(at.Audiences, x.Audience) {
			return "the integration " + x.Integration + " is not what it was"
		}
	}
	for _, w := range set.Workloads() {
		if w.Service == l.Principal && w.Fits(x) {
			return ""
		}
	}
	return "no document says any more that this workload is " + string(l.Principal)
}

// endWorkload ends a login, and what was asked for with it. The login goes last: where
// it has ended, nothing of it is left.
func (s *Server) endWorkload(ctx context.Context, l access.Login, why string) error {
	if err := s.broker.EndWorkload(ctx, l, why); err != nil {
		return err
	}
	return s.ident.EndWorkload(ctx, l, why)
}

const (
	// lookEvery is how often it is seen whether the documents have changed, and
	// lookAnyway after how long all logins are compared even if they have not.
	lookEvery  = time.Second
	lookAnyway = time.Minute
)

// WatchWorkloads ends the logins of workloads, and what is held by them, when documents
// change so that they no longer fit. It returns when ctx is done.
func (s *Server) WatchWorkloads(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	version, at := int64(-1), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			set, err := s.broker.Documents(ctx)
			if err != nil || set.Version() == version && now.Sub(at) < lookAnyway {
				continue // the store is away: then nobody is let in by it either
			}
			if err := s.EndUnfit(ctx, set, set.Version() != version); err != nil {
				if ctx.Err() == nil {
					s.log.Warn("the logins of workloads were not all compared; tried again", "error", err)
				}
				continue
			}
			version, at = set.Version(), now
		}
	}
}

// EndUnfit ends what fits no document of the set: logins that are good, and with held
// also the access of those that have ended before their access does.
func (s *Server) EndUnfit(ctx context.Context, set *policy.Set, held bool) error {
	logins, err := s.ident.Workloads(ctx)
	troubles := []error{err}
	if held {
		more, err := s.holders(ctx)
		logins, troubles = append(logins, more...), append(troubles, err)
	}
	done := map[access.Digest]bool{}
	for _, l := range logins {
		if done[l.Token] {
			continue
		}
		done[l.Token] = true
		why := unfit(set, l)
		if why == "" {
			continue
		}
		if err := s.endWorkload(ctx, l, why); err != nil {
			troubles = append(troubles, err) // the others end all the same
			continue
		}
		s.log.Info("a workload's login has ended", "login", l.Name(), "principal", l.Principal, "why", why)
	}
	return errors.Join(troubles...)
}

// holders are the logins by which services hold what they hold now: of each grant the
// newest of its device, whether it is good or not.
func (s *Server) holders(ctx context.Context) (logins []access.Login, err error) {
	self := broker.Caller{Principal: access.Principal{ID: access.System.Principal, Auditor: true}}
	services, err := s.broker.Principals(ctx, self, access.Service)
	if err != nil {
		return nil, err
	}
	for _, p := range services {
		var own []access.Login // read when there is something to compare with
		for q := (access.GrantQuery{Principal: p.ID, States: []access.GrantState{access.Scheduled, access.Provisioning, access.Active}, Limit: 1000}); ; {
			vs, err := s.broker.Grants(ctx, self, q)
			if err != nil {
				return nil, err
			}
			if len(vs) > 0 && own == nil {
				if own, err = s.ident.WorkloadsOf(ctx, p.ID); err != nil {
					return nil, err
				}
			}
			for _, v := range vs {
				for _, l := range slices.Backward(own) {
					if l.Auth.Provider == v.Grant.Source.Auth.Provider && (l.Device == "" || l.Device == v.Grant.Device) {
						logins = append(logins, l)
						break
					}
				}
			}
			if len(vs) < q.Limit {
				break
			}
			q.Before = vs[len(vs)-1].Grant.ID
		}
	}
	return logins, nil
}

func (s *Server) listWorkloads(ctx context.Context, _ call, in *Paging) (*reply[api.Page[api.Workload]], error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(set.Workloads(), *in, toWorkload)
}

func (s *Server) getWorkload(ctx context.Context, _ call, in *ByName) (*reply[api.Workload], error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	w, ok := set.Workload(in.Name)
	if !ok {
		return nil, noSuch("workload", in.Name, namesOf(set.Workloads(), func(w policy.Workload) string { return w.Name }))
	}
	return answer(toWorkload(w)), nil
}

func (s *Server) deleteWorkload(ctx context.Context, c call, in *ByName) (*reply[api.Deleted], error) {
	return s.remove(ctx, c, policy.KindWorkload, &deleteIn{ByName: *in})
}

func toWorkload(w policy.Workload) api.Workload {
	out := api.Workload{Name: w.Name, Description: w.Description, Service: w.Service.Name(), Integration: w.Integration, URI: w.Certificate.URI, DNS: w.Certificate.DNS,
		Claims: map[string][]string{}, Like: map[string][]string{}, Source: w.Source}
	for _, c := range w.Conditions {
		if len(c.Is) > 0 {
			out.Claims[c.Claim] = c.Is
		} else {
			out.Like[c.Claim] = c.Like
		}
	}
	return out
}

func (s *Server) listServices(ctx context.Context, _ call, in *Paging) (*reply[api.Page[api.Service]], error) {
	all, now, err := s.ident.Services(ctx)
	if err != nil {
		return nil, err
	}
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(all, *in, func(v ident.ServiceView) api.Service { return toService(v, set, now) })
}

func toService(v ident.ServiceView, set *policy.Set, now time.Time) api.Service {
	p := v.Principal
	out := api.Service{Name: p.ID.Name(), Owner: string(p.Person), Groups: []string{}, Disabled: p.Disabled, CreatedAt: api.At(p.CreatedAt), Until: api.At(p.Until),
		LastUsed: api.At(v.LastUsed), Tokens: []api.ServiceToken{}, Workloads: []string{}, Logins: v.Logins, Remarks: []string{}}
	for _, g := range p.Groups {
		out.Groups = append(out.Groups, string(g))
	}
	for _, l := range v.Tokens {
		out.Tokens = append(out.Tokens, api.ServiceToken{Name: l.Name(), CreatedAt: api.At(l.CreatedAt), LastUsed: api.At(l.SeenAt), ExpiresAt: api.At(l.ExpiresAt)})
	}
	for _, w := range set.Workloads() {
		if w.Service == p.ID {
			out.Workloads = append(out.Workloads, w.Name)
		}
	}
	out.Remarks = append(out.Remarks, v.Remarks(now, len(out.Workloads))...)
	return out
}
