//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// page is a browser without one: a person's session, for streams by the dozen.
func pageOf(ctx context.Context, t *testing.T, s *stage.Stage, name string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	// A connection for each stream, and none over that a dozen share.
	c := &http.Client{Jar: jar, Transport: &http.Transport{MaxConnsPerHost: 0, MaxIdleConnsPerHost: 20}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(c.CloseIdleConnections)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/enroll", strings.NewReader(url.Values{"code": {codeOf(t, s, "admin", "user", "enroll", name)}}.Encode()))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", s.URL)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := c.Do(r)
	must(t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s is not let in: %s", name, res.Status)
	}
	return c
}

// watch opens a stream, and sends when a line of it has one of the words, which are told
// one after the other.
func watch(ctx context.Context, c *http.Client, home, view string, heard func(line string)) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, home+"/events?view="+view, nil)
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Stint-Page-Nonce", "AAAAAAAAAAAAAAAAAAAAAA")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		text, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
		return res.StatusCode, string(text), err
	}
	go func() {
		defer res.Body.Close()
		for in := bufio.NewReaderSize(res.Body, 1<<16); ; {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			heard(line)
		}
	}()
	return res.StatusCode, "", nil
}

// TestConsoleManyStreams has fifty pages of five people open beside one in a browser: each
// change is on all of them at once, so to say; one person's thirteenth is told no, and the
// browser goes on.
func TestConsoleManyStreams(t *testing.T) {
	ctx, s := consoleStage(t)
	must(t, s.Enrol(ctx, "omar", "--group", "dba"))
	sam, err := s.Client(ctx, "sam", "--group", "support")
	must(t, err)
	t.Cleanup(sam.Close)
	omar := readers(t, s.URL, "omar")["omar"]
	omar.watched()
	omar.sized(1440, 900)
	omar.enters(codeOf(t, s, "admin", "user", "enroll", "omar"))
	omar.open("/requests")
	omar.see("Nothing waits for you")

	var mu sync.Mutex
	var words string // what is waited for
	var at []time.Time
	all := make(chan struct{}, 1)
	seen := make([]string, 50) // the words that each stream said last
	hear := func(i int) func(string) {
		return func(line string) {
			mu.Lock()
			defer mu.Unlock()
			if words == "" || seen[i] == words || !strings.Contains(line, words) {
				return
			}
			seen[i] = words
			if at = append(at, time.Now()); len(at) == len(seen) {
				all <- struct{}{}
			}
		}
	}
	var people []*http.Client
	for p := range 5 {
		name := fmt.Sprintf("dba-%d", p)
		must(t, s.Enrol(ctx, name, "--group", "dba"))
		c := pageOf(ctx, t, s, name)
		people = append(people, c)
		for i := range 10 {
			status, text, err := watch(ctx, c, s.URL, "requests", hear(p*10+i))
			if err != nil || status != http.StatusOK {
				t.Fatalf("%s, stream %d: %d %s %v", name, i+1, status, text, err)
			}
		}
	}

	var took []time.Duration
	for n := range 6 {
		why := fmt.Sprintf("customer number %d waits for it", n)
		mu.Lock()
		words, at = why, nil
		mu.Unlock()
		began := time.Now()
		r, err := sam.Submit(ctx, api.Ask{Resource: "orders-db", Role: "reader", Duration: "30m", Reason: why, Ticket: fmt.Sprintf("INC-%d", n+1)}, api.Wait{})
		must(t, err)
		answered := time.Since(began)
		select {
		case <-all:
		case <-time.After(30 * time.Second):
			mu.Lock()
			got := len(at)
			mu.Unlock()
			t.Fatalf("%q is on %d of 50 streams after 30 s", why, got)
		}
		mu.Lock()
		last := at[len(at)-1].Sub(began)
		mu.Unlock()
		took = append(took, last)
		omar.see(why)
		t.Logf("asked in %s; on all of 50 streams %s after the question was sent; seen in the browser after %s", answered.Round(time.Millisecond), last.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		_, err = sam.Cancel(ctx, r.ID)
		must(t, err)
		omar.see("Nothing waits for you")
	}
	// A machine that does other work as well may be late once; the middle is not.
	slices.Sort(took)
	if middle := took[len(took)/2]; middle > time.Second {
		t.Errorf("a change takes %s to be on all of 50 streams, in the middle of %v", middle, took)
	}

	// One person's bound is said, and is nobody else's.
	quiet := func(string) {}
	for i := 10; i < 12; i++ {
		if status, text, err := watch(ctx, people[0], s.URL, "access", quiet); err != nil || status != http.StatusOK {
			t.Fatalf("stream %d of one person: %d %s %v", i+1, status, text, err)
		}
	}
	status, text, err := watch(ctx, people[0], s.URL, "access", quiet)
	must(t, err)
	if status != http.StatusTooManyRequests || !strings.Contains(text, "you have too many pages open") || !strings.Contains(text, "close some of them") {
		t.Errorf("the thirteenth: %d %s", status, text)
	}
	if status, text, err := watch(ctx, people[1], s.URL, "access", quiet); err != nil || status != http.StatusOK {
		t.Errorf("another's eleventh: %d %s %v", status, text, err)
	}
	omar.keys("ga")
	omar.see("You hold no privileges right now.")
	omar.until("it hears keys", `document.readyState === "complete" && location.pathname === "/" ? "yes" : "no"`)
	omar.keys("gp")
	omar.see("Nothing waits for you")
	omar.unbroken("beside fifty streams")
}

// TestConsoleManyGrants has one person hold 500 grants on a real database, and looks at
// their page: it shows the first of them and leads to the others, is no wider than the
// screen, can be used, and its clocks go.
func TestConsoleManyGrants(t *testing.T) {
	ctx, s := manyStage(t)
	const many = 500
	var docs strings.Builder
	first, rest, _ := strings.Cut(documents, "\n---\n")
	for i := range many {
		fmt.Fprintf(&docs, "%s\n---\n", strings.Replace(first, "name: orders-db", fmt.Sprintf("name: orders-%03d", i), 1))
	}
	must(t, s.Documents(ctx, docs.String()+strings.ReplaceAll(rest, "names: [orders-db]", "names: [orders-000]")))
	mira, err := s.Client(ctx, "vic", "--group", "platform")
	must(t, err)
	t.Cleanup(mira.Close)
	began := time.Now()
	var asking sync.WaitGroup
	next := make(chan int)
	for range 8 {
		asking.Go(func() {
			for i := range next {
				_, err := mira.Submit(ctx, api.Ask{Resource: fmt.Sprintf("orders-%03d", i), Role: "reader", Duration: "2h", Reason: fmt.Sprintf("order %d hangs at the till", i)}, api.Wait{})
				if err != nil {
					t.Errorf("grant %d: %v", i, err)
				}
			}
		})
	}
	for i := range many {
		next <- i
	}
	close(next)
	asking.Wait()
	if t.Failed() {
		t.FailNow()
	}
	oracle, err := s.Oracle()
	must(t, err)
	t.Cleanup(func() { _ = oracle.Close() })
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		n, err := oracle.Count(ctx)
		must(t, err)
		if n >= many {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d accounts are on the database", n, many)
		}
	}
	t.Logf("%d grants on a real database after %s", many, time.Since(began).Round(time.Second))

	vic := readers(t, s.URL, "vic")["vic"]
	vic.watched()
	vic.sized(1440, 900)
	vic.enters(codeOf(t, s, "admin", "user", "enroll", "vic"))
	for _, l := range looks {
		vic.as(l)
		opened := time.Now()
		vic.open("/")
		vic.see("stint db orders-")
		vic.see("500")
		t.Logf("%s: My access with %d grants is there after %s", l.name, many, time.Since(opened).Round(time.Millisecond))
		vic.sound("500 grants", l)
		was := vic.js(`document.querySelector("#held [data-left]").textContent`)
		vic.until("the clock goes", `document.querySelector("#held [data-left]").textContent !== `+quoted(was)+` ? "yes" : "no"`)
	}
	vic.shoot("access-500")
	vic.axe("access-500")
	vic.sized(1440, 900)
	vic.open("/")
	vic.see("stint db orders-")
	for range 3 { // its rows by the keyboard
		vic.keys("j")
	}
	vic.until("the third row", `[...document.querySelectorAll("#held [data-item]")].indexOf(document.activeElement.closest("[data-item]")) === 2 ? "yes" : "no"`)
	vic.keys("x")
	vic.until("it asks", `document.querySelector("#sure[open]") ? "yes" : "no"`)
	vic.keys("\r")
	vic.until("one less", `document.querySelector("#held .count").textContent === "499" ? "yes" : "no"`)
	first50 := vic.js(`[...document.querySelectorAll("#held [data-item]")].map((e) => e.dataset.item).join()`)
	if n := strings.Count(first50, ",") + 1; n != 50 {
		t.Errorf("%d of 499 grants are on the first page", n)
	}
	vic.tabTo(`#held a[rel=next]`)
	vic.keys("\r")
	vic.until("the next ones", `location.search && document.querySelector("#held [data-item]") ? "yes" : "no"`)
	if vic.js(`[...document.querySelectorAll("#held [data-item]")].map((e) => e.dataset.item).join()`) == first50 {
		t.Error("the next ones are the first again")
	}
	vic.unbroken("500 grants")
}

// manyStage is a stage on which one person may do more at a time than people do.
func manyStage(t *testing.T) (context.Context, *stage.Stage) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	t.Cleanup(cancel)
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: set.Store, Named: true, Config: "limits: {reads_per_second: 1000, writes_per_second: 1000, burst: 2000}\n"}, "mira", "noor")
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	must(t, s.Credential(ctx, "orders-connector"))
	return ctx, s
}
