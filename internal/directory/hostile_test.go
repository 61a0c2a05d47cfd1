package directory_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

	"stint/internal/access"
	"stint/internal/directory"
)

// liar is a directory that answers as it is told, over a line without TLS on this
// machine.
type liar struct {
	addr string
	// search answers one search: entries, and what ends it.
	search func(base, filter string, attrs []string, cookie string) answer
	raw    []byte // sent instead of any answer to a search
	refuse int64  // the code by which it lets nobody in, and says what it was sent
}

type answer struct {
	entries []entry
	code    int64
	cookie  string
	refer   bool
	slow    time.Duration
}

type entry struct {
	dn     string
	values map[string][]string
}

func lie(t *testing.T, search func(base, filter string, attrs []string, cookie string) answer) *liar {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{addr: "ldap://" + ln.Addr().String(), search: search}
	var all sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			all.Go(func() { defer c.Close(); l.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l
}

func message(id any, op *ber.Packet) *ber.Packet {
	m := ber.NewSequence("")
	m.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	m.AppendChild(op)
	return m
}

func octets(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func result(tag ber.Tag, code int64) *ber.Packet {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""))
	op.AppendChild(octets(""))
	op.AppendChild(octets(""))
	return op
}

func (l *liar) serve(c net.Conn) {
	for {
		p, err := ber.ReadPacket(c)
		if err != nil {
			return
		}
		id, op := p.Children[0].Value, p.Children[1]
		switch op.Tag {
		case 0: // bind
			r := result(1, l.refuse)
			if l.refuse != 0 {
				r = ber.Encode(ber.ClassApplication, ber.TypeConstructed, 1, nil, "")
				r.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, l.refuse, ""))
				r.AppendChild(octets(""))
				r.AppendChild(octets("\x1b[31mwrong: " + op.Children[2].Data.String()))
			}
			_, err = c.Write(message(id, r).Bytes())
		case 3: // search
			if l.raw != nil {
				_, _ = c.Write(l.raw)
				return
			}
			err = l.found(c, id, p)
		default:
			return
		}
		if err != nil {
			return
		}
	}
}

func (l *liar) found(c net.Conn, id any, p *ber.Packet) error {
	op := p.Children[1]
	var attrs []string
	for _, a := range op.Children[7].Children {
		attrs = append(attrs, a.Value.(string))
	}
	filter := ""
	if f := op.Children[6]; f != nil {
		filter = f.Data.String()
	}
	a := l.search(op.Children[0].Value.(string), filter, attrs, "")
	time.Sleep(a.slow)
	for _, e := range a.entries {
		found := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 4, nil, "")
		found.AppendChild(octets(e.dn))
		list := ber.NewSequence("")
		for name, values := range e.values {
			one := ber.NewSequence("")
			one.AppendChild(octets(name))
			set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
			for _, v := range values {
				set.AppendChild(octets(v))
			}
			one.AppendChild(set)
			list.AppendChild(one)
		}
		found.AppendChild(list)
		if _, err := c.Write(message(id, found).Bytes()); err != nil {
			return err
		}
	}
	if a.refer {
		ref := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 19, nil, "")
		ref.AppendChild(octets("ldap://192.0.2.1/ou=people,dc=corp,dc=test"))
		if _, err := c.Write(message(id, ref).Bytes()); err != nil {
			return err
		}
	}
	m := message(id, result(5, a.code))
	if a.cookie != "" {
		controls := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		control := ber.NewSequence("")
		control.AppendChild(octets("1.2.840.113556.1.4.319"))
		value := ber.NewSequence("")
		value.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, int64(0), ""))
		value.AppendChild(octets(a.cookie))
		control.AppendChild(octets(string(value.Bytes())))
		controls.AppendChild(control)
		m.AppendChild(controls)
	}
	_, err := c.Write(m.Bytes())
	return err
}

func person(i int) entry {
	n := fmt.Sprintf("p%d", i)
	return entry{"uid=" + n + ",ou=people,dc=corp,dc=test", map[string][]string{"entryUUID": {"id-" + n}, "uid": {n}, "modifyTimestamp": {"20260101000000Z"}}}
}

