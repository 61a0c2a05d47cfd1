package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
)

// Agents are programs that act for one human, each time with a task, and have no more than
// that human would: what is against the human is against them. agentDocument is what they
// may ask for; whether they get it is decided for the human as well.
const agentDocument = "---\nkind: Policy\nname: agents\nsubjects: [group:agents]\nroles: [reader]\n" +
	"when: principal.kind == \"agent\" && request.task != \"\"\nrequire: {maxDuration: 1h}\n"

// agents says for whom each acts. gus needs an approval himself, and so does his agent.
var agents = map[string]string{"fixer": "mira", "helper": "noor", "scout": "gus"}

var agentNames = []string{"fixer", "helper", "scout"}

func agentPrincipal(name string) access.Principal {
	human := agents[name]
	return access.Principal{ID: access.PrincipalID("agent:" + name), Person: access.Person(human), Responsible: access.NewPrincipalID(access.User, human),
		Groups: []access.Group{"agents"}, Version: 1, CreatedAt: time.Unix(1, 0).UTC()}
}

// sends makes an agent ask what its human was about to.
func (w *world) sends(a *ask) {
	if a.glass || a.ticket != "" || !w.chance(0.08) {
		return
	}
	a.agent = pick(w.sched, agentNames)
	a.who, a.role, a.d = agents[a.agent], "reader", min(a.d, time.Hour)
	a.task = access.TaskID(fmt.Sprint("TASK-", len(w.asks)/20)) // some are for one task
	if w.chance(0.15) {                                         // and some humans go while their agent is at work
		n, back := int(w.seq), w.between(10*time.Second, 10*time.Minute)
		w.in(a.ahead+w.between(5*time.Second, a.d), "chore", a.who, func() { w.people.Go(func() { w.disable(n, a.who, back) }) })
	}
}

// caller is who asks, at their own device.
func (a *ask) caller() broker.Caller {
	if a.agent == "" {
		return caller1(a.who)
	}
	c := caller1(a.who)
	c.Principal = agentPrincipal(a.agent)
	c.Actor.Principal = c.Principal.ID
	c.Source.Device = access.DeviceID("device-of-" + a.agent)
	c.Actor.Device = c.Source.Device
	return c
}

// endTask has the human say that the task is done: all that the agent has for it ends.
func (a *ask) endTask() {
	w := a.w
	by := &ask{w: w, n: a.n, rng: rand.New(rand.NewPCG(w.seed, uint64(4_000_000+a.n)))}
	var had []*ask
	for _, b := range w.asks {
		if b.agent == a.agent && b.task == a.task {
			b.returning = true
			if !b.active.IsZero() && b.over.IsZero() && !b.forgot(b.active) {
				had = append(had, b)
			}
		}
	}
	w.saying[a.errand()]++
	defer func() { w.saying[a.errand()]-- }()
	err, _ := by.call(func(ctx context.Context, r *replica) error {
		_, _, err := r.EndTask(ctx, caller1(a.who), access.PrincipalID("agent:"+a.agent), a.task, "done")
		return err
	})
	if err != nil {
		return
	}
	w.sometimes("a task ends with its access")
	for _, b := range had {
		if b.over.IsZero() {
			b.over, b.why = time.Now(), access.ByHolder
		}
	}
}

// errand is an agent's task, whoever asks for it.
type errand struct {
	agent string
	task  access.TaskID
}

func (a *ask) errand() errand { return errand{a.agent, a.task} }

// outlived counts what a disabled human's agents had until then.
func (w *world) outlived(who string) {
	for _, a := range w.asks {
		if a.agent != "" && a.who == who && !a.active.IsZero() && a.over.IsZero() && time.Now().Before(a.end) {
			w.sometimes("an agent has access when its human is disabled")
			return
		}
	}
}

// comesBack lets people sign in again who were disabled, and their agents be made anew.
func (w *world) comesBack(who string) error {
	ids := []access.PrincipalID{access.NewPrincipalID(access.User, who)}
	for _, name := range agentNames {
		if agents[name] == who {
			ids = append(ids, access.PrincipalID("agent:"+name))
		}
	}
	return w.store.Update(context.Background(), func(tx broker.Tx) error {
		for _, id := range ids {
			p, err := tx.Principal(id)
			if err != nil {
				return err
			}
			if !p.Disabled {
				continue
			}
			p.Disabled, p.Version = false, p.Version+1
			err = errors.Join(tx.SavePrincipals(p), tx.Append(access.Event{Type: "principal.enabled", At: tx.Now(), Entity: string(id), Version: p.Version, Actor: access.System}))
			if err != nil {
				return err
			}
		}
		return nil
	})
}
