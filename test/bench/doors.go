package main

import (
	"context"
	"fmt"
	"time"
)

// doors measures what it costs to be known and to decide, with the benchmarks that the
// packages have: each beside the bare thing that nobody could leave out.
func (b *bench) doors(ctx context.Context, _ []string) error {
	b.say("sign-in, tokens, SCIM, votes, passkeys")
	found := map[string]map[string]float64{}
	for pkg, which := range map[string]string{
		"./internal/apiserver": "^(BenchmarkBare.*|BenchmarkCall|BenchmarkSignIn|BenchmarkVote|BenchmarkScim)$",
		"./internal/api":       "^BenchmarkVerifyProof$",
		"./internal/passkey":   "^(BenchmarkVerify|BenchmarkBare)$",
	} {
		got, err := goBench(ctx, pkg, which, b.round)
		if err != nil {
			return err
		}
		for name, m := range got {
			found[pkg+" "+name] = m
		}
	}
	const server, proof, key = "./internal/apiserver ", "./internal/api ", "./internal/passkey "
	for _, x := range []struct{ what, name, of, bare string }{
		{"a passkey's assertion verified", key + "BenchmarkVerify", "its signature alone", key + "BenchmarkBare"},
		{"a device's proof verified", proof + "BenchmarkVerifyProof", "a signature alone", server + "BenchmarkBareEdDSA"},
		{"a call with token and proof, signed by the client", server + "BenchmarkCall", "a call to a server that only answers", server + "BenchmarkBareCall"},
		{"a sign-in: form, provider, code, session, page", server + "BenchmarkSignIn", "an ID token signed and verified", server + "BenchmarkBareRS256"},
		{"an approval by vote", server + "BenchmarkVote", "a call", server + "BenchmarkCall"},
		{"SCIM: a user made", server + "BenchmarkScim/create", "a call to a server that only answers", server + "BenchmarkBareCall"},
		{"SCIM: a user changed by PATCH", server + "BenchmarkScim/patch", "a call to a server that only answers", server + "BenchmarkBareCall"},
		{"SCIM: by userName, of 10,000", server + "BenchmarkScim/filter/by_userName", "a call to a server that only answers", server + "BenchmarkBareCall"},
		{"SCIM: by userName and active, of 10,000", server + "BenchmarkScim/filter/by_name_and_active", "by userName", server + "BenchmarkScim/filter/by_userName"},
		{"SCIM: by e-mail, of 10,000", server + "BenchmarkScim/filter/by_e-mail", "by userName", server + "BenchmarkScim/filter/by_userName"},
		{"SCIM: by title, of 10,000", server + "BenchmarkScim/filter/by_title", "by userName", server + "BenchmarkScim/filter/by_userName"},
	} {
		m, bare := found[x.name], found[x.bare]
		if m == nil || bare == nil {
			return fmt.Errorf("there is no %s or no %s", x.name, x.bare)
		}
		b.add(row{name: x.what, n: group(int(m["n"])), bare: x.of + " " + micros(bare), stint: micros(m), ratio: fmt.Sprintf("%.1f", m["ns/op"]/bare["ns/op"])})
	}
	return nil
}

func micros(m map[string]float64) string {
	d := time.Duration(m["ns/op"])
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.0f µs", float64(d)/1000)
	}
	return d.Round(100 * time.Microsecond).String()
}
