package apiserver

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/pgtest"
	"stint/internal/store"
)

// How much there is when pages are measured.
const (
	manyRequests  = 10_000
	manyResources = 1_000
	manyWaiting   = 100 // of the requests, for the approver
	manyLive      = 500 // grants, of one person
	manyOwn       = 1_000
	manyPeople    = 1_000
)

// mainPages are the addresses that are measured, and who looks at them. ID is that of a
// request. One that does not exist is left out.
var mainPages = []struct{ name, at, who string }{
	{"My access", "/", "mira"},
	{"My access with 500 grants", "/", "hal"},
	{"Request", "/request", "mira"},
	{"Request of one thing", "/request?resource=db-0500", "mira"},
	{"Approvals", "/requests", "omar"},
	{"Approvals, decided", "/requests?tab=done", "omar"},
	{"Approvals, own", "/requests?tab=own", "mira"},
	{"Request, to decide", "/r/ID", "omar"},
	{"You", "/you", "mira"},
	{"Sign-ins", "/signins", "mira"},
	{"Passkeys", "/passkeys", "root"},
	{"Sessions", "/sessions", "root"},
	{"Insights", "/insights", "root"},
	{"Audit", "/audit", "root"},
	{"Policies", "/policies", "root"},
	{"Resources", "/resources", "root"},
	{"People", "/people", "root"},
	{"Services", "/services", "root"},
	{"Agents", "/agents", "root"},
	{"Break-glass", "/break-glass", "root"},
	{"Settings", "/settings", "root"},
	{"First steps", "/start", "root"},
}

// kept is where a world keeps its state: in SQLite, or of a benchmark with STORE=postgres in
// a database of its own.
func kept(t testing.TB, path string) store.Config {
	if _, bench := t.(*testing.B); !bench || os.Getenv("STORE") != "postgres" {
		return store.Config{Path: path}
	}
	s, name := pgtest.Shared(t), "w"+strings.ToLower(rand.Text())
	check(t, s.Exec(t.Context(), "postgres", "CREATE DATABASE "+name))
	return store.Config{URL: s.SuperuserDSN(name)}
}

// unlimited lifts the limits that are for people.
func unlimited(w *world) {
	s := w.server
	for _, r := range []**rates{&s.reads, &s.writes, &s.urgent, &s.codes, &s.trips, &s.views, &s.looks} {
		*r = newRates(1e9, 1e9, time.Now)
	}
}

// crowded is a world with much in it, and its people at browsers; id is a request that waits.
func crowded(b *testing.B) (w *world, people map[string]*guest, id string) {
	w, admin := populated(b)
	unlimited(w)
	for i := 0; i < manyResources; i += 250 {
		var text strings.Builder
		for n := range 250 {
			fmt.Fprintf(&text, "---\nkind: Resource\nname: db-%04d\ntype: fake\ndescription: Orders of region %d\nlabels: {env: prod, team: t%d}\ncriticality: high\nowners: [user:omar]\nconnection: {address: \"127.0.0.1:%d\", credential: login}\n",
				i+n, i+n, n%20, 1000+i+n)
		}
		_, err := admin.Apply(b.Context(), api.Apply{Files: []api.File{{Name: fmt.Sprintf("%d.yaml", i), Text: text.String()}}})
		check(b, err)
	}
	people = map[string]*guest{"root": w.guest("root")}
	clients := map[string]*api.Client{}
	for name, group := range map[string]string{"mira": "platform", "hal": "platform", "omar": "dba", "gus": "guests"} {
		clients[name] = w.as(admin, api.UserAdd{Name: name, Groups: []string{group}})
		people[name] = w.guest(name)
	}
	ask := func(who string) access.Request {
		r, err := clients[who].Submit(b.Context(), api.Ask{Resource: "db-0500", Role: "reader", Duration: "1h", Reason: "order 4711 hangs, see the ticket"}, api.Wait{})
		check(b, err)
		var like access.Request
		check(b, w.store.View(b.Context(), func(tx *store.Tx) (err error) {
			like, err = tx.Request(access.RequestID(r.ID))
			return err
		}))
		return like
	}
	mine, hals, waits := ask("mira"), ask("hal"), ask("gus")
	fill(b, w.store, hals, manyLive, live)
	fill(b, w.store, mine, 5, live)
	check(b, w.store.View(b.Context(), func(tx *store.Tx) error {
		active, err := tx.Grants(access.GrantQuery{Principal: hals.Principal, States: []access.GrantState{access.Active}, Limit: 1000})
		if len(active) < manyLive && err == nil {
			return fmt.Errorf("%d grants are active", len(active))
		}
		return err
	}))
	fill(b, w.store, waits, manyWaiting, waiting)
	check(b, w.store.Update(b.Context(), func(tx *store.Tx) error {
		var ps []access.Principal
		for i := range manyPeople {
			name := fmt.Sprintf("p%04d", i)
			ps = append(ps, access.Principal{ID: access.PrincipalID("user:" + name), Person: access.Person(name), Groups: []access.Group{"guests"}, Version: 1, CreatedAt: tx.Now()})
		}
		return tx.SavePrincipals(ps...)
	}))
	own := waits
	own.Principal, own.Person = mine.Principal, mine.Person
	fill(b, w.store, own, manyOwn, withdrawn)
	fill(b, w.store, waits, manyRequests-manyLive-manyWaiting-manyOwn, withdrawn)
	return w, people, string(waits.ID)
}

