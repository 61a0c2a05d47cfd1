package recording

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkKeystroke is what a strict session waits for one keystroke's echo to be on the disk, while so
// many others type, too. The figures are p50-ms and p99-ms.
func BenchmarkKeystroke(b *testing.B) {
	for _, sessions := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint("sessions=", sessions), func(b *testing.B) {
			s, _ := newKeyring(b).open(b, b.TempDir())
			writers := make([]*Writer, sessions)
			for i := range writers {
				writers[i] = begin(b, s, fmt.Sprint("s", i), Strict)
			}
			var mu sync.Mutex
			var all []time.Duration
			b.ResetTimer()
			var group sync.WaitGroup
			for i, w := range writers {
				group.Go(func() {
					var mine []time.Duration
					for range (b.N + sessions - 1 - i) / sessions {
						start := time.Now()
						if err := w.Append(context.Background(), 1, Output{[]byte("x")}); err != nil {
							b.Error(err)
							return
						}
						mine = append(mine, time.Since(start))
					}
					mu.Lock()
					defer mu.Unlock()
					all = append(all, mine...)
				})
			}
			group.Wait()
			b.StopTimer()
			slices.Sort(all)
			b.ReportMetric(ms(all[len(all)/2]), "p50-ms")
			b.ReportMetric(ms(all[len(all)*99/100]), "p99-ms")
			for _, w := range writers {
				done(b, w, "")
			}
		})
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// BenchmarkBulk is how much one session can record, in pieces of 32 KiB, with so many waiting
// for the disk at once.
func BenchmarkBulk(b *testing.B) {
	for _, mode := range []Mode{Strict, Normal} {
		for _, ahead := range []int{1, 8} {
			b.Run(fmt.Sprintf("mode=%d/ahead=%d", mode, ahead), func(b *testing.B) {
				s, _ := newKeyring(b).open(b, b.TempDir())
				w := begin(b, s, "a", mode)
				data := bytes.Repeat([]byte("x"), 32<<10)
				b.SetBytes(int64(len(data)))
				var marks []Mark
				for b.Loop() {
					m, err := w.Add(context.Background(), 1, Output{data})
					if err != nil {
						b.Fatal(err)
					}
					if marks = append(marks, m); len(marks) == ahead {
						if err := w.Wait(context.Background(), marks[0]); err != nil {
							b.Fatal(err)
						}
						marks = marks[1:]
					}
				}
				done(b, w, "")
			})
		}
	}
}

// BenchmarkExec is a short session from its beginning to its end, as of one command.
func BenchmarkExec(b *testing.B) {
	s, _ := newKeyring(b).open(b, b.TempDir())
	for i := 0; b.Loop(); i++ {
		w := begin(b, s, fmt.Sprint("s", i), Strict)
		put(b, w, 1, Start{}, Exec{"exec", "true"})
		put(b, w, 1, Output{[]byte("done\n")}, Exit{})
		done(b, w, "")
	}
}

// TestIdleSessionsAreSmall: what a thousand sessions take that were busy and are idle now.
func TestIdleSessionsAreSmall(t *testing.T) {
	const sessions, most = 1000, 16 << 10
	s, _ := newKeyring(t).open(t, t.TempDir())
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	var group sync.WaitGroup
	for i := range sessions {
		group.Go(func() {
			w, err := s.New(fmt.Sprint("s", i), Strict)
			if err == nil {
				err = w.Append(context.Background(), 1, Output{bytes.Repeat([]byte("x"), 10_000)})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	each := (int64(heap()) - int64(before)) / sessions
	t.Logf("%d bytes for each idle session", each)
	if each > most {
		t.Errorf("an idle session takes %d bytes, and %d are the most", each, most)
	}
}

// BenchmarkVerify is reading a recording, with the key and without.
func BenchmarkVerify(b *testing.B) {
	k := newKeyring(b)
	whole, _ := sample(b, k, "a", func(w *Writer) {
		for range 200 {
			put(b, w, 1, Output{bytes.Repeat([]byte("x"), 32<<10)})
		}
	})
	for name, openers := range map[string][]*Opener{"opened": {k.opener}, "sealed": nil} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(whole)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Verify(context.Background(), bytes.NewReader(whole), k.trust(), openers...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
