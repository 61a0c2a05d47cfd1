package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"stint/test/stage"
)

// session is an open connection of an account. A goroutine waits for its end.
type session struct {
	conn net.Conn
	cut  chan time.Time
}

// connect opens a session as an account and watches it.
func (s *scene) connect(ctx context.Context, user, password string) (*session, error) {
	config, err := pgx.ParseConfig(s.Target.DSN(user, password, stage.Database))
	if err != nil {
		return nil, err
	}
	c, err := pgconn.ConnectConfig(ctx, &config.Config)
	if err != nil {
		return nil, err
	}
	return asSession(c)
}

// asSession takes a connection over, and waits for its end.
func asSession(c *pgconn.PgConn) (*session, error) {
	h, err := c.Hijack()
	if err != nil {
		return nil, err
	}
	x := &session{conn: h.Conn, cut: make(chan time.Time, 1)}
	go func() {
		// The server says nothing in a session that asks nothing, until it ends it.
		var b [1]byte
		_, _ = x.conn.Read(b[:])
		x.cut <- time.Now()
	}()
	return x, nil
}

// sessions are opened together and end together.
type sessions struct {
	mu  sync.Mutex
	all []*session
}

func (x *sessions) add(s *session) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.all = append(x.all, s)
}

// wait returns when every session is cut, with the time of each, counted from begin.
func (x *sessions) wait(ctx context.Context, begin time.Time) (sample, error) {
	var cut sample
	for _, s := range x.all {
		select {
		case at := <-s.cut:
			cut = append(cut, at.Sub(begin))
		case <-ctx.Done():
			return cut, errors.New("a session is still open")
		}
	}
	return cut, nil
}

func (x *sessions) close() {
	for _, s := range x.all {
		_ = s.conn.Close() // cut already, or given up
	}
}
