package apiserver

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/store"
	"stint/internal/web/views"
)

var (
	heldRow  = regexp.MustCompile(`id="g-(req_\w+)"`)
	openRow  = regexp.MustCompile(`id="s-(req_\w+)"`)
	nextLink = regexp.MustCompile(`rel="next" href="([^"]+)"`)
)

// rowsOf are the ids of the rows of a text.
func rowsOf(row *regexp.Regexp, text string) (ids []string) {
	for _, m := range row.FindAllStringSubmatch(text, -1) {
		ids = append(ids, m[1])
	}
	return ids
}

// alike is a request as the store has it, for others to be like it.
func alike(t *testing.T, w *world, c *api.Client) (like access.Request) {
	t.Helper()
	r, err := c.Submit(t.Context(), api.Ask{Resource: "db", Role: "reader", Duration: "1h", Reason: "order 4711"}, api.Wait{})
	check(t, err)
	check(t, w.store.View(t.Context(), func(tx *store.Tx) (err error) {
		like, err = tx.Request(access.RequestID(r.ID))
		return err
	}))
	return like
}

// holder is a world in which mira holds n grants.
func holder(t *testing.T, n int) (*world, *api.Client, *guest) {
	w, admin := populated(t)
	unlimited(w)
	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	like := alike(t, w, mira)
	w.guest("mira").until("/", "stint db db") // the first is active: nothing begins meanwhile
	fill(t, w.store, like, n-1, live)
	return w, admin, w.guest("mira")
}

// through follows the links to what is next, without a script, and gives the rows of all.
func through(t *testing.T, g *guest, at string, row *regexp.Regexp, most int, want ...string) (ids []string) {
	t.Helper()
	for range 20 {
		p := g.get(at).want(t, http.StatusOK, want...)
		here := rowsOf(row, p.text)
		if ids = append(ids, here...); len(here) > most || len(here) == 0 {
			t.Errorf("%s has %d rows", at, len(here))
		}
		m := nextLink.FindStringSubmatch(p.text)
		if m == nil {
			return ids
		}
		at = strings.ReplaceAll(m[1], "&amp;", "&")
	}
	t.Fatal("there is always a next page")
	return nil
}

// each reports ids that are there more than once, or of which there are not so many.
func each(t *testing.T, ids []string, n int) {
	t.Helper()
	if all := slices.Compact(slices.Sorted(slices.Values(ids))); len(ids) != n || len(all) != n {
		t.Errorf("%d rows of %d, want %d, each once", len(ids), len(all), n)
	}
}

