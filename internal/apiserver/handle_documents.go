package apiserver

import (
	"context"
	"slices"
	"strconv"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/policy"
)

func (s *Server) apply(ctx context.Context, c call, in *struct{ Body api.Apply }) (*reply[api.Applied], error) {
	files := filesOf(in.Body.Files)
	done, err := s.broker.Apply(ctx, c.asked(nil), files, in.Body.DryRun)
	if err != nil {
		return nil, err
	}
	out := api.Applied{Version: done.Version, DryRun: in.Body.DryRun, Changes: []api.Change{}, Warnings: problems(done.Warnings)}
	docs, err := policy.Parse(files) // again, for the lines; it has succeeded before
	if err != nil {
		return nil, err
	}
	at := map[string]string{}
	for _, d := range docs {
		at[d.Kind+" "+d.Name] = source(d.File, d.Line)
	}
	for _, ch := range done.Changes {
		out.Changes = append(out.Changes, api.Change{Kind: ch.Kind, Name: ch.Name, Action: string(ch.Op), Source: at[ch.Kind+" "+ch.Name]})
	}
	out.Second, out.Alone = graves(done.Grave), done.Alone
	if done.Proposal != nil {
		out.Proposal = toProposal(broker.ProposalView{Proposal: *done.Proposal, State: done.Proposal.State})
	}
	more, err := s.unregistered(ctx, c, docs)
	if err != nil { // what was asked for is done
		s.log.Warn("documents were applied and their credentials not looked for", "error", err)
	}
	out.Warnings = append(out.Warnings, more...)
	return answer(out), nil
}

type deleteIn struct {
	ByName
	Revoke bool `query:"revoke" doc:"End the live grants that hold it, in the same step"`
}

func (s *Server) deleteResource(ctx context.Context, c call, in *deleteIn) (*reply[api.Deleted], error) {
	return s.remove(ctx, c, policy.KindResource, in)
}

func (s *Server) deleteRole(ctx context.Context, c call, in *deleteIn) (*reply[api.Deleted], error) {
	return s.remove(ctx, c, policy.KindRole, in)
}

func (s *Server) deletePolicy(ctx context.Context, c call, in *deleteIn) (*reply[api.Deleted], error) {
	return s.remove(ctx, c, policy.KindPolicy, in)
}

func (s *Server) remove(ctx context.Context, c call, kind string, in *deleteIn) (*reply[api.Deleted], error) {
	who := c.asked(nil)
	done, err := s.broker.Delete(ctx, who, kind, in.Name, in.Revoke)
	if err != nil {
		return nil, err
	}
	if done.Proposal != nil {
		return answer(api.Deleted{Version: done.Version, Change: api.Change{Kind: kind, Name: in.Name, Action: "unchanged"}, Grants: []string{},
			Proposal: toProposal(broker.ProposalView{Proposal: *done.Proposal, State: done.Proposal.State})}), nil
	}
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	out := api.Deleted{Version: set.Version(), Change: api.Change{Kind: kind, Name: in.Name, Action: "deleted"}, Grants: []string{}}
	q := access.GrantQuery{States: []access.GrantState{access.Ending}, Limit: 1000}
	switch {
	case !in.Revoke:
		return answer(out), nil
	case kind == policy.KindResource:
		q.Resource = access.ResourceName(in.Name)
	case kind == policy.KindRole:
		q.Role = access.RoleName(in.Name)
	default:
		return answer(out), nil
	}
	out.Grants, err = s.grantIDs(ctx, who, q)
	if err != nil {
		return nil, err
	}
	return answer(out), nil
}

func (s *Server) grantIDs(ctx context.Context, who broker.Caller, q access.GrantQuery) ([]string, error) {
	vs, err := s.broker.Grants(ctx, who, q)
	ids := make([]string, 0, len(vs))
	for _, v := range vs {
		ids = append(ids, string(v.Grant.ID))
	}
	return ids, err
}

func (s *Server) listResources(ctx context.Context, c call, in *Paging) (*reply[api.Page[api.Resource]], error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	live, err := s.liveBy(ctx, c, func(v broker.View) []string {
		var names []string
		for _, t := range v.Grant.Targets {
			names = append(names, string(t.Resource))
		}
		return names
	})
	if err != nil {
		return nil, err
	}
	return pageOf(set.Resources(), *in, func(r policy.Resource) api.Resource { return toResource(r, live[string(r.Name)]) })
}

func (s *Server) getResource(ctx context.Context, c call, in *ByName) (*reply[api.Resource], error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	r, ok := set.Resource(access.ResourceName(in.Name))
	if !ok {
		return nil, noSuch("resource", in.Name, namesOf(set.Resources(), func(r policy.Resource) access.ResourceName { return r.Name }))
	}
	vs, err := s.broker.Grants(ctx, c.asked(nil), access.GrantQuery{Resource: r.Name, States: liveStates, Limit: 1000})
	if err != nil {
		return nil, err
	}
	return answer(toResource(r, len(vs))), nil
}

func (s *Server) checkResource(ctx context.Context, c call, in *ByName) (*reply[api.CheckReport], error) {
	got, err := s.broker.CheckResource(ctx, c.asked(nil), access.ResourceName(in.Name))
	if err != nil {
		return nil, err
	}
	out := api.CheckReport{Resource: in.Name, OK: got.OK(), Steps: []api.CheckStep{}}
	for _, st := range got.Steps {
		out.Steps = append(out.Steps, api.CheckStep{Name: st.Name, OK: st.OK, Detail: st.Detail, Fix: st.Fix})
	}
	return answer(out), nil
}

