package pggate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// exchange is what a client sends, until the server is ready so many times.
type exchange struct {
	what  string
	sends []pgproto3.FrontendMessage
	ready int
}

func parse(name, sql string, types ...uint32) pgproto3.FrontendMessage {
	return &pgproto3.Parse{Name: name, Query: sql, ParameterOIDs: types}
}

func bind(portal, statement string, format int16, values ...string) pgproto3.FrontendMessage {
	b := &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: statement, ResultFormatCodes: []int16{format}}
	for _, v := range values {
		b.Parameters = append(b.Parameters, []byte(v))
	}
	return b
}

func execute(portal string, most uint32) pgproto3.FrontendMessage {
	return &pgproto3.Execute{Portal: portal, MaxRows: most}
}

func query(sql string) pgproto3.FrontendMessage { return &pgproto3.Query{String: sql} }

// conversations are in one session, so that what one leaves is there for the next.
func conversations() []exchange {
	const (
		text   = 0
		binary = 1
	)
	sync, flush := &pgproto3.Sync{}, &pgproto3.Flush{}
	return []exchange{
		{"a simple query, several, none, and one that fails on the way", []pgproto3.FrontendMessage{query("SELECT 1, 'a', NULL"), query("SELECT 2; SELECT 3; SELECT 1/0; SELECT 4"), query(""), query("SELEC")}, 4},
		{"prepared, described, bound and carried out, in binary", []pgproto3.FrontendMessage{parse("", "SELECT $1::int8 + 1, $2::text, now() - now()", 0, 25), &pgproto3.Describe{ObjectType: 'S'},
			bind("", "", binary, "\x00\x00\x00\x00\x00\x00\x00\x07", "ü"), sync}, 1}, // of which the first value is no number
		{"the same, in text", []pgproto3.FrontendMessage{parse("", "SELECT $1::int8 + 1, $2::text", 0, 25), bind("", "", binary, "7", "ü"), &pgproto3.Describe{ObjectType: 'P'}, execute("", 0), sync}, 1},
		{"names, again and again", []pgproto3.FrontendMessage{parse("s", "SELECT n, repeat('x', n) FROM generate_series(1, $1::int) n"), &pgproto3.Describe{ObjectType: 'S', Name: "s"}, sync,
			bind("p", "s", text, "5"), execute("p", 2), execute("p", 2), execute("p", 2), execute("p", 2), sync, bind("q", "s", text, "3"), &pgproto3.Describe{ObjectType: 'P', Name: "q"},
			execute("q", 0), &pgproto3.Close{ObjectType: 'P', Name: "q"}, execute("q", 0), sync}, 3},
		{"a name twice, one that is none, closed", []pgproto3.FrontendMessage{parse("s", "SELECT 1"), sync, bind("", "nobody", text), execute("", 0), sync, &pgproto3.Close{ObjectType: 'S', Name: "s"}, bind("", "s", text, "1"), sync}, 3},
		{"a pipeline with an error in its middle", []pgproto3.FrontendMessage{parse("", "SELECT $1::int"), bind("", "", text, "1"), execute("", 0), bind("", "", text, "no number"), execute("", 0), bind("", "", text, "3"), execute("", 0), sync,
			bind("", "", text, "4"), execute("", 0), sync, sync}, 3},
		{"flushed", []pgproto3.FrontendMessage{parse("", "SELECT 5"), flush, bind("", "", text), flush, execute("", 0), flush, sync}, 1},
		{"a transaction that fails", []pgproto3.FrontendMessage{query("BEGIN"), query("SELECT 1/0"), query("SELECT 1"), parse("", "SELECT 2"), sync, query("ROLLBACK")}, 5},
		{"a parameter that is told", []pgproto3.FrontendMessage{query("SET DateStyle TO 'German'; SET application_name TO 'another'"), query("RESET ALL")}, 2},
		{"copied out", []pgproto3.FrontendMessage{query("COPY (SELECT n, repeat('x', 100) FROM generate_series(1, 3000) n) TO STDOUT"), query("COPY (SELECT 1, 'a') TO STDOUT (FORMAT binary)")}, 2},
		{"copied in, refused, and nonsense", []pgproto3.FrontendMessage{query("CREATE TEMP TABLE c (id int, v text)"), query("COPY c FROM STDIN"), &pgproto3.CopyData{Data: []byte("1\ta\n2\t")}, &pgproto3.CopyData{Data: []byte("b\n")}, &pgproto3.CopyDone{},
			query("COPY c FROM STDIN"), &pgproto3.CopyData{Data: []byte("3\tc\n")}, &pgproto3.CopyFail{Message: "I will not"}, query("COPY c FROM STDIN"), &pgproto3.CopyData{Data: []byte("x\ty\tz\n")}, &pgproto3.CopyDone{},
			parse("", "COPY c FROM STDIN"), bind("", "", text), execute("", 0), sync, &pgproto3.CopyData{Data: []byte("4\td\n")}, &pgproto3.CopyDone{}, sync, query("SELECT id + 0, v || '' FROM c ORDER BY id")}, 6}, // a Sync within copied data counts for nothing
		{"told by itself", []pgproto3.FrontendMessage{query("LISTEN x"), query("NOTIFY x, 'with a text'"), query("UNLISTEN x")}, 3},
		{"large", []pgproto3.FrontendMessage{query("SELECT repeat('x', 3000000)"), query("DO $$ BEGIN RAISE NOTICE '%', repeat('n', 200000); RAISE EXCEPTION '%', repeat('e', 200000); END $$"),
			query("SELECT " + strings.TrimSuffix(strings.Repeat("1 AS a_name_that_is_as_long_as_one_may_be_in_postgresql_by_default, ", 1600), ", ")), parse("", "SELECT length($1::text)"), bind("", "", text, strings.Repeat("y", 2_000_000)), execute("", 0), sync}, 4},
	}
}

