package main

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"stint/internal/api"
	"stint/test/stage"
	"stint/test/trial"
)

// mostVaulted is how many accounts are lent and rotated at once.
const mostVaulted = 6

// vaultWorld is a stage with accounts in the vault, somebody who borrows them, and a ledger
// of every secret that was given to anybody, outside of the product.
type vaultWorld struct {
	*stage.Stage
	rand     *rand.Rand
	boss     *api.Client // an administrator
	borrower *api.Client
	hasty    [2]*api.Client // both of them, when they take no answer for one
	oracle   *pgx.Conn      // the superuser's own look, past everything; nil where the target went away
	accounts []*account
}

// account is one in the vault.
type account struct {
	name, role string

	mu      sync.Mutex
	request string   // of the lending, once it was asked for
	secrets []string // that somebody had, or set
	turning bool     // a rotation was asked for, and nobody has seen its end
	lent    int
}

const vaultResource = `kind: Resource
name: vault-db
type: postgres
connection: {address: "ADDRESS", database: orders, credential: orders-connector, sslmode: verify-full, ca: CA}
`

const vaultRole = `---
kind: Role
name: borrow-%[1]d
resources: {names: [vault-db]}
mechanism: checkout
postgres: {account: vaulted_%[1]d}
exclusive: true
maxDuration: 8h
`

func openVault(ctx context.Context, opt stage.Options, r *rand.Rand) (w *vaultWorld, err error) {
	w = &vaultWorld{rand: r}
	opt.Config = "limits: {reads_per_second: 10000, writes_per_second: 10000, burst: 10000}\n"
	if opt.Store == "postgres" {
		opt.Config += "accept_unprotected_commits: true\n" // one database server, which nothing happens to
	}
	if w.Stage, err = stage.Open(ctx, opt); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	documents, policy := vaultResource, "---\nkind: Policy\nname: borrow\nsubjects: [group:platform]\nroles: ["
	for i := range mostVaulted {
		documents += fmt.Sprintf(vaultRole, i)
		policy += fmt.Sprintf("borrow-%d, ", i)
		a := &account{name: fmt.Sprintf("vaulted_%d", i), role: fmt.Sprintf("borrow-%d", i), secrets: []string{fmt.Sprintf("from-before-%d", i)}}
		w.accounts = append(w.accounts, a)
		if err := w.Target.Exec(ctx, stage.Database, "CREATE ROLE "+a.name+" LOGIN PASSWORD '"+a.secrets[0]+"' IN ROLE orders_read"); err != nil {
			return w, err
		}
	}
	if err := errors.Join(w.Credential(ctx, "orders-connector"), w.Documents(ctx, documents+policy+"]\n")); err != nil {
		return w, err
	}
	if w.boss, err = w.Client(ctx, "boss", "--admin"); err != nil {
		return w, err
	}
	if w.borrower, err = w.Client(ctx, "bea", "--group", "platform"); err != nil {
		return w, err
	}
	for i, c := range []*api.Client{w.boss, w.borrower} {
		c.Patience = 15 * time.Second
		w.hasty[i] = &api.Client{Server: c.Server, Device: c.Device, UserAgent: c.UserAgent, Token: c.Token, Patience: -1}
	}
	for _, a := range w.accounts {
		if _, err := w.boss.AddVaulted(ctx, a.name, api.VaultAdd{Resource: "vault-db", Account: a.name}); err != nil {
			return w, err
		}
	}
	t := &turn{}
	w.settle(ctx, t, time.Minute)
	if len(t.violations) > 0 {
		return w, errors.New(strings.Join(t.violations, "; "))
	}
	return w, nil
}

func (w *vaultWorld) close() error {
	w.forget()
	for _, c := range append(w.hasty[:], w.boss, w.borrower) {
		if c != nil {
			c.Close()
		}
	}
	return w.Stage.Close()
}

