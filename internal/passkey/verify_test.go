package passkey_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"testing"

	"stint/internal/access"
	"stint/internal/passkey"
	"stint/internal/passkey/passkeytest"
)

const (
	console = "https://stint.example.com"
	rpID    = "stint.example.com"
)

var algorithms = map[string]int{"ES256": passkey.ES256, "EdDSA": passkey.EdDSA, "RS256": passkey.RS256}

func expect(challenge []byte) passkey.Expect {
	return passkey.Expect{Challenge: challenge, RPID: rpID, Origin: console}
}

var challenge = bytes.Repeat([]byte{7}, 32)

func TestRegisterAndVerify(t *testing.T) {
	for name, alg := range algorithms {
		d := passkeytest.New(alg, rpID, console)
		made, err := passkey.Register(d.Register(challenge), expect(challenge))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(made.ID, d.ID) || !bytes.Equal(made.Key, d.COSE) || made.Synced {
			t.Errorf("%s: made %+v", name, made)
		}
		counter, err := passkey.Verify(d.Sign("", challenge), made.Key, expect(challenge))
		if err != nil || counter != 1 {
			t.Errorf("%s: %d, %v", name, counter, err)
		}
		// Members that a later version adds are no reason to refuse.
		for _, more := range []string{"", `,"crossOrigin":false`, `,"later":{"a":[1]},"crossOrigin":false`} {
			if _, err := passkey.Verify(d.Sign("", challenge, passkeytest.Bend{More: more}), made.Key, expect(challenge)); err != nil {
				t.Errorf("%s with %s: %v", name, more, err)
			}
		}
		if _, err := passkey.Verify(d.Sign("", challenge, passkeytest.Bend{Flags: 0x85, Data: func(b []byte) []byte { return append(b, 0xa0) }}), made.Key, expect(challenge)); err != nil {
			t.Errorf("%s with an extension: %v", name, err)
		}
	}
}

func TestAttestationIsNotLookedAt(t *testing.T) {
	d := passkeytest.New(passkey.ES256, rpID, console)
	for _, statement := range []any{map[string]any{}, map[string]any{"alg": -7, "sig": []byte("anything"), "x5c": []any{[]byte("c")}}} {
		r := d.Register(challenge, passkeytest.Bend{Attestation: func(m map[string]any) { m["fmt"], m["attStmt"] = "packed", statement }})
		if _, err := passkey.Register(r, expect(challenge)); err != nil {
			t.Errorf("%v: %v", statement, err)
		}
	}
}