// replies sends what a conversation has, and gives every byte that comes back, until the
// server has been ready as often as it will be; but for the server's own process number, with
// which a notification begins.
func replies(ctx context.Context, dsn string, all []exchange) (got [][]byte, err error) {
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	var from io.Reader
	c.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend { from = r; return pgproto3.NewFrontend(r, w) }
	conn, err := pgconn.ConnectConfig(ctx, &c.Config)
	if err != nil {
		return nil, err
	}
	h, err := conn.Hijack()
	if err != nil {
		return nil, err
	}
	defer func() { _ = h.Conn.Close() }()
	end, _ := ctx.Deadline()
	if err := h.Conn.SetDeadline(end); err != nil {
		return nil, err
	}
	r := bufio.NewReader(from)
	for _, x := range all {
		var send []byte
		for _, m := range x.sends {
			if send, err = m.Encode(send); err != nil {
				return got, err
			}
		}
		failed := make(chan error, 1)
		go func() { _, err := h.Conn.Write(send); failed <- err }()
		var back bytes.Buffer
		for ready := 0; ready < x.ready; {
			var head [headLen]byte
			if _, err := io.ReadFull(r, head[:]); err != nil {
				return got, fmt.Errorf("%s: ready %d times of %d: %w", x.what, ready, x.ready, err)
			}
			body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
			if _, err := io.ReadFull(r, body); err != nil {
				return got, fmt.Errorf("%s: %w", x.what, err)
			}
			switch head[0] {
			case 'Z':
				ready++
			case 'A':
				clear(body[:4])
			}
			back.Write(head[:])
			back.Write(body)
		}
		if err := <-failed; err != nil {
			return got, err
		}
		got = append(got, back.Bytes())
	}
	return got, nil
}

// TestSameMessagesAsDirect: what the server answers comes through byte for byte, whatever a
// client does with the protocol. PostgreSQL's own suite, and a driver's: make db-compare.
func TestSameMessagesAsDirect(t *testing.T) {
	w := newWorld(t)
	ctx, done := context.WithTimeout(t.Context(), 2*time.Minute)
	defer done()
	all := conversations()
	want, err := replies(ctx, w.direct(), all)
	if err != nil {
		t.Fatalf("without the gateway: %v", err)
	}
	got, err := replies(ctx, w.dsn()+" application_name=''", all)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range all {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("%s: %d bytes are answered through the gateway and %d without:\n%.2000q\n%.2000q", x.what, len(got[i]), len(want[i]), got[i], want[i])
		}
	}
	// How each statement went is said of that statement, also behind a Sync that had no answer.
	run := w.tapes.last().run()
	for _, want := range []string{"execute COPY c FROM STDIN → COPY 1", "simple SELECT id + 0, v || '' FROM c ORDER BY id → SELECT 3", "simple NOTIFY x, 'with a text' → NOTIFY", "simple UNLISTEN x → UNLISTEN"} {
		if !slices.Contains(run, want) {
			t.Errorf("%q is not in the record:\n%.3000s", want, strings.Join(run, "\n"))
		}
	}
}
