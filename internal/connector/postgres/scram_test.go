package postgres

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"stint/internal/access"
)

// TestVerifierOfServer: the server computes the same from the same password,
// salt and iterations.
func TestVerifierOfServer(t *testing.T) {
	w := newWorld(t)
	conn := w.open(w.database)
	for range 5 {
		password := newPassword()
		if _, err := conn.Exec(t.Context(), "SET password_encryption TO 'scram-sha-256'"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "CREATE ROLE scram_sample PASSWORD "+literal(string(password))); err != nil {
			t.Fatal(err)
		}
		want := query[string](w, "SELECT rolpassword FROM pg_authid WHERE rolname = 'scram_sample'")
		w.exec("", "DROP ROLE scram_sample")
		_, salted, _ := strings.Cut(want, ":")
		salt, _, _ := strings.Cut(salted, "$")
		raw, err := base64.StdEncoding.DecodeString(salt)
		if err != nil {
			t.Fatal(err)
		}
		if got := verifier(password, raw, 4096); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

func TestIterations(t *testing.T) {
	w := newWorld(t)
	for _, n := range []string{"1", "4096", "10000"} {
		o := w.Order(access.Account)
		o.Options["scramIterations"] = n
		o, r := w.provision(o)
		s, err := w.Session(o, r)
		if err != nil {
			t.Fatalf("%s iterations: %v", n, err)
		}
		s.Close()
		if got := query[string](w, "SELECT rolpassword FROM pg_authid WHERE rolname = $1", o.Account); !strings.HasPrefix(got, "SCRAM-SHA-256$"+n+":") {
			t.Errorf("%s iterations: the verifier is another", n)
		}
	}
}

func TestPasswords(t *testing.T) {
	a, b := newPassword(), newPassword()
	if len(a) != 43 || bytes.Equal(a, b) {
		t.Errorf("passwords of %d bytes, equal: %v", len(a), bytes.Equal(a, b))
	}
	if first, second := newVerifier(a, 1), newVerifier(a, 1); first == second {
		t.Error("two verifiers have the same salt")
	}
}

// TestOptions: what documents may not say is refused, not bent.
func TestOptions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		text := rapid.OneOf(rapid.Just(oidText(uint32(n))), rapid.String()).Draw(t, "text")
		o, err := parseOptions(map[string]string{"scramIterations": text, "connectionLimit": text})
		if err == nil && (o.iterations < 1 || o.iterations > maxIterations || o.connectionLimit < 1 || o.connectionLimit > maxConnectionLimit) {
			t.Fatalf("%q gives %+v", text, o)
		}
	})
	for _, bad := range []string{"0", "-1", "1000001", "1.5", "99999999999999999999", "many", " 1"} {
		if _, err := parseOptions(map[string]string{"scramIterations": bad}); access.KindOf(err) != access.Invalid {
			t.Errorf("%q iterations: %v", bad, err)
		}
	}
	o, err := parseOptions(nil)
	if err != nil || o != (options{iterations: defaultIterations, connectionLimit: defaultConnectionLimit}) {
		t.Errorf("without options: %+v, %v", o, err)
	}
	s := New().Schema()
	for name, opt := range s.Role {
		ofGateways := opt.Needs == byGateway || len(opt.For) > 0 // absent is a choice of its own
		if opt.Doc == "" || opt.Default == "" && !ofGateways {
			t.Errorf("the option %s lacks its line or its default", name)
		}
		if opt.Default == "" {
			continue
		}
		if _, err := parseOptions(map[string]string{name: opt.Default}); err != nil {
			t.Errorf("the default of %s: %v", name, err)
		}
	}
}
