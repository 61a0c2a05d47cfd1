package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// scene is a stage with people who ask, each on a device of their own.
type scene struct {
	*stage.Stage
	oracle  *stage.Oracle
	callers []*api.Client
}

// Roles of the scene. The bell's grants begin and end at a given moment, so that
// many end at the very same one.
const (
	steady = "steady" // 4,096 iterations
	quick  = "quick"  // one
	bell   = "bell"   // one, and the time counts from the start that was asked for
)

const resource = "orders-db"

const documents = `
kind: Resource
name: orders-db
type: postgres
labels: {team: orders}
criticality: low
connection: {address: "ADDRESS", database: orders, credential: orders-connector, sslmode: verify-full, ca: CA}
---
kind: Role
name: steady
resources: {names: [orders-db]}
mechanism: account
postgres: {memberOf: [orders_read], scramIterations: 4096}
maxDuration: 8h
---
kind: Role
name: quick
resources: {names: [orders-db]}
mechanism: account
postgres: {memberOf: [orders_read], scramIterations: 1}
maxDuration: 8h
---
kind: Role
name: bell
resources: {names: [orders-db]}
mechanism: account
clock: approval
postgres: {memberOf: [orders_read], scramIterations: 1}
maxDuration: 8h
---
kind: Policy
name: anybody
subjects: ["*"]
roles: [steady, quick, bell]
require:
  reason: {minLength: 3}
`

// noLimits lifts the limits that are for people.
const noLimits = `
limits: {reads_per_second: 100000, writes_per_second: 100000, burst: 100000, concurrent: 1024, waits: 16384}
log: {level: warn}
`

// people are fewer than may sign in from one address at once; the clients share
// their logins.
const people = 16

func newScene(ctx context.Context, o options) (*scene, error) {
	st, err := openStage(ctx, o)
	if err != nil {
		return nil, err
	}
	return populate(ctx, st)
}

// populate signs people in on a stage, which it closes when that fails.
func populate(ctx context.Context, st *stage.Stage) (s *scene, err error) {
	s = &scene{Stage: st}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.oracle, err = st.Oracle(); err != nil {
		return s, err
	}
	boss, err := signIn(ctx, st, func() (api.Secret, error) {
		var added struct {
			Token api.Secret `json:"enroll_token"`
		}
		err := st.As("root").JSON(ctx, &added, "admin", "user", "add", "boss", "--admin")
		return added.Token, err
	})
	if err != nil {
		return s, err
	}
	defer boss.Close()
	s.callers = make([]*api.Client, people)
	return s, share(ctx, 4, people, func(ctx context.Context, _, i int) (err error) {
		s.callers[i], err = signIn(ctx, st, func() (api.Secret, error) {
			added, err := boss.AddUser(ctx, api.UserAdd{Name: fmt.Sprintf("u%02d", i)})
			return added.EnrollToken, err
		})
		return err
	})
}

// openStage starts the servers and gives them the documents.
func openStage(ctx context.Context, o options) (*stage.Stage, error) {
	s, err := stage.Open(ctx, stage.Options{Bin: o.bin, Store: o.store, Fsync: true, Config: noLimits,
		Target: map[string]string{"max_locks_per_transaction": "256"}})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.Credential(ctx, "orders-connector"), s.Documents(ctx, documents)); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// signIn enrols a new device with a code.
func signIn(ctx context.Context, s *stage.Stage, code func() (api.Secret, error)) (*api.Client, error) {
	secret, err := code()
	if err != nil {
		return nil, err
	}
	server, err := api.ParseServer(s.URL)
	if err != nil {
		return nil, err
	}
	device, err := api.NewDevice()
	if err != nil {
		return nil, err
	}
	c := &api.Client{Server: server, Device: device, UserAgent: "bench", Patience: 10 * time.Second,
		HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}}
	for {
		login, err := c.Enroll(ctx, secret, false, "")
		var no *api.Error
		switch {
		case err == nil:
			c.Token = login.Token
			return c, nil
		case errors.As(err, &no) && no.Kind == api.TooMany: // codes can be tried once a second from one address
			if err := pause(ctx, time.Second); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
}

func (s *scene) close() error {
	for _, c := range s.callers {
		if c != nil {
			c.Close()
		}
	}
	var err error
	if s.oracle != nil {
		err = s.oracle.Close()
	}
	return errors.Join(err, s.Close())
}

// clear ends every grant, and returns when nothing is left of them.
func (s *scene) clear(ctx context.Context) error {
	if err := s.As("root").Run(ctx, "revoke", "--all", "--why", "the round is over").Failed(); err != nil {
		return err
	}
	return s.oracle.Clean(ctx, time.Minute)
}

// cpu is the processor time that a process has used so far. Its tick is 10 ms.
func cpu(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold blanks
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// resident is how much memory a process has now, and the most it had, in MB.
func resident(pid int) (now, most float64) {
	file := fmt.Sprintf("/proc/%d/status", pid)
	for name, into := range map[string]*float64{"VmRSS": &now, "VmHWM": &most} {
		kb, _, _ := strings.Cut(field(file, name), " ")
		v, _ := strconv.ParseFloat(kb, 64)
		*into = v / 1024
	}
	return now, most
}
