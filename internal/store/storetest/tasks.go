package storetest

import (
	"errors"
	"testing"

	"stint/internal/access"
)

// tasks are listed by agent and then by name, in pages, and open ones apart.
func tasks(t *testing.T, s Store) {
	by := access.Actor{Principal: "user:ana", Person: "ana"}
	open := func(tx Tx, agent access.PrincipalID, id access.TaskID) access.Task {
		x, ev := access.OpenTask(agent, id, by, tx.Now())
		if err := errors.Join(tx.SaveTasks(x), tx.Append(ev)); err != nil {
			t.Fatal(err)
		}
		return x
	}
	var one, two, other access.Task
	update(t, s, func(tx Tx) error {
		two, one, other = open(tx, "agent:fixer", "OPS-2"), open(tx, "agent:fixer", "OPS-1"), open(tx, "agent:helper", "OPS-1")
		return nil
	})
	update(t, s, func(tx Tx) error {
		ended, ev, err := two.End("wrong table", by, tx.Now())
		two = ended
		return errors.Join(err, tx.SaveTasks(two), tx.Append(ev))
	})
	for _, x := range []struct {
		name string
		q    access.TaskQuery
		want []access.Task
	}{
		{"all", access.TaskQuery{}, []access.Task{one, two, other}},
		{"open", access.TaskQuery{Open: true}, []access.Task{one, other}},
		{"of an agent", access.TaskQuery{Agent: "agent:fixer"}, []access.Task{one, two}},
		{"of an agent, open", access.TaskQuery{Agent: "agent:fixer", Open: true}, []access.Task{one}},
		{"a page", access.TaskQuery{Limit: 2}, []access.Task{one, two}},
		{"the next page", access.TaskQuery{After: two.Key(), Limit: 2}, []access.Task{other}},
		{"of nobody", access.TaskQuery{Agent: "agent:none"}, nil},
	} {
		got := read(t, s, func(tx Tx) ([]access.Task, error) { return tx.Tasks(x.q) })
		if d := Diff(got, x.want); d != "" {
			t.Errorf("%s:\n%s", x.name, d)
		}
	}
}
