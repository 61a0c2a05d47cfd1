package access

import (
	"strings"
	"time"

	"stint/internal/moment"
)

// TaskID is how an agent names what it works on: a ticket, a run, a purpose.
type TaskID string

// MaxTask is how long a task is open at most, from its first request on, and MaxTaskID
// how long its name is, in bytes.
const (
	MaxTask   = 24 * time.Hour
	MaxTaskID = 100
)

// Task is one piece of work of an agent. Every request of an agent names one, and no
// grant outlives it. It opens with its first request, and its name is used up with it:
// what has ended does not go on.
type Task struct {
	Agent    PrincipalID
	ID       TaskID
	Version  int64
	OpenedAt time.Time
	EndsAt   time.Time // at the latest
	EndedAt  time.Time // zero while it is open
	Why      string    // it ended
}

// The events of tasks.
const (
	TaskOpened EventType = "task.opened"
	TaskEnded  EventType = "task.ended"
)

// Key names a task among those of all agents.
func (t Task) Key() string { return TaskKey(t.Agent, t.ID) }

// TaskKey names a task of an agent.
func TaskKey(agent PrincipalID, id TaskID) string { return string(agent) + "/" + string(id) }

// ParseTask reads the name of a task.
func ParseTask(s string) (TaskID, error) {
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._:/#@+-", r)
	}
	if s == "" || len(s) > MaxTaskID || strings.ContainsFunc(s, bad) {
		return "", Fail(Invalid, "bad-task", "the task's name is not valid").
			Because("it is 1 to " + itoa(MaxTaskID) + " of letters, digits and . _ : / # @ + -").Try("name it by its ticket or run: --task OPS-12")
	}
	return TaskID(s), nil
}

// OpenTask opens a task with the first request that names it.
func OpenTask(agent PrincipalID, id TaskID, actor Actor, now time.Time) (Task, Event) {
	t := Task{Agent: agent, ID: id, Version: 1, OpenedAt: now, EndsAt: now.Add(MaxTask)}
	return t, t.event(TaskOpened, actor, now, "ends_at", stamp(t.EndsAt))
}

// Open reports why nothing can be asked for the task any more, or nil.
func (t Task) Open(now time.Time) error {
	no := Fail(Denied, "task-ended", "the task "+string(t.ID)+" has ended").Try("name a new task: what has ended does not go on")
	switch {
	case !t.EndedAt.IsZero():
		return no.Because("since " + moment.At(t.EndedAt))
	case !now.Before(t.EndsAt):
		return no.Because("a task lasts at most " + moment.Span(MaxTask) + ", and it was opened at " + moment.At(t.OpenedAt))
	}
	return nil
}

// End ends a task, once.
func (t Task) End(why string, actor Actor, now time.Time) (Task, Event, error) {
	if !t.EndedAt.IsZero() {
		return t, Event{}, Fail(Conflict, "task-ended", "the task "+string(t.ID)+" has ended already").Because("since " + moment.At(t.EndedAt))
	}
	if err := checkText("reason", why, MaxReason, true); err != nil {
		return t, Event{}, err
	}
	t.EndedAt, t.Why = now, why
	t.Version++
	return t, t.event(TaskEnded, actor, now, "why", why), nil
}

func (t Task) event(typ EventType, actor Actor, now time.Time, kv ...string) Event {
	return Event{Type: typ, At: now, Entity: "task:" + t.Key(), Version: t.Version, Actor: actor,
		Facts: fact(append(kv, "task", string(t.ID), "principal", string(t.Agent), "opened_at", stamp(t.OpenedAt))...)}
}

// checkTask: an agent works on a task, and nobody else does.
func checkTask(r Request) error {
	switch agent := r.Principal.Kind() == Agent; {
	case agent && r.Task == "":
		return NoTask(r.Principal)
	case !agent && r.Task != "":
		return Fail(Invalid, "not-an-agent", "only agents name a task").Because(string(r.Principal) + " is none").Try("name a ticket, or say it in the reason")
	case r.Task != "":
		_, err := ParseTask(string(r.Task))
		return err
	}
	return nil
}

// NoTask refuses an agent that does not say what it works on.
func NoTask(agent PrincipalID) error {
	return Fail(Invalid, "no-task", "an agent asks for a task").Because(string(agent) + " named none").Try("name it by its ticket or run: --task OPS-12")
}

// TaskQuery selects tasks, by agent and then by name. Zero fields do not select.
type TaskQuery struct {
	Agent PrincipalID
	Open  bool   // neither ended nor over
	After string // the key of the last one before; no key for the beginning
	Limit int    // 1 to 1000; 0 means 100
}
