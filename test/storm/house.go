package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/audit"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/keys"
	"stint/internal/pgtest"
	"stint/internal/policy"
	"stint/internal/store"
)

// house is a store and, once it is started, a broker with the sequencer beside it,
// as stintd runs them.
type house struct {
	dir    string
	server *pgtest.Server // of the PostgreSQL store, else nil
	config store.Config
	keys   *keys.Keys
	tagger *keys.Tagger
	signer []byte
	world  *world
	device []byte
	names  []string // of the resources, one for each place
	shared bool     // the store is one that several may use

	store  *store.Store
	broker *broker.Broker
	stop   func() error
}

const installation = "storm"

func address(i int) string { return fmt.Sprintf("10.0.%d.%d:1", i/250, i%250) }

// newHouse makes a store with people, documents and so many places.
func newHouse(ctx context.Context, kind string, places int, delay time.Duration, statements bool) (h *house, err error) {
	h = &house{device: make([]byte, 32)}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if h.dir, err = os.MkdirTemp("", "stint-storm-"); err != nil {
		return h, err
	}
	switch kind {
	case "sqlite":
		h.config.Path = filepath.Join(h.dir, "stint.db")
	case "postgres":
		opt := pgtest.Options{Fsync: true, Conf: map[string]string{"shared_buffers": "128MB"}} // as PostgreSQL comes
		if statements {
			opt.Conf["shared_preload_libraries"] = "pg_stat_statements"
		}
		if h.server, err = pgtest.Launch(ctx, opt); err != nil {
			return h, err
		}
		if statements {
			if err := h.server.Exec(ctx, "postgres", "CREATE EXTENSION pg_stat_statements"); err != nil {
				return h, err
			}
		}
		if err := h.server.CreateDatabase(ctx, "stint"); err != nil {
			return h, err
		}
		h.shared = true
		h.config.URL = h.server.SuperuserDSN("stint")
	default:
		return h, fmt.Errorf("there is no store %q", kind)
	}
	if h.keys, err = keys.Create(filepath.Join(h.dir, "seal.key")); err != nil {
		return h, err
	}
	tags, err := h.keys.NewTagKey()
	if err != nil {
		return h, err
	}
	if h.signer, err = h.keys.NewCheckpointKey(audit.Origin(installation)); err != nil {
		return h, err
	}
	if err := h.build(tags, places, delay); err != nil {
		return h, err
	}
	if err := h.open(ctx); err != nil {
		return h, err
	}
	err = h.store.Update(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.SaveSetting("keys/tags", tags), tx.SaveSetting("keys/log", h.signer))
	})
	return h, errors.Join(err, h.furnish(ctx))
}

// build makes what is not stored.
func (h *house) build(tags []byte, places int, delay time.Duration) (err error) {
	if h.tagger, err = h.keys.Tagger(tags); err != nil {
		return err
	}
	_, _ = rand.Read(h.device) // never fails
	var addresses []string
	for i := range places {
		addresses = append(addresses, address(i))
		h.names = append(h.names, fmt.Sprintf("place-%04d", i))
	}
	h.world = newWorld(delay, addresses)
	return nil
}

// reopened is a house that another process left in dir.
func reopened(ctx context.Context, dir, url string, places int, delay time.Duration) (*house, error) {
	h := &house{device: make([]byte, 32), config: store.Config{URL: url}, shared: url != ""}
	if url == "" {
		h.config.Path = filepath.Join(dir, "stint.db")
	}
	var err error
	if h.keys, err = keys.Open(filepath.Join(dir, "seal.key")); err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, h.config)
	if err != nil {
		return nil, err
	}
	var tags []byte
	err = s.View(ctx, func(tx *store.Tx) (err error) {
		if tags, err = tx.Setting("keys/tags"); err == nil {
			h.signer, err = tx.Setting("keys/log")
		}
		return err
	})
	if err = errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	if err := h.build(tags, places, delay); err != nil {
		return nil, err
	}
	return h, h.open(ctx)
}