func (e entry) with(name string, values ...string) entry {
	v := map[string][]string{name: values}
	for k, old := range e.values {
		if k != name {
			v[k] = old
		}
	}
	return entry{e.dn, v}
}

func (l *liar) read(t *testing.T, options map[string]string) (directory.Picture, error) {
	t.Helper()
	o := map[string]string{"users": "ou=people,dc=corp,dc=test", "plain": "yes"}
	for k, v := range options {
		o[k] = v
	}
	m := directory.Mirror{Door: directory.Door{Dial: (&net.Dialer{}).DialContext}, Now: time.Now}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p, _, err := m.Read(ctx, directory.Read(l.addr, o), directory.Login{DN: "cn=stint", Secret: access.NewSecret([]byte("hunter2"))}, true)
	return p, err
}

// TestHostileDirectory: what a directory must not say gives no picture at all, in
// bounded time and memory; a directory that errs in one entry loses that entry alone.
func TestHostileDirectory(t *testing.T) {
	people := func(es ...entry) func(string, string, []string, string) answer {
		return func(string, string, []string, string) answer { return answer{entries: es} }
	}
	endless := 0
	for name, search := range map[string]func(base, filter string, attrs []string, cookie string) answer{
		"two with one subject":          people(person(1), person(2).with("entryUUID", "id-p1")),
		"a number that is none":         people(person(1).with("userAccountControl", "yes")),
		"an end that is none":           people(person(1).with("accountExpires", "soon")),
		"an error after half of them":   func(string, string, []string, string) answer { return answer{entries: []entry{person(1)}, code: 1} },
		"a limit of its size":           func(string, string, []string, string) answer { return answer{entries: []entry{person(1)}, code: 4} },
		"a limit that somebody set":     func(string, string, []string, string) answer { return answer{entries: []entry{person(1)}, code: 11} },
		"a referral instead of answers": func(string, string, []string, string) answer { return answer{code: 10} },
		"pages without end":             func(string, string, []string, string) answer { return answer{cookie: "again"} },
		"the same page without end": func(string, string, []string, string) answer {
			return answer{entries: []entry{person(1)}, cookie: "again"}
		},
		"more people than there can be": func(string, string, []string, string) answer {
			a := answer{cookie: "again"}
			for range 20_000 {
				a.entries = append(a.entries, person(endless))
				endless++
			}
			return a
		},
		"one stands where another does": people(person(1), person(2).with("x").at(strings.ToUpper(person(1).dn))),
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			p, err := lie(t, search).read(t, nil)
			if err == nil {
				t.Fatalf("it is a picture: %d users, %d problems", len(p.Users), len(p.Problems))
			}
			if access.KindOf(err) != access.Unavailable || len(p.Users) > 0 {
				t.Errorf("%v, with %d users", err, len(p.Users))
			}
			t.Logf("%s: %v", time.Since(began).Round(time.Millisecond), err)
		})
	}
	for name, c := range map[string]struct {
		es   []entry
		want string
	}{
		"no subject":          {[]entry{person(1), person(2).with("entryUUID")}, "p1 !1"},
		"a subject too long":  {[]entry{person(1), person(2).with("entryUUID", strings.Repeat("x", 300))}, "p1 !1"},
		"a subject unseen":    {[]entry{person(1), person(2).with("entryUUID", "a\nb")}, "p1 !1"},
		"no name":             {[]entry{person(1), person(2).with("uid")}, "p1 !1"},
		"a DN that is none":   {[]entry{person(1), person(2).at("no DN at all")}, "p1 p2"},
		"an empty DN":         {[]entry{person(1), person(2).at("")}, "p1 p2"},
		"bytes that are none": {[]entry{person(1).with("displayName", "\xff\xfe")}, "p1"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := lie(t, people(c.es...)).read(t, nil)
			got := text(p)
			if n := len(p.Problems); n > 0 {
				got += fmt.Sprintf(" !%d", n)
			}
			if err != nil || got != c.want {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
		})
	}
	t.Run("references to elsewhere", func(t *testing.T) { // not followed, as Active Directory always sends some
		p, err := lie(t, func(string, string, []string, string) answer { return answer{entries: []entry{person(1)}, refer: true} }).read(t, nil)
		if err != nil || text(p) != "p1" {
			t.Errorf("%s, %v", text(p), err)
		}
	})
}

