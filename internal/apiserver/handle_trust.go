package apiserver

import (
	"context"
	"crypto/sha256"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/envelope"
	"stint/internal/sshcert"
	"stint/internal/sshcert/lint"
)

// renewHostBefore is how long the certificate of a host must still be good to be given
// out once more. It is most of its life, so that a host that is away for days has one
// that is good when it comes back.
const renewHostBefore = 4 * 24 * time.Hour

type trustIn struct{ Body api.HostAsk }

// trustOfHost says what the sshd of the host that asks shall believe and show.
func (s *Server) trustOfHost(ctx context.Context, c call, in *trustIn) (*reply[api.HostTrust], error) {
	out, err := s.trustOf(ctx, c.host, in.Body)
	if err != nil {
		return nil, err
	}
	return answer(out), nil
}

// trustOf signs what the sshd of a host shall believe and show, in answer to one question.
// Where no certificate can be made now, the one before is given while it is good, and
// else none: the list of what ended early must not wait for that.
func (s *Server) trustOf(ctx context.Context, h access.Host, ask api.HostAsk) (api.HostTrust, error) {
	if s.ssh.Users == nil || s.ssh.Hosts == nil {
		return api.HostTrust{}, noAuthority()
	}
	keys, err := hostKeys(ask.SSHKeys)
	if err != nil {
		return api.HostTrust{}, err
	}
	// What ended early is told to the host also where its ceiling cannot be kept.
	ceiling, err := ceilingIn(ask.Ceiling)
	kept := h
	if err == nil {
		kept, err = s.hosts.Register.KeepCeiling(ctx, h, ceiling)
	}
	if err == nil {
		h = kept
	} else {
		s.log.Warn("what a host lets be done cannot be kept", "host", h.Name, "error", err)
	}
	h.SSHKeys = nil
	if len(keys) > 0 { // an agent that cannot ask its sshd says none, and what it said before stays
		if h, err = s.hosts.Register.KeepKeys(ctx, h.Agent, keys); err != nil {
			return api.HostTrust{}, err
		}
		if h.SSHKeys, err = s.certifyKeysSoon(ctx, h); err != nil {
			s.log.Warn("a host has no certificate, or not the one that it should have", "host", h.Name, "error", err)
		}
	}
	list, err := s.revokedList(ctx)
	if err != nil {
		return api.HostTrust{}, err
	}
	place, lent, err := s.placeOf(ctx, h.Name)
	if err != nil {
		return api.HostTrust{}, err
	}
	var ends []envelope.End
	if lent {
		for _, x := range ask.Ended {
			if id, ok := s.broker.Tagged(place, access.Tag(x.Tag)); ok {
				if err := s.hosts.Register.Ended(ctx, h, access.EndedAlone{Tag: access.Tag(x.Tag), Entitlement: id, At: x.At.Time}); err != nil {
					return api.HostTrust{}, err
				}
			}
		}
		all, err := s.broker.HostEnds(ctx, place)
		if err != nil {
			return api.HostTrust{}, err
		}
		for _, e := range all {
			ends = append(ends, envelope.End{Tag: string(e.Tag), Told: e.Told, End: e.End})
		}
	}
	sum := sha256.Sum256(list)
	t := envelope.Trust{Installation: s.hosts.Installation, Host: h.Name, Nonce: ask.Nonce, IssuedAt: s.now(), Revoked: sum[:], Ends: ends, Users: []string{}, Certificates: []string{}}
	for _, k := range s.ssh.Users.Keys() {
		t.Users = append(t.Users, k.Line())
	}
	for _, k := range h.SSHKeys {
		if !s.now().Before(k.NotAfter) {
			k.Certificate = ""
		}
		t.Certificates = append(t.Certificates, k.Certificate)
	}
	text, err := t.Seal(s.hosts.Orders)
	if err != nil {
		return api.HostTrust{}, err
	}
	return api.HostTrust{Trust: string(text), Revoked: list}, nil
}

// ceilingIn reads what a host says that it lets be done.
func ceilingIn(c *api.HostCeiling) (*access.Ceiling, error) {
	if c == nil {
		return nil, nil
	}
	out := &access.Ceiling{Why: c.Why, Untold: c.Untold}
	for _, r := range c.Rules {
		x := access.CeilingRule{Accounts: r.Accounts, Rights: r.Rights, RunAs: r.RunAs, Approvals: r.Approvals, Level: access.LevelClient}
		for _, m := range r.Mechanisms {
			x.Mechanisms = append(x.Mechanisms, access.Mechanism(m))
		}
		var err error
		if x.Longest, err = api.ParseDuration(r.Longest); err != nil {
			return nil, err
		}
		if r.Approvals > 0 {
			if x.Level, err = access.ParseLevel(r.Level); err != nil {
				return nil, err
			}
			if x.Fresh, err = api.ParseDuration(r.Fresh); err != nil {
				return nil, err
			}
		}
		out.Rules = append(out.Rules, x)
	}
	return out, nil
}

// hostKeys reads the keys that a host shows.
func hostKeys(lines []string) ([]access.HostKey, error) {
	if len(lines) > envelope.MaxHostKeys {
		return nil, access.Fail(access.Invalid, "too-many-keys", "a host shows more keys than are taken")
	}
	var out []access.HostKey
	for _, l := range lines {
		k, err := sshcert.ParseKey(l)
		if err != nil {
			return nil, badKey(err)
		}
		out = append(out, access.HostKey{Line: k.Line(), Fingerprint: k.Fingerprint()})
	}
	return out, nil
}