// Everything that is not exactly what was asked for is refused, whatever the reason
// would have been to send it.
func TestHostileAssertions(t *testing.T) {
	u32 := func(n uint32) *uint32 { return &n }
	in := func(old, new string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				panic("there is no " + old)
			}
			return strings.Replace(s, old, new, 1)
		}
	}
	other := base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{8}, 32))
	right := base64.RawURLEncoding.EncodeToString(challenge)
	for name, alg := range algorithms {
		d, stranger := passkeytest.New(alg, rpID, console), passkeytest.New(alg, rpID, console)
		for what, c := range map[string]struct {
			bend passkeytest.Bend
			code string
		}{
			"another challenge":        {passkeytest.Bend{Challenge: bytes.Repeat([]byte{8}, 32)}, "wrong-challenge"},
			"no challenge":             {passkeytest.Bend{Challenge: []byte{}}, "wrong-challenge"},
			"a longer challenge":       {passkeytest.Bend{Challenge: append(bytes.Clone(challenge), 0)}, "wrong-challenge"},
			"padded challenge":         {passkeytest.Bend{ClientData: in(right, right+"=")}, "wrong-challenge"},
			"registration":             {passkeytest.Bend{Type: "webauthn.create"}, "wrong-ceremony"},
			"payment":                  {passkeytest.Bend{Type: "payment.get"}, "wrong-ceremony"},
			"another origin":           {passkeytest.Bend{Origin: "https://evil.example.com"}, "wrong-origin"},
			"a sibling origin":         {passkeytest.Bend{Origin: console + ":8443"}, "wrong-origin"},
			"origin without TLS":       {passkeytest.Bend{Origin: "http://stint.example.com"}, "wrong-origin"},
			"origin with a path":       {passkeytest.Bend{Origin: console + "/"}, "wrong-origin"},
			"in a frame":               {passkeytest.Bend{More: `,"crossOrigin":true`}, "wrong-origin"},
			"in a frame of a site":     {passkeytest.Bend{More: `,"crossOrigin":false,"topOrigin":"https://evil"`}, "wrong-origin"},
			"another site":             {passkeytest.Bend{RPID: "example.com"}, "wrong-site"},
			"nobody there":             {passkeytest.Bend{Flags: 0x04}, "not-present"},
			"nobody verified":          {passkeytest.Bend{Flags: 0x01}, "not-verified"},
			"neither":                  {passkeytest.Bend{Flags: 0x80, Data: func(b []byte) []byte { return append(b, 0xa0) }}, "not-present"},
			"backed up, not eligible":  {passkeytest.Bend{Flags: 0x15}, "bad-authenticator-data"},
			"a second challenge":       {passkeytest.Bend{ClientData: in(`,"origin"`, `,"challenge":"`+other+`","origin"`)}, "bad-client-data"},
			"challenge twice the same": {passkeytest.Bend{ClientData: in(`,"origin"`, `,"challenge":"`+right+`","origin"`)}, "bad-client-data"},
			"challenge in other case":  {passkeytest.Bend{ClientData: in(`"challenge"`, `"Challenge"`)}, "wrong-challenge"},
			"challenge is a list":      {passkeytest.Bend{ClientData: in(`"`+right+`"`, `["`+right+`"]`)}, "bad-client-data"},
			"challenge in an object":   {passkeytest.Bend{ClientData: func(s string) string { return `{"x":` + s + `}` }}, "wrong-ceremony"},
			"something follows":        {passkeytest.Bend{ClientData: func(s string) string { return s + "{}" }}, "bad-client-data"},
			"bytes follow":             {passkeytest.Bend{ClientData: func(s string) string { return s + "\x00" }}, "bad-client-data"},
			"cut client data":          {passkeytest.Bend{ClientData: func(s string) string { return s[:len(s)-1] }}, "bad-client-data"},
			"not UTF-8":                {passkeytest.Bend{ClientData: in(`"crossOrigin"`, "\"\xff\":1,\"crossOrigin\"")}, "bad-client-data"},
			"a mark of byte order":     {passkeytest.Bend{ClientData: func(s string) string { return "\ufeff" + s }}, "bad-client-data"},
			"huge client data":         {passkeytest.Bend{ClientData: func(s string) string { return s + strings.Repeat(" ", 9<<10) }}, "bad-client-data"},
			"crossOrigin is a text":    {passkeytest.Bend{More: `,"crossOrigin":"false"`}, "bad-client-data"},
			"crossOrigin is nothing":   {passkeytest.Bend{More: `,"crossOrigin":null`}, "bad-client-data"},
			"topOrigin is nothing":     {passkeytest.Bend{More: `,"topOrigin":""`}, "bad-client-data"},
			"no client data":           {passkeytest.Bend{ClientData: func(string) string { return "" }}, "bad-client-data"},
			"a list":                   {passkeytest.Bend{ClientData: func(string) string { return "[]" }}, "bad-client-data"},
			"cut data":                 {passkeytest.Bend{Data: func(b []byte) []byte { return b[:len(b)-1] }}, "bad-authenticator-data"},
			"no data":                  {passkeytest.Bend{Data: func(b []byte) []byte { return nil }}, "bad-authenticator-data"},
			"a byte after data":        {passkeytest.Bend{Data: func(b []byte) []byte { return append(b, 0) }}, "bad-authenticator-data"},
			"unsaid extensions":        {passkeytest.Bend{Data: func(b []byte) []byte { return append(b, 0xa0) }}, "bad-authenticator-data"},
			"extensions are no map":    {passkeytest.Bend{Flags: 0x85, Data: func(b []byte) []byte { return append(b, 0x80) }}, "bad-authenticator-data"},
			"extensions are missing":   {passkeytest.Bend{Flags: 0x85}, "bad-authenticator-data"},
			"extensions without end":   {passkeytest.Bend{Flags: 0x85, Data: func(b []byte) []byte { return append(b, 0xbf, 0xff) }}, "bad-authenticator-data"},
			"huge data":                {passkeytest.Bend{Data: func(b []byte) []byte { return append(b, make([]byte, 5<<10)...) }}, "bad-assertion"},
			"a new key":                {passkeytest.Bend{Flags: 0x45, Data: func(b []byte) []byte { return withKey(b, d) }}, "bad-assertion"},
			"a bit of the signature":   {passkeytest.Bend{Unsigned: func(a *access.Assertion) { a.Signature[len(a.Signature)-1] ^= 1 }}, "bad-signature"},
			"a byte after it":          {passkeytest.Bend{Unsigned: func(a *access.Assertion) { a.Signature = append(a.Signature, 0) }}, "bad-signature"},
			"half of it":               {passkeytest.Bend{Unsigned: func(a *access.Assertion) { a.Signature = a.Signature[:len(a.Signature)/2] }}, "bad-signature"},
			"no signature":             {passkeytest.Bend{Unsigned: func(a *access.Assertion) { a.Signature = nil }}, "bad-signature"},
			"huge signature":           {passkeytest.Bend{Unsigned: func(a *access.Assertion) { a.Signature = make([]byte, 2<<10) }}, "bad-assertion"},
			"counter changed":          {passkeytest.Bend{Unsigned: func(a *access.Assertion) { a.AuthenticatorData[36]++ }}, "bad-signature"},
			"client data changed":      {passkeytest.Bend{Unsigned: func(a *access.Assertion) { a.ClientData = append(a.ClientData, ' ') }}, "bad-signature"},
			"counter said otherwise":   {passkeytest.Bend{Counter: u32(9), Unsigned: func(a *access.Assertion) { a.AuthenticatorData[36] = 8 }}, "bad-signature"},
			"of another key":           {passkeytest.Bend{Unsigned: func(a *access.Assertion) { a.Signature = stranger.Sign("", challenge).Signature }}, "bad-signature"},
		} {
			a := d.Sign("", challenge, c.bend)
			_, err := passkey.Verify(a, d.COSE, expect(challenge))
			wantCode(t, name+": "+what, err, c.code)
		}
		if _, err := passkey.Verify(d.Sign("", challenge), stranger.COSE, expect(challenge)); err == nil {
			t.Errorf("%s: another's key verifies", name)
		}
		for otherName, otherAlg := range algorithms {
			if otherAlg != alg {
				if _, err := passkey.Verify(d.Sign("", challenge), passkeytest.New(otherAlg, rpID, console).COSE, expect(challenge)); err == nil {
					t.Errorf("%s verifies with a key of %s", name, otherName)
				}
			}
		}
		for _, e := range []passkey.Expect{{challenge, "", console}, {challenge, rpID, ""}, {nil, rpID, console}} {
			if _, err := passkey.Verify(d.Sign("", challenge), d.COSE, e); err == nil {
				t.Errorf("%s: it verifies with nothing expected: %+v", name, e)
			}
		}
	}
}

