package audit

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"stint/internal/access"
)

var compareRecords = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// aRecord is a record with everything in it.
func aRecord() Record {
	return Record{ID: "rec_01JQ0000000000000000000001", Event: access.Event{
		Type: access.GrantActive, At: time.Date(2026, 3, 1, 9, 30, 0, 250e6, time.UTC),
		Entity: "grt_01JQ0000000000000000000002", Version: 3,
		Actor: access.Actor{Principal: "user:mira", Person: "mira", Device: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
			Address: netip.MustParseAddr("2001:db8::7")},
		Facts: map[string]string{"resource": "orders-db", "role": "reader", "reason": "look at \"INC-7\"\n\tnow"},
	}}
}

func TestEncode(t *testing.T) {
	got, err := Encode(aRecord())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"v":1,"id":"rec_01JQ0000000000000000000001","type":"grant.active","at":"2026-03-01T09:30:00.250Z",` +
		`"entity":"grt_01JQ0000000000000000000002","version":3,` +
		`"actor":{"principal":"user:mira","person":"mira","device":"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs","address":"2001:db8::7"},` +
		`"facts":{"reason":"look at \"INC-7\"\n\tnow","resource":"orders-db","role":"reader"}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEncodeTimeIsUTCMilliseconds(t *testing.T) {
	r := aRecord()
	r.Event.At = time.Date(2026, 3, 1, 10, 30, 0, 250_999_999, time.FixedZone("CET", 3600))
	got, err := Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := Encode(aRecord())
	if string(got) != string(want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEncodeRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		bend func(*Record)
		kind access.Kind
	}{
		{"no id", func(r *Record) { r.ID = "" }, access.Invalid},
		{"id with a quote", func(r *Record) { r.ID = `rec_"` }, access.Invalid},
		{"id too long", func(r *Record) { r.ID = strings.Repeat("a", 65) }, access.Invalid},
		{"no type", func(r *Record) { r.Event.Type = "" }, access.Invalid},
		{"type with a space", func(r *Record) { r.Event.Type = "grant active" }, access.Invalid},
		{"no time", func(r *Record) { r.Event.At = time.Time{} }, access.Invalid},
		{"year 10000", func(r *Record) { r.Event.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, access.Invalid},
		{"year 0", func(r *Record) { r.Event.At = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) }, access.Invalid},
		{"no entity", func(r *Record) { r.Event.Entity = "" }, access.Invalid},
		{"entity too long", func(r *Record) { r.Event.Entity = strings.Repeat("e", 257) }, access.Invalid},
		{"version 0", func(r *Record) { r.Event.Version = 0 }, access.Invalid},
		{"negative version", func(r *Record) { r.Event.Version = -1 }, access.Invalid},
		{"no principal", func(r *Record) { r.Event.Actor.Principal = "" }, access.Invalid},
		{"person not UTF-8", func(r *Record) { r.Event.Actor.Person = "\xff" }, access.Invalid},
		{"zone not UTF-8", func(r *Record) { r.Event.Actor.Address = netip.MustParseAddr("fe80::1").WithZone("\xff") }, access.Invalid},
		{"fact not UTF-8", func(r *Record) { r.Event.Facts["reason"] = "caf\xe9" }, access.Invalid},
		{"fact without a name", func(r *Record) { r.Event.Facts[""] = "x" }, access.Invalid},
		{"too long", func(r *Record) { r.Event.Facts["reason"] = strings.Repeat("x", MaxRecord) }, access.Invalid},
		{"password", func(r *Record) { r.Event.Facts["password"] = "hunter2" }, access.Internal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := aRecord()
			tt.bend(&r)
			got, err := Append([]byte("before"), r)
			if !errors.Is(err, tt.kind) {
				t.Fatalf("got error %v, want kind %v", err, tt.kind)
			}
			if string(got) != "before" {
				t.Errorf("a refused record left %q behind", got)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the value: %v", err)
			}
		})
	}
}

