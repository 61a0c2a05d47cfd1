package pggate

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/jackc/pgx/v5/pgproto3"

	"stint/internal/gateway/statement"
)

// TestOutcomesStayInStep: whatever a client does with Sync, copied data and what is skipped,
// each answer is that of its question: what comes behind is answered as without the gateway,
// how it went is in the record beside it, how the server tells words is certain again, and
// what is refused is answered with why.
func TestOutcomesStayInStep(t *testing.T) {
	w := guarded(t, "server", "", "")
	ctx, done := context.WithTimeout(t.Context(), 2*time.Minute)
	defer done()
	sync, end := &pgproto3.Sync{}, &pgproto3.CopyDone{}
	data := func(s string) pgproto3.FrontendMessage { return &pgproto3.CopyData{Data: []byte(s)} }
	msgs := func(all ...pgproto3.FrontendMessage) []pgproto3.FrontendMessage { return all }
	const in = "COPY c FROM STDIN"
	prepared := msgs(parse("", in), bind("", "", 0), execute("", 0))
	setup := exchange{"made", msgs(query("CREATE TEMP TABLE c (id int); CREATE TEMP TABLE d (id int)")), 1}
	for _, x := range []exchange{
		{"a Sync within a simple query's data", msgs(query(in), sync, data("1\n"), sync, end), 1},
		{"two that copy in one query", msgs(query(in+"; SELECT 7; "+in), sync, data("1\n"), end, sync, sync, end), 1},
		{"a Sync within data that fails", msgs(query(in), sync, data("x\n"), end, sync), 2},
		{"a Sync behind data that fails", msgs(query(in), data("x\n"), sync, end, sync), 3},
		{"prepared, and the data ends behind a Sync", append(slices.Clone(prepared), data("1\n"), sync, end, sync), 1},
		{"prepared, with many", append(slices.Clone(prepared), sync, sync, data("1\n"), sync, end, sync, sync), 2},
		{"prepared, and the data fails behind a Sync", append(slices.Clone(prepared), sync, data("x\n"), end, sync), 1},
		{"prepared, and the data fails before a Sync", append(slices.Clone(prepared), data("x\n"), sync, sync, end, sync), 3},
		{"prepared, and the client gives up", append(slices.Clone(prepared), sync, &pgproto3.CopyFail{Message: "no"}, sync), 1},
		{"a query that is skipped", msgs(parse("", "SELECT 1 +"), query("SELECT 'skipped'"), sync), 1},
		{"a query that is skipped and refused", msgs(parse("", "SELECT 1 +"), query("SELECT pg_reload_conf()"), sync), 1},
		{"a name that is none, and what is skipped", msgs(&pgproto3.Describe{ObjectType: 'S', Name: "none"}, parse("x", "SELECT 'skipped'"), query("SELECT 1"), execute("", 0), sync, sync), 2},
		{"ends of nothing", msgs(end, query("SELECT 2"), end, end, query("SELECT 3"), sync, end), 3},
	} {
		t.Run(x.what, func(t *testing.T) {
			ordinary := exchange{"a text that depends on settings", msgs(query("SELECT 'ä'")), 1}
			want, err := replies(ctx, w.direct(), []exchange{setup, x, ordinary})
			if err != nil {
				t.Fatalf("without the gateway: %v", err)
			}
			denied := exchange{"denied", msgs(query("SELECT pg_rotate_logfile()")), 1}
			got, err := replies(ctx, w.dsn()+" application_name=''", []exchange{setup, x, ordinary, denied, ordinary})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(x.what, "refused") && !bytes.Equal(got[1], want[1]) {
				t.Errorf("answered\n%q\nand without the gateway\n%q", got[1], want[1])
			}
			if !bytes.Equal(got[2], want[2]) || !bytes.Equal(got[4], want[2]) {
				t.Errorf("what comes behind is answered\n%q\n%q", got[2], got[4])
			}
			if !bytes.Contains(got[3], []byte(codeRefused)) {
				t.Errorf("what is refused is answered %q", got[3])
			}
			run := w.tapes.last().run()
			for i, want := range []string{"simple SELECT 'ä' → SELECT 1", "rejected SELECT pg_rotate_logfile() → 42501 stint: refused", "simple SELECT 'ä' → SELECT 1"} {
				if got := run[len(run)-3+i]; !strings.HasPrefix(got, want) {
					t.Errorf("in the record is %q, want %q", got, want)
				}
			}
			for _, line := range run {
				if strings.Contains(line, "skipped") && strings.Contains(line, "→") {
					t.Errorf("what was skipped has an outcome: %s", line)
				}
			}
		})
	}
}

