package store

import "stint/internal/access"

var taskTable = table{
	name: "tasks", noun: "task", keys: 1, versioned: true,
	columns: []column{{"id", text}, {"version", integer}, {"agent", text}, {"task", text}, {"opened_at", integer}, {"ends_at", integer},
		{"ended_at", integer}, {"why", text}},
	fixed: []string{"agent", "task", "opened_at"},
}.build()

func taskRow(t access.Task) write {
	return write{t.Key(), t.Version, string(t.Agent), string(t.ID), t.OpenedAt.UnixMilli(), t.EndsAt.UnixMilli(), millis(t.EndedAt), t.Why}
}

const taskColumns = "SELECT version, agent, task, opened_at, ends_at, ended_at, why FROM tasks"

func scanTask(row row) (access.Task, error) {
	var t access.Task
	var opened, ends int64
	var ended *int64
	err := row.Scan(&t.Version, &t.Agent, &t.ID, &opened, &ends, &ended, &t.Why)
	t.OpenedAt, t.EndsAt, t.EndedAt = instant(opened), instant(ends), instantOf(ended)
	return t, err
}

// Task reads a task of an agent.
func (tx *Tx) Task(agent access.PrincipalID, id access.TaskID) (access.Task, error) {
	return one(tx, "task", scanTask, taskColumns+" WHERE id = $1", access.TaskKey(agent, id))
}

// SaveTasks writes tasks.
func (tx *Tx) SaveTasks(ts ...access.Task) error {
	rows := make([]write, 0, len(ts))
	for _, t := range ts {
		rows = append(rows, taskRow(t))
	}
	return tx.save(taskTable, rows)
}

// Tasks lists tasks, by agent and then by name.
func (tx *Tx) Tasks(q access.TaskQuery) ([]access.Task, error) {
	p := plan{columns: taskColumns, cursor: q.After, limit: limited(q.Limit, 100, 1000)}
	p.equal("agent", string(q.Agent))
	if q.Open {
		p.where("ends_at > $%d", tx.now.UnixMilli())
		p.extra = append(p.extra, "ended_at IS NULL")
	}
	return page(tx, p, scanTask, access.Task.Key)
}