// withKey appends attested credential data to authenticator data.
func withKey(b []byte, d *passkeytest.Device) []byte {
	b = append(b, make([]byte, 16)...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(d.ID)))
	return append(append(b, d.ID...), d.COSE...)
}

func TestHostileRegistrations(t *testing.T) {
	d := passkeytest.New(passkey.ES256, rpID, console)
	data := func(f func([]byte) []byte) passkeytest.Bend { return passkeytest.Bend{Data: f} }
	object := func(f func(m map[string]any)) passkeytest.Bend { return passkeytest.Bend{Attestation: f} }
	for what, c := range map[string]struct {
		bend passkeytest.Bend
		code string
	}{
		"another challenge":    {passkeytest.Bend{Challenge: []byte("x")}, "wrong-challenge"},
		"a signature":          {passkeytest.Bend{Type: "webauthn.get"}, "wrong-ceremony"},
		"another origin":       {passkeytest.Bend{Origin: "https://evil"}, "wrong-origin"},
		"another site":         {passkeytest.Bend{RPID: "evil"}, "wrong-site"},
		"nobody verified":      {passkeytest.Bend{Flags: 0x01}, "not-verified"},
		"no key":               {data(func(b []byte) []byte { b[32] &^= 0x40; return b[:37] }), "bad-attestation"},
		"cut within the id":    {data(func(b []byte) []byte { return b[:60] }), "bad-authenticator-data"},
		"cut within the key":   {data(func(b []byte) []byte { return b[:len(b)-3] }), "bad-authenticator-data"},
		"an id of no length":   {data(func(b []byte) []byte { b[53], b[54] = 0, 0; return b }), "bad-authenticator-data"},
		"an id too long":       {data(func(b []byte) []byte { b[53], b[54] = 4, 0; return b }), "bad-authenticator-data"},
		"a byte after the key": {data(func(b []byte) []byte { return append(b, 0) }), "bad-authenticator-data"},
		"no format":            {object(func(m map[string]any) { delete(m, "fmt") }), "bad-attestation"},
		"no statement":         {object(func(m map[string]any) { delete(m, "attStmt") }), "bad-attestation"},
		"no data":              {object(func(m map[string]any) { delete(m, "authData") }), "bad-authenticator-data"},
		"one member more":      {object(func(m map[string]any) { m["more"] = 1 }), "bad-attestation"},
		"data is a text":       {object(func(m map[string]any) { m["authData"] = "x" }), "bad-attestation"},
		"format is a number":   {object(func(m map[string]any) { m["fmt"] = 1 }), "bad-attestation"},
	} {
		_, err := passkey.Register(d.Register(challenge, c.bend), expect(challenge))
		wantCode(t, what, err, c.code)
	}
	r := d.Register(challenge)
	for what, b := range map[string][]byte{
		"bytes after it": append(bytes.Clone(r.Attestation), 0), "nothing": nil, "too much": make([]byte, 65<<10), "cut": r.Attestation[:len(r.Attestation)-1],
		"a list": {0x80}, "no end": {0xbf, 0xff}, "a member twice": append([]byte{0xa4, 0x63, 'f', 'm', 't', 0x61, 'x'}, r.Attestation[1:]...),
	} {
		_, err := passkey.Register(passkey.Registration{ClientData: r.ClientData, Attestation: b}, expect(challenge))
		wantCode(t, what, err, "bad-attestation")
	}
}

