package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/api"
)

// TestDamagedLogEndsAccess: a log that does not add up, also one that is found so at the
// start, is signed no further, and nothing new is granted. Everything that ends goes on.
func TestDamagedLogEndsAccess(t *testing.T) {
	e := newEstate(t)
	_, err := e.ask(5 * time.Second)
	must(t, err)
	long, err := e.ask(time.Hour)
	must(t, err)
	e.daemon.end()
	store, err := pgx.Connect(t.Context(), e.pg.SuperuserDSN("postgres"))
	must(t, err)
	defer func() { must(t, store.Close(context.Background())) }()
	_, err = store.Exec(t.Context(), "ALTER TABLE audit_hashes DISABLE TRIGGER ALL; UPDATE audit_hashes SET hash = decode(repeat('00', 32), 'hex')")
	must(t, err)

	e.serve("a", e.plain)
	e.noor.Server = e.daemon.url
	for limit := time.Now().Add(30 * time.Second); !strings.Contains(health(t, e.daemon).Detail, holdDamaged); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("it is not noticed: %+v\n%s", health(t, e.daemon), e.daemon.out)
		}
	}
	var no *api.Error
	if _, err := e.ask(time.Hour); !errors.As(err, &no) || no.Code != "held-"+holdDamaged {
		t.Errorf("asking: %v", err)
	}
	if _, err := e.noor.Credential(t.Context(), long.ID); !errors.As(err, &no) || no.Code != "held-"+holdDamaged {
		t.Errorf("showing a credential: %v", err)
	}
	_, err = e.noor.End(t.Context(), long.ID)
	must(t, err)
	e.gone() // the other one by time
}
