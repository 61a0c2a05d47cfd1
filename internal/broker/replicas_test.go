package broker_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/pgtest"
	"stint/internal/policy"
	"stint/internal/store"
)

func TestMain(m *testing.M) {
	// No parallel one starts a process, which for a moment would hold the locks that
	// others have on their files. They wait for most of their time, and not for a processor;
	// but under the race detector they do, and many would have each other miss their bounds.
	parallel := "4"
	if raced {
		parallel = "2"
	}
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err) // the flag is Go's own
	}
	os.Exit(pgtest.Main(m))
}

// TestReplicas: three brokers share one PostgreSQL store, are stopped and
// started at random while people ask, and still every grant ends, nothing is
// made twice, nothing is left, and the log is whole. (I-05, I-06, T-18)
func TestReplicas(t *testing.T) {
	in, err := prepare(t, t.TempDir())
	must(t, err)
	must(t, in.store.Close()) // the people and documents go to PostgreSQL instead
	server := pgtest.Shared(t)
	db := server.Database(t)
	if in.store, err = store.Open(t.Context(), store.Config{URL: server.SuperuserDSN(db)}); err != nil {
		t.Fatal(err)
	}
	defer in.store.Close()
	must(t, in.store.Update(t.Context(), func(tx *store.Tx) error { return tx.SavePrincipals(people()...) }))

	made := map[string]int{} // accounts by tag, over all time
	var mu sync.Mutex
	in.target.born = func(name string) {
		mu.Lock()
		defer mu.Unlock()
		made[name]++
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	door, err := in.shared(memory{in.store}, "door", log) // takes calls and never works on them
	must(t, err)
	root := in.as("root")
	must(t, door.SetCredential(t.Context(), root, access.Credential{Name: "login", Type: "fake", Address: "127.0.0.1:1", Username: "stint"}, access.NewSecret([]byte("pw"))))
	_, err = door.Apply(t.Context(), root, []policy.File{{Name: "policy.yaml", Text: documents}}, false)
	must(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	var replicas, load errgroup.Group
	for i := range 3 {
		replicas.Go(func() error {
			for ctx.Err() == nil {
				b, err := in.shared(memory{in.store}, fmt.Sprint("replica-", i), log)
				if err != nil {
					return err
				}
				life, end := context.WithTimeout(ctx, time.Duration(300+rand.IntN(900))*time.Millisecond)
				err = b.Run(life)
				end()
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	var ids []string
	for i := range 30 {
		load.Go(func() error {
			who, role := []string{"mira", "noor"}[i%2], []string{"reader", "owner", "shared"}[i%3]
			v, err := door.Submit(ctx, in.as(who), ask(role, time.Duration(200+rand.IntN(1500))*time.Millisecond))
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, string(v.Request.ID))
			return nil
		})
		time.Sleep(20 * time.Millisecond)
	}
	must(t, load.Wait())
	wait, done := context.WithTimeout(ctx, 90*time.Second)
	defer done()
	for _, id := range ids {
		v, err := door.Wait(wait, root, id, func(v broker.View) bool { return v.Grant != nil && v.Grant.Over() })
		must(t, err)
		if v.Grant == nil || !v.Grant.Over() {
			t.Fatalf("%s is %+v (%s)", id, v.Grant, v.Problem)
		}
	}
	cancel()
	must(t, replicas.Wait())
	in.t = t
	in.clean()
	for name, n := range made {
		if n > 1 {
			t.Errorf("%s was made %d times", name, n)
		}
	}
	if len(made) == 0 || len(made) > 10 {
		t.Errorf("%d accounts for 10 grants with an account: %s", len(made), strings.Join(in.target.left(), ", "))
	}
	must(t, in.verifyLog())
}
