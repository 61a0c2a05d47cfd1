package apiserver

import (
	"context"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/directory"
	"stint/internal/policy"
	"stint/internal/provision"
)

func (s *Server) showDirectory(ctx context.Context, _ call, in *ByName) (*reply[api.Directory], error) {
	if _, err := s.directory(ctx, in.Name); err != nil {
		return nil, err
	}
	states, err := s.people.States(ctx)
	if err != nil {
		return nil, err
	}
	st := states[in.Name]
	out := api.Directory{Integration: in.Name, ReadAt: api.At(st.Read), WholeAt: api.At(st.Whole), TookMS: st.Took, Trouble: st.Why, Since: api.At(st.Since),
		Users: st.Users, Groups: st.Groups, Problems: toProblems(st.Problems), More: st.More, Answered: st.Answered}
	if h := st.Held; h != nil {
		out.Held = &api.DirectoryHeld{Confirm: h.Digest, Gone: h.Gone, Of: h.Known, Sample: append([]string{}, h.Sample...)}
	}
	return answer(out), nil
}

func toProblems(all []directory.Problem) []api.DirectoryProblem {
	out := []api.DirectoryProblem{}
	for _, p := range all {
		out = append(out, api.DirectoryProblem{Entry: p.Entry, Why: p.Why})
	}
	return out
}

type syncIn struct {
	ByName
	Body api.DirectorySync
}

func (s *Server) syncDirectory(ctx context.Context, c call, in *syncIn) (*reply[api.DirectoryOrdered], error) {
	if _, err := s.directory(ctx, in.Name); err != nil {
		return nil, err
	}
	n, err := s.people.Order(ctx, c.Actor, in.Name, in.Body.Confirm)
	if err != nil {
		return nil, err
	}
	return answer(api.DirectoryOrdered{Integration: in.Name, Order: n}), nil
}

type tryIn struct {
	ByName
	Body api.DirectoryTest
}

// problemsShown is how many problems a trial names.
const problemsShown = 20

func (s *Server) tryDirectory(ctx context.Context, c call, in *tryIn) (*reply[api.DirectoryTested], error) {
	t, _, err := s.readDirectory(ctx, c, in.Name, in.Body.Name)
	if err != nil {
		return nil, err
	}
	out := api.DirectoryTested{Integration: in.Name, Users: t.Users, Active: t.Active, Groups: t.Groups, Memberships: t.Memberships,
		TookMS: t.Took.Milliseconds(), Found: []api.DirectoryPerson{}}
	if out.More = len(t.Problems) - problemsShown; out.More > 0 {
		t.Problems = t.Problems[:problemsShown]
	} else {
		out.More = 0
	}
	out.Problems = toProblems(t.Problems)
	for _, u := range t.Found {
		out.Found = append(out.Found, api.DirectoryPerson{Name: u.Name, Subject: u.Subject, Active: u.Active, Groups: append([]string{}, t.In...)})
	}
	return answer(out), nil
}

// readDirectory reads one as a trial, and reports whether there is a record of it.
func (s *Server) readDirectory(ctx context.Context, c call, name, user string) (t provision.Trial, recorded bool, err error) {
	i, err := s.directory(ctx, name)
	if err != nil {
		return t, false, err
	}
	t, failed := s.people.Try(ctx, i, user)
	if err := s.broker.TriedIntegration(ctx, c.asked(nil), name, failed); err != nil {
		return t, false, err
	}
	return t, true, failed
}

// directory is the integration of that name, if it is one that is read.
func (s *Server) directory(ctx context.Context, name string) (policy.Integration, error) {
	if s.people == nil {
		return policy.Integration{}, access.Fail(access.NotFound, "no-directories", "this server reads no directories").
			Try("describe one in a document of kind Integration and type directory: stint apply -f FILE")
	}
	return s.integration(ctx, name, directory.Type)
}