// TestAccessInWindows: whoever holds much gets it in windows, in which everything is, each
// once; the number in the heading is of all; and what is live is the window that was asked
// for, in the stream and after an act.
func TestAccessInWindows(t *testing.T) {
	const many = 2*shownAtOnce + 7
	w, _, mira := holder(t, many)
	ids := through(t, mira, "/", heldRow, shownAtOnce, fmt.Sprintf(" of %d,", many))
	each(t, ids, many)

	first := mira.get("/")
	next := strings.ReplaceAll(nextLink.FindStringSubmatch(first.text)[1], "&amp;", "&")
	second := mira.get(next)
	view := regexp.MustCompile(`/events\?view=(access&amp;after=[^"]+)"`).FindStringSubmatch(second.text)
	if view == nil {
		t.Fatal("the second window follows no stream of its own")
	}
	for at, want := range map[string][]string{"access": ids[:shownAtOnce], strings.ReplaceAll(view[1], "&amp;", "&"): ids[shownAtOnce : 2*shownAtOnce]} {
		_, said := mira.stream(t.Context(), t, at)
		if got := rowsOf(heldRow, <-said); !slices.Equal(got, want) {
			t.Errorf("%s says %d rows, of which the page has not the same %d", at, len(got), len(want))
		}
	}
	// What is ended on the second window leads back to it, and to no other place.
	back := strings.ReplaceAll(regexp.MustCompile(`name="back" value="(/\?after=[^"]+)"`).FindStringSubmatch(second.text)[1], "&amp;", "&")
	if back != next {
		t.Errorf("back is %q, want %q", back, next)
	}
	gone := ids[shownAtOnce+3]
	if to := mira.post("/r/"+gone+"/end", map[string][]string{"back": {back}}).want(t, http.StatusSeeOther).header.Get("Location"); to != next {
		t.Errorf("sent to %q, want %q", to, next)
	}
	for i, evil := range []string{"//evil.example/?after=1", "https://evil.example/", "/r/x?after=1"} {
		if to := mira.post("/r/"+ids[i]+"/end", map[string][]string{"back": {evil}}).header.Get("Location"); to != "/r/"+ids[i] && to != "/" {
			t.Errorf("%q sends to %q", evil, to)
		}
	}
	mira.until("/", fmt.Sprintf(" of %d,", many-4))

	for _, bad := range []string{"x", "1.req_1", "-5.grt_1", "9999999999999999999.grt_1", "1.grt_" + strings.Repeat("A", 99), "1.grt_<b>.x", "01.grt_1"} {
		if p := mira.get("/?after=" + bad); p.status == http.StatusInternalServerError || bad != "1.grt_<b>.x" && p.status == http.StatusOK {
			t.Errorf("%q is answered with %d", bad, p.status)
		}
	}
	// After everything there is nothing, and the page does not say that nothing is held.
	if p := mira.get("/?after=99999999999999.grt_Z").want(t, http.StatusOK, "What ends first"); strings.Contains(p.text, "You hold no privileges") {
		t.Error("a window after the last says that nothing is held")
	}
	_ = w
}

// TestSessionsInPages: administrators get all that is active in pages, others their own, and
// one of them whatever page it is on.
func TestSessionsInPages(t *testing.T) {
	const many = shownOpen + 9
	w, admin, mira := holder(t, many)
	root := w.guest("root")
	ids := through(t, root, "/sessions", openRow, shownOpen, "Of ")
	each(t, ids, many)
	oldest := ids[many-1]
	root.get("/sessions/"+oldest).want(t, http.StatusOK, "order 4711")
	mira.get("/sessions/"+oldest).want(t, http.StatusOK, "order 4711")
	_, err := admin.AddUser(t.Context(), api.UserAdd{Name: "eve", Groups: []string{"guests"}})
	check(t, err)
	eve := w.guest("eve")
	eve.get("/sessions/"+oldest).want(t, http.StatusNotFound)
	if got := rowsOf(openRow, eve.get("/sessions").text); len(got) != 0 {
		t.Errorf("eve sees %v", got)
	}
	root.get("/sessions/req_none").want(t, http.StatusNotFound)
	next := nextLink.FindStringSubmatch(root.get("/sessions").text)[1]
	_, said := root.stream(t.Context(), t, "sessions&before="+strings.TrimPrefix(next, "/sessions?before="))
	if got := rowsOf(openRow, <-said); !slices.Equal(got, ids[shownOpen:]) {
		t.Errorf("the stream of the second page has %d rows", len(got))
	}
	if p := root.get("/sessions?before=x"); p.status != http.StatusUnprocessableEntity && p.status != http.StatusBadRequest {
		t.Errorf("a bad page is answered with %d", p.status)
	}
}

