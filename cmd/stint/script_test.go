package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"stint/internal/api"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"stint": main})
}

// TestScripts runs each script of testdata/script as its users would: the
// program is a process of its own, the server a fake behind real HTTP. The
// persons are mira (signed in to begin with), noor and root; "as NAME" changes
// who sits at the keyboard.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			tb := env.T().(testing.TB)
			f := newFake(tb)
			env.Values["fake"], env.Values["tb"] = f, tb
			env.Setenv("STINT_SERVER", f.URL)
			env.Setenv("STINT_HOME", filepath.Join(env.WorkDir, "home", "mira"))
			env.Setenv("TZ", "UTC")
			for _, name := range []string{"mira", "noor", "root"} {
				if err := enroll(f, filepath.Join(env.WorkDir, "home", name), name); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"as":    cmdAs,
			"rc":    cmdRC,
			"fake":  cmdFake,
			"calls": cmdCalls,
		},
	})
}

// enroll signs a person in, in this process.
func enroll(f *fake, home, name string) error {
	var out strings.Builder
	code := Main(context.Background(), []string{"login", "--enroll-token-file", "-"},
		[]string{"STINT_SERVER=" + f.URL, "STINT_HOME=" + home}, strings.NewReader("code-"+name+"\n"), &out, &out)
	if code != exitDone {
		return fmt.Errorf("sign in %s: %s", name, out.String())
	}
	return nil
}

// as NAME: who sits at the keyboard now.
func cmdAs(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: as NAME")
	}
	ts.Setenv("STINT_HOME", ts.MkAbs(filepath.Join("home", args[0])))
}

// rc CODE COMMAND...: the command ends with this very exit code.
func cmdRC(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: rc CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// fake WHAT: something happens on the server.
func cmdFake(ts *testscript.TestScript, _ bool, args []string) {
	f := ts.Value("fake").(*fake)
	tb := ts.Value("tb").(testing.TB)
	switch what := strings.Join(args, " "); what {
	case "held": // wait until the program waits
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		ts.Check(f.held(ctx))
	case "ready": // what is in provisioning becomes active
		f.change(func() {
			for _, r := range f.requests {
				if r.Grant != nil && r.Grant.State == api.GrantProvisioning {
					f.grant(r, api.GrantActive)
				}
			}
		})
	case "down":
		f.change(func() { f.down = true })
		f.CloseClientConnections()
	case "log grows":
		f.log.append(tb, 3)
	case "log grows much": // more than pipes hold
		f.log.append(tb, 5000)
	case "log is cut":
		f.log.cut(4)
	case "log is bent":
		f.log.mu.Lock()
		f.log.bent = true
		f.log.mu.Unlock()
	case "log has a new key":
		f.log.newKey(tb)
	default:
		ts.Fatalf("fake %s: unknown", what)
	}
}

// calls PATTERN: the server has, or with ! has not, seen such a call.
func cmdCalls(ts *testscript.TestScript, neg bool, args []string) {
	f := ts.Value("fake").(*fake)
	f.mu.Lock()
	defer f.mu.Unlock()
	want := strings.Join(args, " ")
	found := false
	for _, s := range f.seen {
		found = found || strings.HasPrefix(s, want)
	}
	if found == neg {
		ts.Fatalf("calls %q: found %v among\n%s", want, found, strings.Join(f.seen, "\n"))
	}
}
