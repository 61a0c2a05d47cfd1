package apiserver

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"stint/internal/api"
)

// BenchmarkCertificate has certificates made by several clients at once, each a person
// with a grant, a device and a key of their own. Row and record of each are on disk
// before the answer.
func BenchmarkCertificate(b *testing.B) {
	for _, clients := range []int{1, 8, 32} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			w, admin, _ := withHost(b, func(c *Config) { c.Limits = Limits{ReadsPerSecond: 1e6, WritesPerSecond: 1e7, Burst: 1e7} })
			w.server.codes = newRates(1e9, 1e9, time.Now) // all sign in from one address
			line, _ := sshPublic(b)
			people := make([]*api.Client, clients)
			grants := make([]string, clients)
			for i := range people {
				people[i] = w.as(admin, api.UserAdd{Name: fmt.Sprintf("p%d", i), Groups: []string{"platform"}})
				grants[i] = active(b, people[i], "web1", "deploy", "2h").ID
			}
			took := make([][]time.Duration, clients)
			b.ResetTimer()
			begin := time.Now()
			var group sync.WaitGroup
			for i, c := range people {
				share := b.N / clients
				if i < b.N%clients {
					share++
				}
				group.Go(func() {
					for range share {
						at := time.Now()
						if _, err := c.Certify(b.Context(), grants[i], api.CertificateAsk{PublicKey: line}); err != nil {
							b.Error(err)
							return
						}
						took[i] = append(took[i], time.Since(at))
					}
				})
			}
			group.Wait()
			elapsed := time.Since(begin)
			b.StopTimer()
			all := slices.Sorted(slices.Values(slices.Concat(took...)))
			if len(all) == 0 {
				return
			}
			b.ReportMetric(float64(all[len(all)/2])/1e6, "p50-ms")
			b.ReportMetric(float64(len(all))/elapsed.Seconds(), "certs/s")
		})
	}
}