func (w *vaultWorld) forget() {
	if w.oracle != nil {
		_ = w.oracle.Close(context.Background()) // its server may be gone
		w.oracle = nil
	}
}

// trial lends, takes back and rotates, until stintd is killed at some moment; and looks.
func (w *vaultWorld) trial(ctx context.Context, within time.Duration) *turn {
	began := time.Now()
	blow := chooseTurn(w.rand, w.Servers[0])
	t := &turn{blow: blow.Name, loaded: 100*time.Millisecond + time.Duration(w.rand.Int64N(int64(900*time.Millisecond)))}
	for _, a := range w.accounts {
		a.turning, a.lent = false, 0
	}
	under, stop := context.WithCancel(ctx)
	var load sync.WaitGroup
	for _, a := range w.accounts {
		r := rand.New(rand.NewPCG(w.rand.Uint64(), w.rand.Uint64()))
		load.Go(func() { w.use(under, a, r) })
	}
	trial.Rest(ctx, t.loaded)
	world := &trial.World{Stage: w.Stage, Rand: w.rand}
	err := blow.Strike(ctx, world, w.rand)
	stop()
	load.Wait()
	for _, a := range w.accounts {
		if a.turning {
			t.rotating++
		}
	}
	if err == nil && w.Target.Running() {
		t.shut, err = w.withoutLogin(ctx)
	}
	if err == nil {
		err = blow.Mend(ctx, world, w.rand)
	}
	ready := time.Now()
	if err == nil {
		_, err = w.boss.Revoke(ctx, api.RevokeAsk{Resource: "vault-db", Why: "the trial is over"})
	}
	if err != nil {
		t.wrong("%v", err)
		return t
	}
	w.settle(ctx, t, within)
	t.whole = time.Since(ready)
	if len(t.violations) == 0 {
		var all sync.WaitGroup
		var mu sync.Mutex
		for _, a := range w.accounts {
			all.Go(func() {
				tried, err := w.proveOpen(ctx, a)
				mu.Lock()
				defer mu.Unlock()
				if t.tried += tried; err != nil {
					t.wrong("%s: %v", a.name, err)
				}
			})
		}
		all.Wait()
	}
	for _, a := range w.accounts {
		t.lent += a.lent
	}
	t.took = time.Since(began)
	return t
}

// use borrows an account, works with it and gives it back, over and over. It begins with one
// that is lent, or not.
func (w *vaultWorld) use(ctx context.Context, a *account, r *rand.Rand) {
	boss, c := w.hasty[0], w.hasty[1]
	for n := 0; ctx.Err() == nil; n++ {
		if a.request == "" {
			if _, err := w.borrow(ctx, c, a); err != nil {
				trial.Rest(ctx, 5*time.Millisecond) // it is on its way back still, or nobody answers
				continue
			}
		}
		a.mu.Lock()
		last := a.secrets[len(a.secrets)-1]
		a.mu.Unlock()
		switch r.IntN(4) {
		case 0: // a borrower sets one of their own
			mine := fmt.Sprintf("mine-%s-%d-%d", a.name, n, r.Uint64())
			if conn, err := pgx.Connect(ctx, w.Target.DSN(a.name, last, stage.Database)); err == nil {
				a.had(mine)
				_, _ = conn.Exec(ctx, "ALTER ROLE "+a.name+" PASSWORD '"+mine+"'") // cut off before, or not
				_ = conn.Close(context.Background())
			}
		case 1: // on suspicion, while it is lent
			a.turning = true
			if _, err := boss.RotateVaulted(ctx, a.name, api.VaultRotate{Why: "a suspicion"}); err == nil {
				trial.Rest(ctx, time.Duration(r.Int64N(int64(60*time.Millisecond))))
				if cred, err := c.Credential(ctx, a.request); err == nil {
					a.had(cred.Password.Reveal())
				}
			}
		}
		a.turning = true
		if _, err := c.End(ctx, a.request); err != nil {
			if ctx.Err() == nil {
				trial.Rest(ctx, 5*time.Millisecond)
			}
			continue
		}
		a.request = ""
		for ctx.Err() == nil {
			if v, err := boss.Vaulted(ctx, a.name); err == nil && v.State == "ready" {
				a.turning = false
				break
			}
			trial.Rest(ctx, 3*time.Millisecond)
		}
	}
}