// TestCopyThatReadsNothing: data that fails before any of it is read, so that each Sync counts.
func TestCopyThatReadsNothing(t *testing.T) {
	w := newWorld(t)
	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	sync, end := &pgproto3.Sync{}, &pgproto3.CopyDone{}
	all := []exchange{
		{"made", []pgproto3.FrontendMessage{query(`CREATE TEMP TABLE c (id int); CREATE FUNCTION pg_temp.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
			CREATE TRIGGER no BEFORE INSERT ON c EXECUTE FUNCTION pg_temp.no()`)}, 1},
		{"copied", []pgproto3.FrontendMessage{parse("", "COPY c FROM STDIN"), bind("", "", 0), execute("", 0), sync, sync, end, sync}, 3},
		{"simple", []pgproto3.FrontendMessage{query("COPY c FROM STDIN"), sync, end, sync}, 3},
		{"behind", []pgproto3.FrontendMessage{query("SELECT 'behind'")}, 1},
	}
	want, err := replies(ctx, w.direct(), all)
	must(t, err)
	got, err := replies(ctx, w.dsn()+" application_name=''", all)
	must(t, err)
	for i, x := range all {
		if !bytes.Equal(anySchema(got[i]), anySchema(want[i])) {
			t.Errorf("%s: %q, and without the gateway %q", x.what, got[i], want[i])
		}
	}
	if run := w.tapes.last().run(); run[len(run)-1] != "simple SELECT 'behind' → SELECT 1" {
		t.Errorf("in the record is %q", run[len(run)-1])
	}
}

// anySchema is an answer without the number of the session's temporary schema, which is another one
// while the session before is not gone yet, and without the length that follows from it.
func anySchema(answer []byte) []byte {
	return temporary.ReplaceAll(answer, []byte("E $1 pg_temp"))
}

var temporary = regexp.MustCompile(`(?s)E\x00\x00\x00.(SERROR.*?)pg_temp_\d+`)

// TestNamesAsTheServer: what is carried out by a name is in the record as what it is, whatever
// the client asked for that was refused or skipped. Where it could not be known yet, the
// record says so afterwards.
func TestNamesAsTheServer(t *testing.T) {
	w := newWorld(t)
	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()
	sync, missing := &pgproto3.Sync{}, &pgproto3.Describe{ObjectType: 'S', Name: "missing"}
	steps := []exchange{
		{"made", []pgproto3.FrontendMessage{query("CREATE TEMP TABLE c AS SELECT 1 AS id"), parse("a", "DELETE FROM c"), sync}, 2},
		{"a name that is skipped", []pgproto3.FrontendMessage{missing, parse("a", "SELECT 1"), sync}, 1},
		{"a name that is taken", []pgproto3.FrontendMessage{parse("a", "SELECT 2"), sync}, 1},
		{"an end that is skipped", []pgproto3.FrontendMessage{missing, &pgproto3.Close{ObjectType: 'S', Name: "a"}, sync}, 1},
		{"carried out", []pgproto3.FrontendMessage{bind("", "a", 0), execute("", 0), sync}, 1},
		{"a portal that is skipped", []pgproto3.FrontendMessage{query("BEGIN"), parse("b", "SELECT 3"), bind("p", "a", 0), bind("p", "b", 0), sync}, 2},
	}
	_, err := replies(ctx, w.dsn(), steps)
	must(t, err)
	last := w.tapes.last()
	if run := last.run(); !slices.Contains(run, "execute DELETE FROM c → DELETE 1") || strings.Contains(strings.Join(last.notes, "\n"), "carried out") {
		t.Errorf("the record is\n%s\n%q", strings.Join(run, "\n"), last.notes)
	}
	var at1 []pgproto3.FrontendMessage
	for _, x := range steps[:5] {
		at1 = append(at1, x.sends...)
	}
	_, err = replies(ctx, w.dsn(), []exchange{{"all at once", at1, 6}})
	must(t, err)
	last = w.tapes.last()
	run := last.run()
	w.tapes.mu.Lock()
	defer w.tapes.mu.Unlock()
	truth := slices.ContainsFunc(run, func(l string) bool { return l == "execute DELETE FROM c → DELETE 1" }) // the answers were faster
	if !truth && !slices.ContainsFunc(last.notes, func(s string) bool { return strings.Contains(s, "carried out statement 2 [write]") }) {
		t.Errorf("the record is\n%s\n%q", strings.Join(run, "\n"), last.notes)
	}
}

