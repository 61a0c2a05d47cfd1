package storetest

import (
	"context"
	"errors"
	"testing"

	"stint/internal/access"
)

// proposals are kept whole, listed by pages, and take two persons whatever a program does.
func proposals(t *testing.T, s Store) {
	by := access.Actor{Principal: "user:ada", Person: "ada"}
	bea := access.Principal{ID: "user:bea", Person: "bea"}
	var all []access.Proposal
	for i := range 5 {
		update(t, s, func(tx Tx) error {
			p, ev, err := access.Propose(access.Proposal{ID: access.NewProposalID(tx.Now().UnixMilli()+int64(i), entropy()), Kind: access.ProposesDocuments, Principal: by.Principal,
				Person: by.Person, Base: int64(i), Content: []byte{'[', ']', byte(i)}, Summary: "created Policy p", Why: []string{"it reaches db"}}, by, tx.Now())
			if err != nil {
				return err
			}
			all = append(all, p)
			return errors.Join(tx.SaveProposals(p), tx.Append(ev))
		})
	}
	p := all[2]
	diff(t, read(t, s, func(tx Tx) (access.Proposal, error) { return tx.Proposal(p.ID) }), p)
	page := read(t, s, func(tx Tx) ([]access.Proposal, error) {
		return tx.Proposals(access.ProposalQuery{Person: "ada", States: []access.ProposalState{access.ProposalPending}, Before: all[4].ID, Limit: 2})
	})
	diff(t, page, []access.Proposal{all[3], all[2]})

	diff(t, read(t, s, func(tx Tx) ([]access.Proposal, error) {
		return tx.Proposals(access.ProposalQuery{Prefix: string(p.ID)})
	}), []access.Proposal{p})
	if none := read(t, s, func(tx Tx) ([]access.Proposal, error) { return tx.Proposals(access.ProposalQuery{Prefix: "prp_ZZZZ"}) }); len(none) != 0 {
		t.Errorf("%d proposals begin with what none begins with", len(none))
	}

	change := func(bend func(*access.Proposal)) error {
		return s.Update(context.Background(), func(tx Tx) error {
			q := p
			bend(&q)
			return tx.SaveProposals(q)
		})
	}
	for name, bend := range map[string]func(*access.Proposal){
		"other content":          func(q *access.Proposal) { q.Version, q.Content = 2, []byte("{}") },
		"another digest":         func(q *access.Proposal) { q.Version, q.Digest = 2, access.Digest{1} },
		"another base":           func(q *access.Proposal) { q.Version, q.Base = 2, 9 },
		"another person":         func(q *access.Proposal) { q.Version, q.Person = 2, "bea" },
		"applied unapproved":     func(q *access.Proposal) { q.Version, q.State, q.DecidedPerson = 2, access.ProposalApplied, "bea" },
		"approved by nobody":     func(q *access.Proposal) { q.Version, q.State = 2, access.ProposalApproved },
		"approved by themselves": func(q *access.Proposal) { q.Version, q.State, q.DecidedPerson = 2, access.ProposalApproved, "ada" },
		"a version skipped":      func(q *access.Proposal) { q.Version, q.Note = 3, "x" },
		"born approved": func(q *access.Proposal) {
			q.ID, q.State, q.DecidedPerson = "prp_01AAAAAAAAAAAAAAAAAAAAAAAA", access.ProposalApproved, "bea"
		},
	} {
		if err := change(bend); err == nil {
			t.Errorf("%s: the store takes it", name)
		}
	}
	update(t, s, func(tx Tx) error {
		yes, ev, err := p.Approve(bea, access.Actor{Principal: bea.ID, Person: bea.Person}, p.Digest, "fine", tx.Now())
		if err != nil {
			return err
		}
		done, last, err := yes.Carried(7, access.Actor{Principal: bea.ID, Person: bea.Person}, tx.Now())
		if err != nil {
			return err
		}
		p = done
		return errors.Join(tx.SaveProposals(yes), tx.SaveProposals(done), tx.Append(ev, last))
	})
	diff(t, read(t, s, func(tx Tx) (access.Proposal, error) { return tx.Proposal(p.ID) }), p)
	if err := change(func(q *access.Proposal) { q.Version, q.State = 4, access.ProposalPending }); err == nil {
		t.Error("a proposal that was applied is open again")
	}
	if err := s.View(context.Background(), func(tx Tx) error { _, err := tx.Proposal("prp_none"); return err }); !errors.Is(err, access.NotFound) {
		t.Errorf("a proposal that is not there: %v", err)
	}
}
