package simstore

import (
	"cmp"
	"slices"
	"strings"

	"stint/internal/access"
)

// PrincipalsNamed lists so many of those whose id has all the parts in it, by name.
func (tx *Tx) PrincipalsNamed(parts []string, limit int) ([]access.Principal, error) {
	found, err := tx.partiesThat(func(p access.Principal) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(string(p.ID), part) })
	})
	return found[:min(len(found), limit)], err
}

// PrincipalsOf lists the vendors and agents that a principal answers for, by name.
func (tx *Tx) PrincipalsOf(by access.PrincipalID) ([]access.Principal, error) {
	return tx.partiesThat(func(p access.Principal) bool { return by != "" && p.AnsweredBy() == by })
}

// DueContracts are the vendors whose contract is over and who are not disabled yet.
func (tx *Tx) DueContracts(limit int) ([]access.Principal, error) {
	found, err := tx.partiesThat(func(p access.Principal) bool {
		return p.Sponsor != "" && !p.Disabled && !p.Until.After(tx.now)
	})
	slices.SortStableFunc(found, func(a, b access.Principal) int { return a.Until.Compare(b.Until) })
	return found[:min(len(found), limit)], err
}

func (tx *Tx) partiesThat(are func(access.Principal) bool) (found []access.Principal, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for _, p := range tx.s.people.principals {
		if are(p) {
			found = append(found, clonePrincipal(p))
		}
	}
	slices.SortFunc(found, func(a, b access.Principal) int { return cmp.Compare(a.ID, b.ID) })
	return found, nil
}

// Task reads a task of an agent.
func (tx *Tx) Task(agent access.PrincipalID, id access.TaskID) (access.Task, error) {
	if tx.err != nil {
		return access.Task{}, tx.err
	}
	t, there := tx.s.tasks[access.TaskKey(agent, id)]
	if !there {
		return access.Task{}, missing("task")
	}
	return t, nil
}

// Tasks lists tasks, by agent and then by name.
func (tx *Tx) Tasks(q access.TaskQuery) (found []access.Task, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for key, t := range tx.s.tasks {
		if (q.Agent == "" || t.Agent == q.Agent) && (q.After == "" || key > q.After) && (!q.Open || t.EndedAt.IsZero() && t.EndsAt.After(tx.now)) {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, func(a, b access.Task) int { return cmp.Compare(a.Key(), b.Key()) })
	return found[:min(len(found), limited(q.Limit, 100, 1000))], nil
}

// SaveTasks writes tasks.
func (tx *Tx) SaveTasks(ts ...access.Task) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, t := range ts {
		old, there := tx.s.tasks[t.Key()]
		if !there && t.Version != 1 || there && !follows(t.Version, old.Version) {
			return tx.fail(changed("task", t.Key(), t.Version))
		}
		if err := taskRule(old, there, t); err != nil {
			return tx.fail(err)
		}
		t.OpenedAt, t.EndsAt, t.EndedAt = instant(t.OpenedAt), instant(t.EndsAt), instant(t.EndedAt)
		putKey(tx, tx.s.tasks, t.Key(), t)
	}
	return nil
}

func taskRule(old access.Task, there bool, t access.Task) error {
	return hold(
		rule{!t.EndsAt.After(t.OpenedAt), "the end of a task"},
		rule{there && (!old.EndedAt.IsZero() || t.EndsAt.After(old.EndsAt) || !t.OpenedAt.Equal(old.OpenedAt)), "a task ends once and is never longer"},
	)
}