func TestSecretNames(t *testing.T) {
	for _, n := range []string{"password", "Password", "db_password", "clientSecret", "client-secret", "session.token",
		"api_key", "apiKey", "PRIVATE_KEY", "credential_plain", "scram_verifier", "pass_word"} {
		if !secretName(n) {
			t.Errorf("%q can name a secret and was let pass", n)
		}
	}
	for _, n := range []string{"credential", "token_id", "password_set", "mechanism", "tokens", "key", "word", "ord", ""} {
		if secretName(n) {
			t.Errorf("%q was refused", n)
		}
	}
}

func TestTextEscapes(t *testing.T) {
	for in, want := range map[string]string{
		"plain ünïcödé 字 😀 <&>": `"plain ünïcödé 字 😀 <&>"`,
		"a\x1b[31mred":          `"a\u001b[31mred"`,
		"\x00\x7f\u0085":        `"\u0000\u007f\u0085"`,
		"line\u2028break\u202e": `"line\u2028break\u202e"`,
		"\ufeff\u200b\u061c":    `"\ufeff\u200b\u061c"`,
		`"\/` + "\r\n\t\b":      `"\"\\/\r\n\t\u0008"`,
		"\ufffd":                "\"\ufffd\"",
	} {
		got := string(appendText(nil, in))
		if got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
		s := scanner{rest: []byte(got)}
		if back := s.text(); back != in || !s.done() {
			t.Errorf("%s reads as %q", got, back)
		}
	}
}

// anyText is UTF-8 with more hostile characters in it than chance would give.
func anyText(most int) *rapid.Generator[string] {
	rune := rapid.OneOf(rapid.Rune(), rapid.RuneFrom([]rune("\x00\x1b\"\\\n\r\t\x7f\u0085\u2028\u202e\u200b\ufeff\ufffdé字😀<>&/")))
	return rapid.StringOfN(rune, 0, most, 240).Filter(utf8.ValidString)
}