// open opens the store and makes a broker that does not run yet.
func (h *house) open(ctx context.Context) (err error) {
	if h.store, err = store.Open(ctx, h.config); err != nil {
		return err
	}
	h.broker, err = broker.New(broker.Config{
		Store: memory{h.store}, Connectors: map[string]connector.Connector{h.world.Type(): h.world}, Tagger: h.tagger, Vault: h.keys,
		SealTo:       func(_ []byte, _ string, plain []byte) ([]byte, error) { return plain, nil }, // the client's half is not measured here
		Installation: installation, Epoch: 1, Replica: fmt.Sprint("storm-", os.Getpid()), Alone: !h.shared,
		Log: slog.New(slog.DiscardHandler),
	})
	return err
}

// start runs the broker and the sequencer until stop.
func (h *house) start(ctx context.Context) error {
	signer, _, err := h.keys.CheckpointSigner(audit.Origin(installation), h.signer)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 2)
	go func() { done <- h.broker.Run(ctx) }()
	go func() { done <- h.store.RunSequencer(ctx, signer, audit.Origin(installation), time.Second) }()
	h.stop = func() error {
		cancel()
		h.stop = nil
		return errors.Join(<-done, <-done)
	}
	return nil
}

func (h *house) close() (err error) {
	if h.stop != nil {
		err = h.stop()
	}
	if h.store != nil {
		err = errors.Join(err, h.store.Close())
	}
	if h.server != nil {
		err = errors.Join(err, h.server.Close())
	}
	if h.dir != "" {
		err = errors.Join(err, os.RemoveAll(h.dir))
	}
	return err
}

// memory adapts the store to the broker's interface.
type memory struct{ s *store.Store }

func (m memory) Update(ctx context.Context, fn func(broker.Tx) error) error {
	if things, ends := broker.Ending(ctx); ends {
		return m.s.UpdateEnds(ctx, things, func(tx *store.Tx) error { return fn(tx) })
	}
	return m.s.Update(store.OnBehalf(ctx, string(broker.Behalf(ctx))), func(tx *store.Tx) error { return fn(tx) })
}

func (m memory) View(ctx context.Context, fn func(broker.Tx) error) error {
	if _, ends := broker.Ending(ctx); ends {
		return m.s.ViewEnds(ctx, func(tx *store.Tx) error { return fn(tx) })
	}
	return m.s.View(store.OnBehalf(ctx, string(broker.Behalf(ctx))), func(tx *store.Tx) error { return fn(tx) })
}

const rules = `
kind: Role
name: user
resources: {type: simulated}
mechanism: account
simulated: {memberOf: [readers]}
maxDuration: 8h
---
kind: Policy
name: anybody
subjects: ["*"]
roles: [user]
`

// people are root, who administers, and those who ask.
const people = 64

func person(i int) access.Principal {
	n := "root"
	if i > 0 {
		n = fmt.Sprintf("u%02d", i)
	}
	return access.Principal{ID: access.NewPrincipalID(access.User, n), Person: access.Person(n), Admin: i == 0, Version: 1, CreatedAt: time.Unix(1, 0).UTC()}
}

func (h *house) caller(i int) broker.Caller {
	p := person(i)
	src := access.Source{Device: access.DeviceID("device-of-" + string(p.Person))}
	return broker.Caller{Principal: p, Source: src, Actor: access.Actor{Principal: p.ID, Person: p.Person, Device: src.Device}, SealKey: h.device}
}

func (h *house) furnish(ctx context.Context) error {
	if err := h.store.Update(ctx, func(tx *store.Tx) error {
		for i := range people {
			if err := tx.SavePrincipals(person(i)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	var text strings.Builder
	text.WriteString(rules)
	for i, n := range h.names {
		login := "login-" + n
		if err := h.broker.SetCredential(ctx, h.caller(0), access.Credential{Name: login, Type: h.world.Type(), Address: address(i), Username: "stint"},
			access.NewSecret([]byte("pw"))); err != nil {
			return err
		}
		fmt.Fprintf(&text, "---\nkind: Resource\nname: %s\ntype: simulated\ncriticality: low\nconnection: {address: %q, credential: %s}\n", n, address(i), login)
	}
	_, err := h.broker.Apply(ctx, h.caller(0), []policy.File{{Name: "storm.yaml", Text: text.String()}}, false)
	return err
}

// ask asks for the role at a place.
func (h *house) ask(place int, d time.Duration) broker.Ask {
	return broker.Ask{Resource: access.ResourceName(h.names[place]), Role: "user", Duration: d, Reason: "measure"}
}