// became is what became of requests that are filled in.
type became int

const (
	waiting became = iota
	withdrawn
	live
)

// fill adds n requests like another, by the core and the store alone.
func fill(b testing.TB, s *store.Store, like access.Request, n int, how became) {
	b.Helper()
	for done := 0; done < n; done += 250 {
		check(b, s.Update(b.Context(), func(tx *store.Tx) error {
			var rs []access.Request
			var gs, begun []access.Grant
			var evs []access.Event
			var changed []access.Request
			for range min(250, n-done) {
				now, ms := tx.Now(), tx.Now().UnixMilli()
				var entropy access.Entropy
				_, _ = rand.Read(entropy[:]) // never fails
				draft := like
				draft.ID, draft.Grant = access.NewRequestID(ms, entropy), ""
				_, _ = rand.Read(draft.Nonce[:])
				actor := access.Actor{Principal: draft.Principal, Person: draft.Person, Device: draft.Device, Address: draft.Source.IP}
				r, ev, err := access.Submit(draft, actor, draft.Decision, now)
				if err != nil {
					return err
				}
				evs = append(evs, ev)
				switch how {
				case withdrawn:
					rs = append(rs, r)
					if r, ev, err = r.Cancel(actor, now); err != nil {
						return err
					}
					evs, changed = append(evs, ev), append(changed, r)
					continue
				case live:
					var g access.Grant
					if r, g, ev, err = r.NewGrant(access.NewGrantID(ms, entropy), now); err != nil {
						return err
					}
					evs, gs = append(evs, ev), append(gs, g)
					if g, ev, err = g.Activate(now); err != nil { // nothing is on the target
						return err
					}
					evs, begun = append(evs, ev), append(begun, g)
				}
				rs = append(rs, r)
			}
			if err := tx.SaveRequests(rs...); err != nil {
				return err
			}
			if err := tx.SaveGrants(gs...); err != nil {
				return err
			}
			if err := tx.SaveGrants(begun...); err != nil {
				return err
			}
			if err := tx.SaveRequests(changed...); err != nil {
				return err
			}
			return tx.Append(evs...)
		}))
	}
}

// spread gives the times of many looks as metrics.
func spread(b *testing.B, all []time.Duration) {
	slices.Sort(all)
	at := func(share float64) float64 { return float64(all[int(share*float64(len(all)-1))].Microseconds()) / 1000 }
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.95), "p95-ms")
}