func TestHostileKeys(t *testing.T) {
	ec, ed, rsa := passkeytest.New(passkey.ES256, rpID, console).COSE, passkeytest.New(passkey.EdDSA, rpID, console).COSE, passkeytest.New(passkey.RS256, rpID, console).COSE
	for _, good := range [][]byte{ec, ed, rsa} {
		if _, err := passkey.ParseKey(good); err != nil {
			t.Fatal(err)
		}
	}
	x, y := ec[10:42], ec[45:77]
	zeros := make([]byte, 32)
	n := bytes.Repeat([]byte{0xff}, 256)
	order8 := []byte{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05}
	e := passkeytest.Encode
	for what, key := range map[string][]byte{
		"nothing":                     nil,
		"an empty map":                e(map[int]any{}),
		"a list":                      e([]int{1}),
		"bytes after it":              append(bytes.Clone(ec), 0),
		"cut":                         ec[:len(ec)-1],
		"a member twice":              append([]byte{0xa6, 0x01, 0x02}, ec[1:]...),
		"members out of order":        append([]byte{0xa5, ec[3], ec[4], ec[1], ec[2]}, ec[5:]...),
		"a longer form of a number":   append([]byte{0xa5, 0x01, 0x18, 0x02}, ec[3:]...),
		"RSA's algorithm with EC":     e(map[int]any{1: 2, 3: passkey.RS256, -1: 1, -2: x, -3: y}),
		"EC's algorithm with Ed25519": e(map[int]any{1: 1, 3: passkey.ES256, -1: 6, -2: ed[len(ed)-32:]}),
		"an HMAC":                     e(map[int]any{1: 4, 3: 5, -1: []byte("secret")}),
		"no algorithm":                e(map[int]any{1: 2, -1: 1, -2: x, -3: y}),
		"P-384":                       e(map[int]any{1: 2, 3: -7, -1: 2, -2: x, -3: y}),
		"not on the curve":            e(map[int]any{1: 2, 3: -7, -1: 1, -2: x, -3: zeros}),
		"the point at infinity":       e(map[int]any{1: 2, 3: -7, -1: 1, -2: zeros, -3: zeros}),
		"a short coordinate":          e(map[int]any{1: 2, 3: -7, -1: 1, -2: x[:31], -3: y}),
		"a compressed point":          e(map[int]any{1: 2, 3: -7, -1: 1, -2: x, -3: true}),
		"one member more":             e(map[int]any{1: 2, 3: -7, -1: 1, -2: x, -3: y, 2: []byte("kid")}),
		"X25519":                      e(map[int]any{1: 1, 3: -8, -1: 4, -2: x}),
		"Ed25519 of order 4":          e(map[int]any{1: 1, 3: -8, -1: 6, -2: zeros}),
		"Ed25519 of order 8":          e(map[int]any{1: 1, 3: -8, -1: 6, -2: order8}),
		"the same, other sign":        e(map[int]any{1: 1, 3: -8, -1: 6, -2: append(bytes.Clone(order8[:31]), order8[31]|0x80)}),
		"a short Ed25519":             e(map[int]any{1: 1, 3: -8, -1: 6, -2: x[:31]}),
		"RSA of 1024 bits":            e(map[int]any{1: 3, 3: -257, -1: n[:128], -2: []byte{1, 0, 1}}),
		"RSA of 8192 bits":            e(map[int]any{1: 3, 3: -257, -1: bytes.Repeat(n, 4), -2: []byte{1, 0, 1}}),
		"RSA with e = 1":              e(map[int]any{1: 3, 3: -257, -1: n, -2: []byte{1}}),
		"RSA with e = 3":              e(map[int]any{1: 3, 3: -257, -1: n, -2: []byte{3}}),
		"RSA with a zero before":      e(map[int]any{1: 3, 3: -257, -1: append([]byte{0}, n...), -2: []byte{1, 0, 1}}),
		"RSA with an even modulus":    e(map[int]any{1: 3, 3: -257, -1: append(bytes.Clone(n[:255]), 0xfe), -2: []byte{1, 0, 1}}),
		"huge":                        e(map[int]any{1: 3, 3: -257, -1: make([]byte, 4<<10), -2: []byte{1, 0, 1}}),
	} {
		_, err := passkey.ParseKey(key)
		wantCode(t, what, err, "bad-key")
	}
}