func (a *account) had(secret string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.secrets = append(a.secrets, secret)
}

// borrow has an account lent, and gives its secret, which goes into the ledger.
func (w *vaultWorld) borrow(ctx context.Context, c *api.Client, a *account) (string, error) {
	r, err := c.Submit(ctx, api.Ask{Resource: "vault-db", Role: a.role, Duration: "1h", Reason: "kill trials"}, api.Wait{For: api.Ready, Time: 10 * time.Second})
	if err != nil {
		return "", err
	}
	if r.Grant == nil || r.Grant.State != api.GrantActive {
		return "", fmt.Errorf("the request is %s, and not active", r.State)
	}
	a.request = r.ID
	cred, err := c.Credential(ctx, r.ID)
	if err != nil {
		return "", err
	}
	a.had(cred.Password.Reveal())
	a.lent++
	return cred.Password.Reveal(), nil
}

// settle waits until everything is back: every account ready in the vault, and with its
// login and nothing of ours on the target.
func (w *vaultWorld) settle(ctx context.Context, t *turn, within time.Duration) {
	for end := time.Now().Add(within); ctx.Err() == nil; trial.Rest(ctx, 15*time.Millisecond) {
		var open []string
		page, err := w.boss.ListVault(ctx, api.List{})
		for _, v := range page.Items {
			if v.State != "ready" {
				open = append(open, v.Name+" is "+v.State+" "+v.Trouble)
			}
		}
		if err == nil && len(page.Items) != len(w.accounts) {
			open = append(open, fmt.Sprintf("%d accounts are in the vault", len(page.Items)))
		}
		if err == nil && len(open) == 0 {
			open, err = w.notWhole(ctx)
		}
		switch {
		case err == nil && len(open) == 0:
			return
		case time.Now().Before(end):
		case err != nil:
			t.wrong("it cannot be looked at: %v", err)
			return
		default:
			t.wrong("%s after its mending: %s", within, strings.Join(open, "; "))
			return
		}
	}
}

// look is the oracle's connection.
func (w *vaultWorld) look(ctx context.Context) (conn *pgx.Conn, err error) {
	if w.oracle != nil && w.oracle.IsClosed() {
		w.forget()
	}
	if w.oracle == nil {
		w.oracle, err = pgx.Connect(ctx, w.Target.SuperuserDSN(stage.Database))
	}
	return w.oracle, err
}