// A key that is held elsewhere may take its time, and what ended early is in the same
// answer: the host is answered without certificates then, and finds them when it asks next.
const (
	certifySoon   = time.Second
	certifyWithin = 30 * time.Second
)

// certifyKeysSoon is certifyKeys, and waits for no key that is held elsewhere.
func (s *Server) certifyKeysSoon(ctx context.Context, h access.Host) ([]access.HostKey, error) {
	if !s.ssh.Hosts.Remote() {
		return s.certifyKeys(ctx, h)
	}
	if !s.certifying.begin(h.Agent) { // asked again while the key still thinks
		return h.SSHKeys, nil
	}
	type result struct {
		keys []access.HostKey
		err  error
	}
	made := make(chan result, 1)
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), certifyWithin)
	release := context.AfterFunc(s.holding, cancel) // the server stops, and waits for it
	go func() {
		defer s.certifying.end(h.Agent)
		defer cancel()
		defer release()
		keys, err := s.certifyKeys(own, h)
		made <- result{keys, err}
	}()
	soon := time.NewTimer(certifySoon)
	defer soon.Stop()
	select {
	case r := <-made:
		return r.keys, r.err
	case <-soon.C:
		return h.SSHKeys, nil
	case <-ctx.Done():
		return h.SSHKeys, ctx.Err()
	}
}

// hostsAtWork are the hosts whose keys are being certified.
type hostsAtWork struct {
	mu      sync.Mutex
	hosts   map[access.DeviceID]bool
	stopped bool // nothing begins any more
	all     sync.WaitGroup
}

// stop waits until nothing is at work any more.
func (b *hostsAtWork) stop() {
	b.mu.Lock()
	b.stopped = true
	b.mu.Unlock()
	b.all.Wait()
}

func (b *hostsAtWork) begin(host access.DeviceID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hosts[host] || b.stopped {
		return false
	}
	if b.hosts == nil {
		b.hosts = map[access.DeviceID]bool{}
	}
	b.hosts[host] = true
	b.all.Add(1)
	return true
}

func (b *hostsAtWork) end(host access.DeviceID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.hosts, host)
	b.all.Done()
}

// certifyKeys gives the keys of a host with certificates that are good for days yet, and
// has those made that there are not.
func (s *Server) certifyKeys(ctx context.Context, h access.Host) ([]access.HostKey, error) {
	resource, names, err := s.namesOf(ctx, h.Name)
	if err != nil || len(names) == 0 {
		return h.SSHKeys, err
	}
	signs := s.ssh.Hosts.Keys()[0].Fingerprint()
	keys, made := slices.Clone(h.SSHKeys), []access.HostKey{}
	for i, k := range keys {
		if k.Certificate != "" && k.Authority == signs && slices.Equal(k.Principals, names) && k.NotAfter.Sub(s.now()) > renewHostBefore {
			continue
		}
		cert, err := s.CertifyHost(ctx, access.System, resource, names, k.Line)
		if err != nil {
			return h.SSHKeys, err
		}
		keys[i] = access.HostKey{Line: k.Line, Fingerprint: k.Fingerprint, Certificate: cert.Certificate, Authority: signs, Principals: names, NotAfter: cert.NotAfter, Resource: resource}
		made = append(made, keys[i])
	}
	// One that is not kept is made again the next time: it is of no harm meanwhile.
	if err := s.hosts.Register.KeepCertificates(ctx, h.Agent, made); err != nil {
		return h.SSHKeys, err
	}
	return keys, nil
}

// placeOf is where the resources of a host are; lent says whether there are any.
func (s *Server) placeOf(ctx context.Context, name string) (place access.Place, lent bool, err error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return "", false, err
	}
	for _, r := range set.Resources() {
		if r.Connection.Credential == "" && r.Connection.Address == name {
			return r.Connection.Place(), true, nil
		}
	}
	return "", false, nil
}

// namesOf are the names that clients call a host by, from the documents alone: what an
// agent says of itself is no reason to certify a name. The host's own, with its port,
// is among them, so that two on one machine can be told apart.
func (s *Server) namesOf(ctx context.Context, name string) (resource access.ResourceName, names []string, err error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return "", nil, err
	}
	for _, r := range set.Resources() {
		if r.Connection.Credential == "" && r.Connection.Address == name && (resource == "" || r.Name < resource) {
			resource = r.Name
		}
	}
	at, _, err := net.SplitHostPort(name)
	if resource == "" || err != nil {
		return "", nil, nil // nobody connects to it
	}
	for _, n := range []string{strings.ToLower(at), strings.ToLower(name)} {
		if lint.Principal(lint.Host, n) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return resource, slices.Compact(names), nil
}

// disown takes back the certificates of keys that are no host's any more.
func (s *Server) disown(ctx context.Context, by access.Actor, keys []access.HostKey, why string) error {
	var done []access.ResourceName
	for _, k := range keys {
		if k.Resource == "" || slices.Contains(done, k.Resource) {
			continue
		}
		done = append(done, k.Resource)
		if err := s.broker.RevokeHostCertificates(ctx, by, k.Resource, why); err != nil {
			return err
		}
	}
	return nil
}
