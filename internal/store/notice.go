package store

import (
	"context"
	"encoding/json"
	"time"

	"stint/internal/access"
)

// notice is how a hint travels. It names requests, and holds nothing secret: who
// may connect to the database may hear it.
type notice struct {
	From     string             `json:"f"` // the sender's sessions
	Requests []access.RequestID `json:"r,omitempty"`
	Due      stamp              `json:"d,omitempty"`
	Again    bool               `json:"a,omitempty"`
	Numbered bool               `json:"n,omitempty"` // the log has grown
	Hosts    []string           `json:"h,omitempty"` // there are calls for their agents
	Answered []string           `json:"o,omitempty"` // ids of calls with an answer
}

const (
	// tellEvery is how long hints are collected. A NOTIFY takes a lock of the whole
	// server until the end of its transaction: within the transaction of a change
	// it would put all commits in a row, each with its sync of the disk. So hints
	// travel after the commit, many at a time, in a transaction that writes nothing.
	tellEvery = 10 * time.Millisecond
	// perPayload keeps a payload below the 8,000 bytes that PostgreSQL takes, and
	// perTell the queue short: after more, the others find the rest by looking.
	perPayload = 200
	perTell    = 5000
)

// Tell passes a hint on to the other replicas: soon, or never. It waits for
// nothing.
func (r *Replica) Tell(n access.Notice) {
	r.send(notice{Requests: n.Requests, Due: stampOf(n.Due), Again: n.Again})
}

func (r *Replica) send(n notice) {
	if r.others.Load() == 0 {
		return // nobody listens
	}
	select {
	case r.notices <- n:
	default: // they find it by looking
	}
}

// tell sends what was collected until ctx ends.
func (r *Replica) tell(ctx context.Context) {
	for {
		var n notice
		select {
		case <-ctx.Done():
			return
		case n = <-r.notices:
		}
		if len(n.Hosts)+len(n.Answered) == 0 { // somebody waits for these
			sleep(ctx, tellEvery)
		}
		for more := true; more && len(n.Requests) < perTell && len(n.Hosts)+len(n.Answered) < perHint; {
			select {
			case next := <-r.notices:
				n.add(next)
			default:
				more = false
			}
		}
		n.From = r.e.sessions
		within, cancel := context.WithTimeout(ctx, beatWithin)
		_, err := r.e.db.ExecContext(within, "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload", channel, n.payloads())
		cancel()
		if err != nil && ctx.Err() == nil {
			r.log.Debug("the other replicas were not told", "error", err)
		}
	}
}

// add joins a later hint to n.
func (n *notice) add(m notice) {
	n.Requests = append(n.Requests, m.Requests...)
	if n.Due == 0 || m.Due != 0 && m.Due < n.Due {
		n.Due = m.Due
	}
	n.Again = n.Again || m.Again
	n.Numbered = n.Numbered || m.Numbered
	n.Hosts, n.Answered = append(n.Hosts, m.Hosts...), append(n.Answered, m.Answered...)
}

// perHint bounds the names of hosts and ids of calls in one payload.
const perHint = 50

// TellHosts says to the other replicas that there are calls for the agents of hosts,
// and answers to calls: soon, or never.
func (r *Replica) TellHosts(hosts, answered []string) {
	for len(hosts)+len(answered) > 0 {
		n := notice{Hosts: hosts[:min(len(hosts), perHint)], Answered: answered[:min(len(answered), perHint)]}
		hosts, answered = hosts[len(n.Hosts):], answered[len(n.Answered):]
		r.send(n)
	}
}

// HearHosts has what others tell of hosts passed on. It is called before Run.
func (r *Replica) HearHosts(hear func(hosts, answered []string)) { r.hosts = hear }

// payloads cuts a hint into pieces that PostgreSQL takes.
func (n notice) payloads() (texts []string) {
	told := map[access.RequestID]bool{}
	var ids []access.RequestID
	for _, id := range n.Requests {
		if !told[id] {
			told[id] = true
			ids = append(ids, id)
		}
	}
	for {
		n.Requests = ids[:min(len(ids), perPayload)]
		ids = ids[len(n.Requests):]
		if len(n.Hosts)+len(n.Answered) > 0 && len(n.Requests) > 0 { // together they could be too long
			apart := notice{From: n.From, Hosts: n.Hosts, Answered: n.Answered}
			n.Hosts, n.Answered = nil, nil
			texts = append(texts, apart.payloads()...)
		}
		text, err := json.Marshal(n)
		if err != nil {
			panic("store: a notice of strings and numbers is not JSON: " + err.Error())
		}
		texts = append(texts, string(text))
		if len(ids) == 0 {
			return texts
		}
	}
}

// hear takes a payload. What is not ours to understand is left alone: a later
// version may say more, and anybody with the database's login may say anything.
func (r *Replica) hear(m Member, payload string) {
	var n notice
	if json.Unmarshal([]byte(payload), &n) != nil || n.From == r.e.sessions {
		return
	}
	if n.Numbered {
		r.s.numbers.send()
	}
	if r.hosts != nil && len(n.Hosts)+len(n.Answered) > 0 {
		r.hosts(n.Hosts, n.Answered)
	}
	if len(n.Requests) > 0 || n.Due != 0 || n.Again {
		m.Hear(access.Notice{Requests: n.Requests, Due: n.Due.time(), Again: n.Again})
	}
}