func anyRecord(t *rapid.T) Record {
	facts := rapid.MapOfN(anyText(40).Filter(func(s string) bool { return s != "" && !secretName(s) }), anyText(60), 0, 6).Draw(t, "facts")
	if len(facts) == 0 {
		facts = nil
	}
	some := anyText(60).Filter(func(s string) bool { return s != "" })
	address := rapid.SampledFrom([]string{"", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1%e\"th"}).Draw(t, "address")
	r := Record{ID: "rec_" + rapid.StringMatching(`[0-9A-Z]{26}`).Draw(t, "id"), Event: access.Event{
		Type:    access.EventType(rapid.StringMatching(`[a-z]{1,9}\.[a-z]{1,9}`).Draw(t, "type")),
		At:      time.UnixMilli(rapid.Int64Range(-62135596799999, 253402300799999).Draw(t, "at")).UTC(),
		Entity:  some.Draw(t, "entity"),
		Version: rapid.Int64Min(1).Draw(t, "version"),
		Actor: access.Actor{Principal: access.PrincipalID(some.Draw(t, "principal")),
			Person: access.Person(anyText(20).Draw(t, "person")), Device: access.DeviceID(anyText(20).Draw(t, "device"))},
		Facts: facts,
	}}
	if address != "" {
		r.Event.Actor.Address = netip.MustParseAddr(address)
	}
	return r
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRecord(t)
		encoded, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(encoded, func(c byte) bool { return c < 0x20 || c == 0x7f }) {
			t.Fatalf("a control character is left in %q", encoded)
		}
		back, err := Decode(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(back, r, compareRecords); diff != "" {
			t.Fatalf("decoded (-got +want):\n%s", diff)
		}
		// A reader that knows nothing of this package reads the same.
		var other struct {
			ID, Type, Entity string
			At               time.Time
			Version          int64
			Actor            struct{ Principal, Person, Device string }
			Facts            map[string]string
		}
		if err := json.Unmarshal(encoded, &other); err != nil {
			t.Fatal(err)
		}
		e := r.Event
		if other.ID != r.ID || other.Type != string(e.Type) || other.Entity != e.Entity || !other.At.Equal(e.At) ||
			other.Version != e.Version || other.Actor.Principal != string(e.Actor.Principal) ||
			other.Actor.Person != string(e.Actor.Person) || len(other.Facts) != len(e.Facts) {
			t.Fatalf("encoding/json reads %+v from %s", other, encoded)
		}
		for k, v := range e.Facts {
			if other.Facts[k] != v {
				t.Fatalf("encoding/json reads fact %q as %q, want %q", k, other.Facts[k], v)
			}
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	good, err := Encode(aRecord())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(good); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, old, new string }{
		{"another format", `{"v":1,`, `{"v":2,`},
		{"a space", `"version":3`, `"version": 3`},
		{"a leading zero", `"version":3`, `"version":03`},
		{"a fraction", `"version":3`, `"version":3.0`},
		{"a huge version", `"version":3`, `"version":99999999999999999999`},
		{"a time without milliseconds", `.250Z`, `Z`},
		{"a time with microseconds", `.250Z`, `.250000Z`},
		{"a time with a comma", `.250Z`, `,250Z`},
		{"a time with a zone", `.250Z`, `.250+00:00`},
		{"an escaped letter", `"mira"`, `"m\u0069ra"`},
		{"a Go escape", `"mira"`, `"m\x69ra"`},
		{"an escaped slash", `"mira"`, `"mi\/ra"`},
		{"a raw tab", `\t`, "\t"},
		{"a long escape", `\t`, `\u0009`},
		{"capitals in an escape", `\n`, `\u000A`},
		{"an address written long", `2001:db8::7`, `2001:db8:0::7`},
		{"facts in another order", `"resource":"orders-db","role":"reader"`, `"role":"reader","resource":"orders-db"`},
		{"a fact twice", `"role":"reader"`, `"role":"reader","role":"reader"`},
		{"a field more", `"facts":{`, `"more":1,"facts":{`},
		{"a comma more", `"role":"reader"`, `"role":"reader",`},
		{"bytes after it", `"role":"reader"}}`, `"role":"reader"}} `},
		{"not UTF-8", `"mira"`, "\"m\xffra\""},
		{"a secret", `"role":`, `"secret":`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bad := strings.Replace(string(good), tt.old, tt.new, 1)
			if bad == string(good) {
				t.Fatal("the case changes nothing")
			}
			if r, err := Decode([]byte(bad)); err == nil {
				t.Errorf("accepted %s as %+v", bad, r)
			}
		})
	}
	for i := range good {
		if _, err := Decode(good[:i]); err == nil {
			t.Errorf("accepted the first %d bytes", i)
		}
	}
	if _, err := Decode(make([]byte, MaxRecord+1)); err == nil {
		t.Error("accepted a record that is too long")
	}
}

func FuzzDecode(f *testing.F) {
	good, err := Encode(aRecord())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"v":1,"id":"a","type":"b","at":"2026-01-01T00:00:00.000Z","entity":"c","version":1,"actor":{"principal":"d","person":"","device":"","address":""},"facts":{}}`))
	f.Add([]byte(`{"v":1,"id":"a","type":"b","at":"0000-01-01T00:00:00.000Z","entity":"\u001b","version":1,"actor":{"principal":"\\","person":"\"","device":"","address":"::1%\n"},"facts":{"":""}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := Decode(in)
		if err != nil {
			return
		}
		again, err := Encode(r)
		if err != nil || string(again) != string(in) {
			t.Fatalf("accepted %q, encodes as %q, %v", in, again, err)
		}
		if !json.Valid(in) {
			t.Fatalf("accepted %q, which is not JSON", in)
		}
	})
}