func (s *Server) sweepResource(ctx context.Context, c call, in *struct {
	ByName
	Body api.SweepAsk
}) (*reply[api.SweepReport], error) {
	got, err := s.broker.Sweep(ctx, c.asked(nil), access.ResourceName(in.Name), in.Body.Remove, in.Body.Why)
	if err != nil {
		return nil, err
	}
	list := func(xs []string) []string { return append([]string{}, xs...) } // never null on the wire
	return answer(api.SweepReport{Resource: in.Name, Standing: list(got.Standing), Foreign: list(slices.Concat(got.Foreign, got.Unsure)), Unwanted: list(got.Unwanted), Ordered: got.Ordered}), nil
}

func (s *Server) listRoles(ctx context.Context, _ call, in *Paging) (*reply[api.Page[api.Role]], error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(set.Roles(), *in, toRole)
}

func (s *Server) getRole(ctx context.Context, _ call, in *ByName) (*reply[api.Role], error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	r, ok := set.Role(access.RoleName(in.Name))
	if !ok {
		return nil, noSuch("role", in.Name, namesOf(set.Roles(), func(r policy.Role) access.RoleName { return r.Name }))
	}
	return answer(toRole(r)), nil
}

func (s *Server) listPolicies(ctx context.Context, _ call, in *Paging) (*reply[api.Page[api.Policy]], error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(set.Policies(), *in, toPolicy)
}

func (s *Server) getPolicy(ctx context.Context, _ call, in *ByName) (*reply[api.Policy], error) {
	set, err := s.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range set.Policies() {
		if string(r.Name) == in.Name {
			return answer(toPolicy(r)), nil
		}
	}
	return nil, noSuch("policy", in.Name, namesOf(set.Policies(), func(r policy.Rule) access.PolicyName { return r.Name }))
}

type whoIn struct {
	Paging
	Resource string `query:"resource" required:"true" minLength:"1" maxLength:"63"`
	Role     string `query:"role" maxLength:"63"`
}

func (s *Server) whoCan(ctx context.Context, c call, in *whoIn) (*reply[api.Page[api.CanRow]], error) {
	rows, err := s.broker.WhoCan(ctx, c.asked(nil), access.ResourceName(in.Resource), access.RoleName(in.Role))
	if err != nil {
		return nil, err
	}
	return pageOf(rows, in.Paging, func(e policy.Eligible) api.CanRow { return toCanRow(in.Resource, e) })
}

func (s *Server) whoHas(ctx context.Context, c call, in *whoIn) (*reply[api.Page[api.HasRow]], error) {
	vs, err := s.broker.WhoHas(ctx, c.asked(nil), access.ResourceName(in.Resource))
	if err != nil {
		return nil, err
	}
	vs = slices.DeleteFunc(vs, func(v broker.View) bool { return in.Role != "" && string(v.Request.Role) != in.Role })
	return pageOf(vs, in.Paging, func(v broker.View) api.HasRow { return toHasRow(in.Resource, v) })
}

var liveStates = []access.GrantState{access.Scheduled, access.Provisioning, access.Active, access.Ending}

// liveBy counts the live grants that the caller may see, by names of theirs. It
// looks at a thousand at most: the number is a hint beside a list.
func (s *Server) liveBy(ctx context.Context, c call, names func(broker.View) []string) (map[string]int, error) {
	vs, err := s.broker.Grants(ctx, c.asked(nil), access.GrantQuery{States: liveStates, Limit: 1000})
	if err != nil {
		return nil, err
	}
	n := map[string]int{}
	for _, v := range vs {
		for _, name := range names(v) {
			n[name]++
		}
	}
	return n, nil
}

// pageOf cuts a list that is in memory anyway; its cursor is a position.
func pageOf[T, U any](all []T, in Paging, to func(T) U) (*reply[api.Page[U]], error) {
	from := 0
	if in.Cursor != "" {
		n, err := strconv.Atoi(in.Cursor)
		if err != nil || n < 0 {
			return nil, access.Fail(access.Invalid, "bad-cursor", "the cursor is not one of this list").Try("use the next of the page before")
		}
		from = min(n, len(all))
	}
	end := min(from+in.Limit, len(all))
	page := api.Page[U]{Items: make([]U, 0, end-from)}
	for _, x := range all[from:end] {
		page.Items = append(page.Items, to(x))
	}
	if end < len(all) {
		page.Next = strconv.Itoa(end)
	}
	return answer(page), nil
}

// noSuch names the nearest that there is.
func noSuch[S ~string](what, name string, known []S) error {
	next := policy.DidYouMean(name, known)
	if next == "" {
		next = "stint get " + plurals[what] + " lists what there is"
	}
	return access.Fail(access.NotFound, "no-such-"+what, "there is no "+what+" "+strconv.QuoteToASCII(name)).Try(next)
}

var plurals = map[string]string{"schedule": "schedules", "integration": "integrations", "resource": "resources", "role": "roles", "policy": "policies", "user": "users", "workload": "workloads", "bundle": "bundles"}

func namesOf[T any, S ~string](all []T, name func(T) S) []S {
	names := make([]S, len(all))
	for i, x := range all {
		names[i] = name(x)
	}
	return names
}