func (e entry) at(dn string) entry { return entry{dn, e.values} }

// TestEcho: what a directory says when it refuses somebody is nowhere repeated: it was
// just told a password.
func TestEcho(t *testing.T) {
	for _, code := range []int64{1, 49, 53, 80, 999} {
		l := lie(t, nil)
		l.refuse = code
		p, err := l.read(t, nil)
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%d: %+v, %v", code, p, err)
		}
	}
}

// TestPieces: a list of members that comes in pieces is read to its end; one that has
// no end is an error.
func TestPieces(t *testing.T) {
	groups := func(piece func(from int) (string, []string)) func(string, string, []string, string) answer {
		return func(base, _ string, attrs []string, _ string) answer {
			g := entry{"cn=g,ou=groups,dc=corp,dc=test", map[string][]string{"entryUUID": {"g"}, "cn": {"g"}}}
			if from, ok := strings.CutPrefix(attrs[0], "member;range="); ok {
				var n int
				_, _ = fmt.Sscanf(from, "%d-*", &n)
				name, values := piece(n)
				return answer{entries: []entry{g.with(name, values...)}}
			}
			if strings.HasPrefix(base, "ou=people") {
				return answer{entries: []entry{person(1), person(2), person(3)}}
			}
			name, values := piece(0)
			return answer{entries: []entry{g.with(name, values...)}}
		}
	}
	options := map[string]string{"groups": "ou=groups,dc=corp,dc=test"}
	p, err := lie(t, groups(func(from int) (string, []string) {
		if from == 2 {
			return "member;range=2-*", []string{person(3).dn}
		}
		return "member;range=0-1", []string{person(1).dn, person(2).dn}
	})).read(t, options)
	if err != nil || text(p) != "g(p1 p2 p3) p1 p2 p3" {
		t.Errorf("%s, %v", text(p), err)
	}
	for name, piece := range map[string]func(int) (string, []string){
		"nothing more, and no end": func(from int) (string, []string) {
			if from > 0 {
				return fmt.Sprintf("member;range=%d-%d", from, from), nil
			}
			return "member;range=0-1", []string{person(1).dn}
		},
	} {
		if p, err := lie(t, groups(piece)).read(t, options); err == nil {
			t.Errorf("%s: %s", name, text(p))
		}
	}
}

// TestNoLDAP: bytes that are no answer end the reading, whatever they are.
func TestNoLDAP(t *testing.T) {
	for _, bytes := range []string{
		"", "00", "3000", "30840fffffff", "30847fffffff04", "3080", "308000", "300302010", "30050201026503020100",
		"300c02010265070a010104000400", "3007020102640204003000", "3009020102640404003000", "300e0201026409040030050403666f6f", "30130201026409040030050403", "ffffffffffffffff",
		"48545450", "30050a0102640000", "3006040102640130", strings.Repeat("3080", 5000), "300c0401026407040030030400",
	} {
		raw, _ := hex.DecodeString(bytes)
		l := lie(t, nil)
		l.raw = raw
		if l.raw == nil {
			l.raw = []byte{}
		}
		if p, err := l.read(t, nil); err == nil {
			t.Errorf("%.40s: a picture: %+v", bytes, p)
		}
	}
}

// FuzzAnswer: no answer to a search makes a picture out of bytes that were not asked
// for, panics or hangs.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{"3000", "300c02010265070a010004000400", "3080"} {
		raw, _ := hex.DecodeString(s)
		f.Add(raw)
	}
	f.Add(message(int64(2), result(5, 0)).Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		l := lie(t, nil)
		l.raw = append([]byte{}, raw...)
		p, err := l.read(t, nil)
		if err == nil && len(p.Users) > len(raw)/10 {
			t.Errorf("%d users out of %d bytes", len(p.Users), len(raw))
		}
	})
}
