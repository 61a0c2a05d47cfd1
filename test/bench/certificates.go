package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
)

// certificates measures SSH certificates through the door, from the call to the answer
// and with the commit of row and record between, for many clients at once; beside the
// signature alone, on as many processors. The clients' own proofs count, too.
func (b *bench) certificates(ctx context.Context, _ []string) error {
	b.say("SSH certificates")
	n := max(2, runtime.NumCPU())
	raw, err := goBenchOn(ctx, n, "./internal/sshcert", "^BenchmarkIssue$", b.round)
	if err != nil {
		return err
	}
	door, err := goBenchOn(ctx, n, "./internal/apiserver", "^BenchmarkCertificate$", b.round)
	if err != nil {
		return err
	}
	sign, made := raw["BenchmarkIssue/raw_signature"], raw["BenchmarkIssue/certificate"]
	if sign == nil || made == nil {
		return fmt.Errorf("internal/sshcert has no BenchmarkIssue/certificate or …/raw_signature")
	}
	b.add(row{name: "a certificate built, checked twice and signed", n: group(int(made["n"])), bare: "a signature alone " + micros(sign), stint: micros(made),
		ratio: fmt.Sprintf("%.1f", made["ns/op"]/sign["ns/op"])})
	for _, clients := range []int{1, 8, 32} {
		m := door["BenchmarkCertificate/"+strconv.Itoa(clients)]
		if m == nil {
			return fmt.Errorf("internal/apiserver has no BenchmarkCertificate/%d", clients)
		}
		r := row{name: fmt.Sprintf("certificates for grants, %d clients", clients), n: group(int(m["n"])), bare: "a signature alone " + micros(sign),
			stint: fmt.Sprintf("%s/s, p50 %.2f ms", group(int(m["certs/s"])), m["p50-ms"]), ratio: fmt.Sprintf("%.0f", m["ns/op"]/sign["ns/op"])}
		switch clients {
		case 1:
			r.goal, r.met = "p50 ≤ 2 ms", reached(m["p50-ms"] <= 2)
		case 32:
			r.goal, r.met = "≥ 3,000/s", reached(m["certs/s"] >= 3000)
		}
		b.add(r)
	}
	return nil
}