// BenchmarkPages is how long the server takes for each of the main pages, with 10,000
// requests and 1,000 resources, and what a first load of it is over the wire: the page
// and all that it asks for, as a browser without a cache gets them.
func BenchmarkPages(b *testing.B) {
	_, people, id := crowded(b)
	for _, p := range mainPages {
		g, at := people[p.who], strings.ReplaceAll(p.at, "ID", id)
		if g.get(at).status == http.StatusNotFound {
			continue
		}
		b.Run(strings.ReplaceAll(p.name, " ", "_"), func(b *testing.B) {
			var took []time.Duration
			var last shown
			cpu := cpuTime()
			for b.Loop() {
				began := time.Now()
				last = g.get(at)
				took = append(took, time.Since(began))
				if last.status != http.StatusOK {
					b.Fatalf("%s: %d %s", at, last.status, last.text)
				}
			}
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/1000/float64(len(took)), "cpu-ms")
			spread(b, took)
			page, rest := g.wire(at), g.wire(fontOf(last.text))
			for _, asset := range slices.Compact(slices.Sorted(slices.Values(regexpAssets.FindAllString(last.text, -1)))) {
				rest += g.wire(asset)
			}
			b.ReportMetric(float64(page)/1000, "page-kB")
			b.ReportMetric(float64(page+rest)/1000, "load-kB")
		})
	}
}

// cpuTime is what this process took of the processors so far: on a busy machine it says more
// than the clock. It has the client's share in it.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// wire is how many bytes an answer has as it is sent.
func (b *browser) wire(at string) int {
	req, err := http.NewRequestWithContext(b.w.t.Context(), http.MethodGet, b.w.http.URL+at, nil)
	check(b.w.t, err)
	req.Header.Set("Accept-Encoding", "gzip") // so that Go does not undo it
	return len(b.do(req).text)
}

// fontOf is the typeface of a page in Latin letters, which its style asks for.
func fontOf(page string) string {
	style := regexpAssets.FindString(page)
	return strings.TrimSuffix(style, "app.css") + "vendor/inter-5.3.0-latin.woff2"
}

// BenchmarkVisible is how long after the answer to somebody who asks all open pages that it
// concerns show it: 50 and 500 streams, of people with ten each.
func BenchmarkVisible(b *testing.B) {
	for _, streams := range []int{50, 500} {
		b.Run(fmt.Sprint(streams), func(b *testing.B) {
			w, admin := populated(b)
			unlimited(w)
			gus := w.as(admin, api.UserAdd{Name: "gus", Groups: []string{"guests"}})
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			heard := make(chan string, streams)
			for i := range streams / 10 {
				name := fmt.Sprintf("dba%d", i)
				_, err := admin.AddUser(b.Context(), api.UserAdd{Name: name, Groups: []string{"dba"}})
				check(b, err)
				g := w.guest(name)
				for range 10 {
					_, said := g.stream(ctx, b, "requests")
					go func() {
						for text := range said {
							heard <- text
						}
					}()
				}
			}
			for range streams {
				<-heard // all of it, at first
			}
			var took []time.Duration
			for n := 0; b.Loop(); n++ {
				reason := fmt.Sprintf("look number %d.", n)
				_, err := gus.Submit(b.Context(), api.Ask{Resource: "db", Role: "reader", Duration: "5m", Reason: reason}, api.Wait{})
				check(b, err)
				began := time.Now()
				for seen := 0; seen < streams; {
					if strings.Contains(<-heard, reason) {
						seen++
					}
				}
				took = append(took, time.Since(began))
				if n%15 == 14 { // nobody may have more than twenty that wait
					b.StopTimer()
					all, err := gus.Requests(b.Context(), api.RequestList{})
					check(b, err)
					for _, r := range all.Items {
						if r.State == api.RequestPending {
							_, err := gus.Cancel(b.Context(), r.ID)
							check(b, err)
						}
					}
					b.StartTimer()
				}
			}
			spread(b, took)
			b.ReportMetric(float64(slices.Max(took).Microseconds())/1000, "max-ms")
		})
	}
}
