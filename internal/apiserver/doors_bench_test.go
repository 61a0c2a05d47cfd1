package apiserver

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"stint/internal/api"
)

// What these are put beside, in docs/benchmarks.md: the same call to a server that only
// answers, and the one signature that has to be verified whoever does it.

// BenchmarkBareCall is a call over HTTP to a server that only answers, by the same client.
func BenchmarkBareCall(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"principal": "user:mira"}`)
	}))
	defer s.Close()
	for b.Loop() {
		res, err := s.Client().Get(s.URL)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
}

// BenchmarkBareEdDSA is one verification of what a device's proof is signed with.
func BenchmarkBareEdDSA(b *testing.B) {
	pub, key, err := ed25519.GenerateKey(nil)
	check(b, err)
	text := []byte("a proof")
	sig := ed25519.Sign(key, text)
	for b.Loop() {
		if !ed25519.Verify(pub, text, sig) {
			b.Fatal("it does not hold")
		}
	}
}

// BenchmarkBareRS256 is one verification, and one signature, of an ID token: the
// provider of BenchmarkSignIn signs on the same processor.
func BenchmarkBareRS256(b *testing.B) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check(b, err)
	sum := sha256.Sum256([]byte("an ID token"))
	for b.Loop() {
		sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil || rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], sig) != nil {
			b.Fatal("it does not hold")
		}
	}
}

// BenchmarkVote is an approval, from the call to the answer, of a request that waits
// for it; what follows on the target is begun by it.
func BenchmarkVote(b *testing.B) {
	w, admin := populated(b, func(c *Config) {
		c.Limits = Limits{ReadsPerSecond: 1e6, WritesPerSecond: 1e6, Burst: 1e6}
	})
	gus, omar := w.as(admin, api.UserAdd{Name: "gus", Groups: []string{"guests"}}), w.as(admin, api.UserAdd{Name: "omar", Groups: []string{"dba"}})
	for b.Loop() {
		b.StopTimer()
		r, err := gus.Submit(b.Context(), api.Ask{Resource: "db", Role: "reader", Duration: "5m", Reason: "look at it"}, api.Wait{})
		check(b, err)
		b.StartTimer()
		if _, err := omar.Approve(b.Context(), r.ID, api.VoteAsk{Digest: r.Digest}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScim are the calls of a provisioning service, beside 10,000 users.
func BenchmarkScim(b *testing.B) {
	w, admin := populated(b)
	_, err := admin.Apply(b.Context(), api.Apply{Files: []api.File{{Name: "corp.yaml", Text: corpScim}}})
	check(b, err)
	token := w.token(admin, "corp")
	w.server.knocks, w.server.services = newRates(1e9, 1e9, time.Now), newRates(1e9, 1e9, time.Now)
	call := func(method, path, body string, want int) {
		b.Helper()
		if status, a := w.scim(token, method, path, body); status != want {
			b.Fatalf("%s %s: %d %v", method, path, status, a)
		}
	}
	n := 0
	create := func() {
		n++
		call("POST", "/scim/v2/corp/Users", fmt.Sprintf(`{"userName": "user%06d@corp.example", "externalId": "x%d", "title": "Guide", "emails": [{"value": "user%06d@corp.example", "type": "work"}]}`, n, n, n), 201)
	}
	for range 10_000 {
		create()
	}
	const op = `{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "Replace", "path": "title", "value": "%d"}]}`
	b.Run("create", func(b *testing.B) {
		for b.Loop() {
			create()
		}
	})
	b.Run("patch", func(b *testing.B) {
		i := 0
		for b.Loop() {
			i++
			call("PATCH", fmt.Sprintf("/scim/v2/corp/Users/user%06d", 1+i%10_000), fmt.Sprintf(op, i), 200)
		}
	})
	for name, filter := range map[string]string{
		"by userName": "userName%20eq%20%22user005000@corp.example%22", "by externalId": "externalId%20eq%20%22x5000%22",
		"by name and active": "userName%20eq%20%22user005000@corp.example%22%20and%20active%20eq%20true",
		"by e-mail":          "emails.value%20eq%20%22user005000@corp.example%22", "by title": "title%20sw%20%22G%22",
	} {
		b.Run("filter/"+name, func(b *testing.B) {
			for b.Loop() {
				call("GET", "/scim/v2/corp/Users?count=10&filter="+filter, "", 200)
			}
		})
	}
}
