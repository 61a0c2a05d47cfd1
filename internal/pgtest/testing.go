//go:build unix

package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Start gives the test a server of its own, until the test ends: for tests that
// restart it, break it or need other settings. Others use Shared.
func Start(tb testing.TB, opt Options) *Server {
	tb.Helper()
	s, err := Launch(tb.Context(), opt)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// shared is the server of Shared, with the number of tests that use it.
var shared struct {
	mu     sync.Mutex
	users  int
	server *Server
}

// Shared gives the server that all tests of a binary share, started at first use.
// It ends with the last test that uses it or, where TestMain calls Main, with the
// binary. Roles are common to all databases of a server: a test names its own, and
// takes its own Database.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		// Not bound to tb: the server may outlive the test that asked first.
		s, err := Launch(context.Background(), Options{MaxConnections: 200})
		if err != nil {
			tb.Fatal(err)
		}
		shared.server = s
	}
	shared.users++
	tb.Cleanup(func() {
		if err := leaveShared(); err != nil {
			tb.Error(err)
		}
	})
	return shared.server
}

func leaveShared() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.users--
	if shared.users > 0 || shared.server == nil {
		return nil
	}
	s := shared.server
	shared.server = nil
	return s.Close()
}

// Main runs the tests of a binary and keeps the Shared server, and what makes
// Start quick, from the first use to the end:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
func Main(m *testing.M) int {
	cache.hold()
	shared.mu.Lock()
	shared.users++
	shared.mu.Unlock()
	code := m.Run()
	if err := errors.Join(leaveShared(), cache.release()); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return 1
	}
	return code
}

// Database makes an empty database for the test and gives its name. It goes when
// the test ends, with the sessions in it, unless the server is down by then.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	return s.Copy(tb, "template1", s.User)
}

// Copy is Database with what is in another one, to which nobody is connected, for an
// owner.
func (s *Server) Copy(tb testing.TB, of, owner string) string {
	tb.Helper()
	name := "t_" + strings.ToLower(rand.Text()[:16])
	q := func(name string) string { return pgx.Identifier{name}.Sanitize() }
	if err := s.Exec(tb.Context(), "postgres", "CREATE DATABASE "+q(name)+" TEMPLATE "+q(of)+" OWNER "+q(owner)); err != nil {
		tb.Fatalf("create a database for the test: %v", err)
	}
	tb.Cleanup(func() {
		if !s.Running() {
			return
		}
		if err := s.DropDatabase(context.Background(), name); err != nil {
			tb.Errorf("drop the test's database: %v", err)
		}
	})
	return name
}