// notWhole says which accounts are not as they are when nobody has them.
func (w *vaultWorld) notWhole(ctx context.Context) (open []string, err error) {
	conn, err := w.look(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, `SELECT r.rolname || CASE WHEN NOT r.rolcanlogin THEN ' cannot log in' WHEN r.rolpassword IS NULL THEN ' has no password'
			WHEN r.rolvaliduntil < 'infinity' THEN ' is valid until ' || r.rolvaliduntil ELSE ' has sessions' END
		FROM pg_authid r WHERE r.rolname LIKE 'vaulted\_%'
			AND (NOT r.rolcanlogin OR r.rolpassword IS NULL OR r.rolvaliduntil < 'infinity' OR EXISTS (SELECT FROM pg_stat_activity s WHERE s.usesysid = r.oid))
		UNION ALL SELECT 'there is ' || rolname FROM pg_authid WHERE rolname LIKE 'stintmark\_%'`)
	if err != nil {
		w.forget()
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// withoutLogin counts the accounts that a kill left without a login.
func (w *vaultWorld) withoutLogin(ctx context.Context) (n int, err error) {
	conn, err := w.look(ctx)
	if err == nil {
		err = conn.QueryRow(ctx, `SELECT count(*) FROM pg_authid WHERE rolname LIKE 'vaulted\_%' AND NOT rolcanlogin`).Scan(&n)
	}
	if err != nil {
		w.forget()
	}
	return n, err
}

// proveOpen borrows an account: what the vault gives opens it and is what the target has,
// and nothing that anybody had before is. It stays lent for the next trial.
func (w *vaultWorld) proveOpen(ctx context.Context, a *account) (tried int, err error) {
	before := slices.Clone(a.secrets)
	secret, err := w.borrow(ctx, w.borrower, a)
	if err != nil {
		return 0, fmt.Errorf("it cannot be lent: %w", err)
	}
	look, err := pgx.Connect(ctx, w.Target.SuperuserDSN(stage.Database))
	if err != nil {
		return 0, err
	}
	var kept string
	err = errors.Join(look.QueryRow(ctx, `SELECT rolpassword FROM pg_authid WHERE rolname = $1`, a.name).Scan(&kept), look.Close(ctx))
	if err != nil {
		return 0, err
	}
	v, err := parseVerifier(kept)
	if err != nil {
		return 0, err
	}
	if !v.is(secret) {
		return 0, errors.New("the target has a secret that the vault does not know")
	}
	if opens, err := w.opens(ctx, a, secret); err != nil || !opens {
		return 0, fmt.Errorf("what the vault gives does not open it: %w", err)
	}
	for _, old := range before {
		tried++
		if v.is(old) {
			return tried, errors.New("a secret that came back is the account's still, or again")
		}
	}
	if opens, err := w.opens(ctx, a, before[len(before)-1]); err != nil || opens {
		return tried, fmt.Errorf("a secret that came back opens it: %w", err)
	}
	a.secrets = a.secrets[max(0, len(a.secrets)-32):]
	return tried, nil
}

// opens reports whether the target lets somebody in. That it does not is a refusal of the
// password, and nothing else.
func (w *vaultWorld) opens(ctx context.Context, a *account, secret string) (bool, error) {
	ctx, done := context.WithTimeout(ctx, 30*time.Second)
	defer done()
	conn, err := pgx.Connect(ctx, w.Target.DSN(a.name, secret, stage.Database))
	var no *pgconn.PgError
	switch {
	case err == nil:
		return true, conn.Close(ctx)
	case errors.As(err, &no) && no.Code == "28P01":
		return false, nil
	}
	return false, err
}

// scram is a verifier as PostgreSQL keeps it (RFC 5803).
type scram struct {
	iterations   int
	salt, stored []byte
}

func parseVerifier(text string) (v scram, err error) {
	bad := errors.New("the target keeps no SCRAM verifier")
	rest, ok := strings.CutPrefix(text, "SCRAM-SHA-256$")
	cost, keys, found := strings.Cut(rest, "$")
	count, salt, _ := strings.Cut(cost, ":")
	stored, _, _ := strings.Cut(keys, ":")
	if !ok || !found {
		return v, bad
	}
	if v.iterations, err = strconv.Atoi(count); err != nil {
		return v, bad
	}
	if v.salt, err = base64.StdEncoding.DecodeString(salt); err != nil {
		return v, bad
	}
	if v.stored, err = base64.StdEncoding.DecodeString(stored); err != nil {
		return v, bad
	}
	return v, nil
}

// is reports whether the verifier is of a password of ASCII.
func (v scram) is(password string) bool {
	salted, err := pbkdf2.Key(sha256.New, password, v.salt, v.iterations, sha256.Size)
	if err != nil {
		return false
	}
	h := hmac.New(sha256.New, salted)
	h.Write([]byte("Client Key"))
	stored := sha256.Sum256(h.Sum(nil))
	return string(stored[:]) == string(v.stored)
}
