package postgres

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"stint/internal/access"
	"stint/internal/connector"
)

// maxTries is how often a change of the catalogue is tried that others make at
// the same time.
const maxTries = 8

// lane keeps the end of access apart from its beginning, and both from mere
// looking: a flood of new grants never makes a revocation wait for a connection.
type lane uint8

const (
	granting lane = iota
	reading
	ending
	lanes
)

// width is the most connections of a lane to one target.
var width = [lanes]int32{granting: 16, reading: 8, ending: 8}

// pools are the connections to one target as one login.
type pools struct {
	connection access.Connection
	password   access.Secret
	lane       [lanes]*pgxpool.Pool
}

// table holds the pools of a connector. Its zero value is ready.
type table struct {
	mu      sync.Mutex
	byKey   map[string]*pools
	closing sync.WaitGroup // pools on their way out
}

// poolKey names a connection and a login without the secret.
func poolKey(t connector.Target) string {
	c := t.Connection
	parts := []string{c.Type, c.Address, c.Credential, t.Username}
	for _, k := range slices.Sorted(maps.Keys(c.Options)) {
		parts = append(parts, k, c.Options[k])
	}
	return strings.Join(parts, "\x00")
}

// get returns the pool of a lane. It makes it when there is none yet or when the
// password is another; it does not connect.
func (p *table) get(t connector.Target, l lane) (*pgxpool.Pool, error) {
	key := poolKey(t)
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.byKey[key]
	if e != nil && !e.password.Equal(t.Password) {
		p.drop(key)
		e = nil
	}
	if e == nil {
		e = &pools{connection: t.Connection, password: t.Password}
	}
	if e.lane[l] == nil {
		made, err := newPool(t, l)
		if err != nil {
			return nil, err
		}
		e.lane[l] = made
	}
	if p.byKey == nil {
		p.byKey = map[string]*pools{}
	}
	p.byKey[key] = e
	return e.lane[l], nil
}

func newPool(t connector.Target, l lane) (*pgxpool.Pool, error) {
	c, err := config(t, t.Connection.Options["database"])
	if err != nil {
		return nil, err
	}
	pc, err := pgxpool.ParseConfig(neutral)
	if err != nil {
		return nil, access.Fail(access.Internal, "bad-connection", "prepare a pool").Wrap(err)
	}
	if l == granting {
		c.RuntimeParams["statement_timeout"] = strconv.FormatInt((connector.Late - time.Second/2).Milliseconds(), 10)
	}
	pc.ConnConfig = c
	pc.MaxConns, pc.MinConns = width[l], 0
	pc.MaxConnIdleTime, pc.MaxConnLifetime, pc.MaxConnLifetimeJitter = 2*time.Minute, time.Hour, 5*time.Minute
	pc.PingTimeout = 2 * time.Second
	return pgxpool.NewWithConfig(context.Background(), pc) // the context is of the first connections, of which there are none
}

// forget closes the pools of an address and credential, whatever their options,
// once their calls have ended.
func (p *table) forget(c access.Connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, e := range p.byKey {
		if x := e.connection; x.Type == c.Type && x.Address == c.Address && x.Credential == c.Credential {
			p.drop(key)
		}
	}
}

// drop is called with mu held. Close waits for the calls that are under way, so
// it does not happen here.
func (p *table) drop(key string) {
	e := p.byKey[key]
	delete(p.byKey, key)
	for _, pool := range e.lane {
		if pool != nil {
			p.closing.Go(pool.Close)
		}
	}
}

func (p *table) close() {
	p.mu.Lock()
	for key := range p.byKey {
		p.drop(key)
	}
	p.mu.Unlock()
	p.closing.Wait()
}

// with runs f on a connection of a lane.
func (p *table) with(ctx context.Context, t connector.Target, l lane, f func(*pgx.Conn) error) error {
	conn, err := p.acquire(ctx, t, l)
	for i := 0; i < len(byways) && l != granting && shutOut(err); i++ {
		conn, err = p.acquire(ctx, through(t, byways[i]), l)
	}
	if err != nil {
		return err
	}
	defer conn.Release()
	return f(conn.Conn())
}

func (p *table) acquire(ctx context.Context, t connector.Target, l lane) (*pgxpool.Conn, error) {
	pool, err := p.get(t, l)
	if err != nil {
		return nil, err
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, &connectError{err}
	}
	return conn, nil
}

// byways are the databases from which roles and sessions, which are common to
// all, are seen and ended too. Whoever owns the target's own database, be it on
// lease, can close it to us; that must not keep what they were lent.
var byways = []string{"postgres", "template1"}

// through is the target by way of another of its databases.
func through(t connector.Target, database string) connector.Target {
	t.Connection.Options = maps.Clone(t.Connection.Options)
	t.Connection.Options["database"] = database
	return t
}

// again is with, for calls that can be repeated: once more on another connection
// when the first had died in the pool, and a few times where somebody changed the
// same row of the catalogue at the same moment.
func (p *table) again(ctx context.Context, t connector.Target, l lane, f func(*pgx.Conn) error) error {
	for tries := 1; ; tries++ {
		err := p.with(ctx, t, l, f)
		if !(lost(err) && tries == 1 || contended(err) && tries < maxTries) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(rand.N(time.Duration(tries) * 4 * time.Millisecond)): // apart from whom we met
		}
	}
}

// major is the major version of the server: 15.
func major(c *pgx.Conn) int {
	n := 0
	for _, d := range c.PgConn().ParameterStatus("server_version") {
		if d < '0' || d > '9' {
			break
		}
		n = n*10 + int(d-'0')
	}
	return n
}

// run sends statements in one message, which makes them one transaction, and
// gives the rows of the last as text.
func run(ctx context.Context, c *pgx.Conn, sql string) ([][][]byte, error) {
	results, err := c.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil || len(results) == 0 {
		return nil, err
	}
	return results[len(results)-1].Rows, nil
}