// Pages of the person's own client are on any port of localhost, and nowhere else.
func TestClientOrigins(t *testing.T) {
	d := passkeytest.Client()
	for origin, ok := range map[string]bool{
		"http://localhost": true, "http://localhost:1": true, "http://localhost:65535": true, "http://localhost:49152": true,
		"https://localhost": false, "http://localhost:": false, "http://localhost:0": false, "http://localhost:65536": false, "http://localhost:080": false,
		"http://localhost:+80": false, "http://localhost.evil": false, "http://localhost@evil": false, "http://localhost:80/": false, "http://127.0.0.1": false,
		"http://LOCALHOST": false, "null": false, "http://a.localhost": false,
	} {
		_, err := passkey.Verify(d.Sign("", challenge, passkeytest.Bend{Origin: origin}), d.COSE, passkey.Expect{Challenge: challenge, RPID: access.ClientRPID, Origin: access.ClientOrigin})
		if (err == nil) != ok {
			t.Errorf("%s: %v", origin, err)
		}
	}
}

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	e, ok := err.(*access.Error)
	if !ok || e.Code != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
	if ok && access.KindOf(err) != access.Denied {
		t.Errorf("%s: kind %s", what, access.KindOf(err))
	}
}

func FuzzVerify(f *testing.F) {
	d := passkeytest.New(passkey.ES256, rpID, console)
	a := d.Sign("", challenge)
	f.Add(a.ClientData, a.AuthenticatorData, a.Signature, d.COSE)
	f.Fuzz(func(t *testing.T, client, data, signature, key []byte) {
		got := access.Assertion{ClientData: client, AuthenticatorData: data, Signature: signature}
		if _, err := passkey.Verify(got, d.COSE, expect(challenge)); err == nil && !bytes.Equal(client, a.ClientData) {
			t.Fatalf("verified: %q %x %x", client, data, signature)
		}
		_, _ = passkey.Verify(got, key, expect(challenge))
	})
}

func FuzzRegister(f *testing.F) {
	for _, alg := range algorithms {
		r := passkeytest.New(alg, rpID, console).Register(challenge)
		f.Add(r.ClientData, r.Attestation)
	}
	f.Fuzz(func(t *testing.T, client, attestation []byte) {
		made, err := passkey.Register(passkey.Registration{ClientData: client, Attestation: attestation}, expect(challenge))
		if err == nil && (len(made.ID) == 0 || len(made.ID) > 1023) {
			t.Fatalf("a credential of %d bytes", len(made.ID))
		}
		if err == nil {
			if _, err := passkey.ParseKey(made.Key); err != nil {
				t.Fatal(err)
			}
		}
	})
}