// TestApprovalsInPages: what waits for an approver comes in pages, each once and the oldest
// first, and so does what somebody asked for; the number on the tab is of all that waits.
func TestApprovalsInPages(t *testing.T) {
	const many = 2*views.InboxEach + 3
	w, admin := populated(t)
	unlimited(w)
	gus := w.as(admin, api.UserAdd{Name: "gus", Groups: []string{"guests"}})
	w.as(admin, api.UserAdd{Name: "omar", Groups: []string{"dba"}})
	like := alike(t, w, gus)
	fill(t, w.store, like, many-1, waiting)
	omar, guest := w.guest("omar"), w.guest("gus")
	row := regexp.MustCompile(`id="q-(req_\w+)"`)
	omar.get("/requests").want(t, http.StatusOK, fmt.Sprintf("%d of %d", views.InboxEach, many), fmt.Sprintf("%d for you", many))
	ids := through(t, omar, "/requests", row, views.InboxEach)
	each(t, ids, many)
	if !slices.IsSorted(ids) {
		t.Error("the oldest is not the first")
	}
	_, said := omar.stream(t.Context(), t, "requests&tab=for-me&after="+ids[views.InboxEach-1])
	if got := rowsOf(row, <-said); !slices.Equal(got, ids[views.InboxEach:2*views.InboxEach]) {
		t.Errorf("the stream of the second page has %d rows", len(got))
	}
	each(t, through(t, guest, "/requests?tab=own", row, shownOwn), many)
	if got := rowsOf(row, guest.get("/requests").text); len(got) != 0 {
		t.Errorf("%d requests wait for who asked", len(got))
	}
	if p := omar.get("/requests?after=x"); p.status == http.StatusOK || p.status == http.StatusInternalServerError {
		t.Errorf("a bad page is answered with %d", p.status)
	}
}

// TestPersonInWindows: what somebody holds comes in windows on the page of theirs that
// administrators have, too, each once; the number is of all.
func TestPersonInWindows(t *testing.T) {
	const many = 2*shownAtOnce + 7
	w, admin, _ := holder(t, many)
	w.agent(admin, "fixer", "mira")
	root := w.guest("root")
	row := regexp.MustCompile(`id="p-(grt_\w+)"`)
	ids := through(t, root, "/people/user:mira", row, shownAtOnce, fmt.Sprintf("of %d, in the order", many), fmt.Sprintf(">%d<", many))
	each(t, ids, many)
	_, said := root.stream(t.Context(), t, "person&id=user%3Amira")
	if got := rowsOf(row, <-said); !slices.Equal(got, ids[:shownAtOnce]) {
		t.Errorf("the stream says %d rows, of which the page has not the same", len(got))
	}
	root.get("/people/agent:fixer").want(t, http.StatusOK, "Holds nothing right now.")
	if p := root.get("/people/user:mira?after=x"); p.status == http.StatusOK || p.status == http.StatusInternalServerError {
		t.Errorf("a bad window is answered with %d", p.status)
	}
	root.post("/people/user:mira/end", map[string][]string{"why": {"laptop stolen"}}).want(t, http.StatusSeeOther)
	root.until("/people/user:mira", "0 grants are live")
}

// TestInboxInWindows: the API gives what waits in pages, too, the newest first, each once.
func TestInboxInWindows(t *testing.T) {
	w, admin := populated(t)
	unlimited(w)
	gus := w.as(admin, api.UserAdd{Name: "gus", Groups: []string{"guests"}})
	omar := w.as(admin, api.UserAdd{Name: "omar", Groups: []string{"dba"}})
	fill(t, w.store, alike(t, w, gus), 24, waiting)
	var ids []string
	for cursor, pages := "", 0; ; pages++ {
		p, err := omar.Approvals(t.Context(), api.List{Cursor: cursor, Limit: 10})
		check(t, err)
		for _, r := range p.Items {
			ids = append(ids, r.ID)
		}
		if cursor = p.Next; cursor == "" {
			if pages != 2 {
				t.Errorf("%d pages", pages+1)
			}
			break
		}
	}
	each(t, ids, 25)
	if !slices.IsSortedFunc(ids, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Error("the newest is not the first")
	}
	if p, err := gus.Approvals(t.Context(), api.List{}); err != nil || len(p.Items) != 0 || p.Next != "" {
		t.Errorf("for who asked wait %d, and then %q, %v", len(p.Items), p.Next, err)
	}
}