// TestNamesExpected: a name is of what the server did, and until it has answered of what it
// was asked for last; what failed or was skipped is undone.
func TestNamesExpected(t *testing.T) {
	k := newTracker()
	give := func(n uint64, s string) {
		must(t, k.sent(pending{kind: 'P', n: n, name: &named{space: ofStatements, name: s, what: origin{n: n}}}))
	}
	bound := func(p, s string) {
		must(t, k.sent(pending{kind: 'B', name: &named{space: ofPortals, name: p, of: s}}))
	}
	sync := func() { must(t, k.sent(pending{kind: 'S'})) }
	is := func(why string, want uint64) {
		t.Helper()
		if got := k.of("p").n; got != want {
			t.Errorf("%s: it is %d, want %d", why, got, want)
		}
	}
	give(1, "a")
	bound("p", "a")
	is("asked", 1)
	k.answered('P')
	k.answered('B')
	is("done", 1)
	sync()
	give(2, "a")
	bound("p", "a")
	sync()
	give(3, "a")
	bound("p", "a")
	is("asked thrice", 3)
	k.ready(false)
	_, _ = k.failed()
	is("the second failed, the third waits", 3)
	k.ready(false)
	_, _ = k.failed()
	is("both failed", 1)
	must(t, k.sent(pending{kind: 'C', name: &named{space: ofPortals, name: "p"}}))
	is("asked to close", 0)
	bound("p", "a")
	is("bound anew", 1)
	k.answered('3')
	k.answered('C')
	k.ready(false)
	sync()
	must(t, k.sent(pending{kind: 'E', n: 9, name: &named{space: ofPortals, name: "p", what: origin{n: 8}}}))
	k.ready(true)
	if len(k.names.asked) > 0 {
		t.Errorf("%d names are asked for, and nothing is", len(k.names.asked))
	}
	k.names.portals["p"] = origin{n: 1}
	if n, truth := k.completed(); n != 9 || truth == nil || truth.n != 1 {
		t.Errorf("statement %d was in truth %v", n, truth)
	}
}

// TestTrackerHolds: what waits for its answer is bounded in bytes, and what is refused again
// and again has one text.
func TestTrackerHolds(t *testing.T) {
	k := newTracker()
	long, n := strings.Repeat("n", longestName), 0
	var err error
	for err == nil && n < 1<<20 {
		err = k.sent(pending{kind: 'B', name: &named{space: ofPortals, name: long, of: long}})
		n++
	}
	if most := mostPending / (2 * longestName); !errors.Is(err, tooMany) || n > most {
		t.Errorf("%d messages with long names wait, of at most %d: %v", n, most, err)
	}
	o := &session{}
	one, two := o.tell(statement.Refusal{Rule: "a", Why: "b"}), o.tell(statement.Refusal{Rule: "a", Why: "b"})
	if unsafe.StringData(one) != unsafe.StringData(two) {
		t.Error("the same refusal is held twice")
	}
	for range mostTold * 3 {
		_ = o.tell(statement.Refusal{Rule: strings.Repeat("x", len(o.told)+1)})
		if len(o.told) > mostTold {
			t.Fatalf("%d refusals are held", len(o.told))
		}
	}
}

// TestUnclear: where it cannot be told what the server carries out, the session ends.
func TestUnclear(t *testing.T) {
	k := newTracker()
	for _, kind := range "ES" {
		must(t, k.sent(pending{kind: byte(kind)}))
	}
	k.copiesIn()
	must(t, k.copyEnds())
	if _, err := k.failed(); err != nil {
		t.Errorf("nothing came behind: %v", err)
	}
	if err := k.sent(pending{kind: 'Q', n: 7}); !errors.Is(err, unclear) {
		t.Errorf("a query that may be skipped: %v", err)
	}
	must(t, k.sent(pending{kind: 'S'}))
	k.ready(true)
	must(t, k.sent(pending{kind: 'Q', n: 7}))
	if n, _ := k.completed(); n != 7 {
		t.Errorf("%d is done, want 7", n)
	}
	k = newTracker()
	for _, kind := range "ES" {
		must(t, k.sent(pending{kind: byte(kind)}))
	}
	k.copiesIn()
	must(t, k.copyEnds())
	must(t, k.sent(pending{kind: 'Q', n: 7}))
	must(t, k.sent(pending{kind: 'S'}))
	if _, err := k.failed(); !errors.Is(err, unclear) {
		t.Errorf("a query behind, that may be skipped: %v", err)
	}
}
