// Demo tells the story of Stint on a real PostgreSQL and checks every sentence
// of it: ask, explain, approve, connect, give back, expire, overlap, crash,
// verify, tamper.
//
//	go run ./test/demo -bin bin -store sqlite|postgres [-auto | -console]
//
// It types the commands that people would type and shows what they really
// print. What it claims of the target it reads from the target itself, as its
// superuser; what it claims of a command is the command's exit code. The first
// claim that does not hold ends it, with exit code 1 and what was expected.
// Without -auto it stays up afterwards, for trying things in a browser or a terminal, until
// Ctrl-C or Enter. With -console it tells nothing and only stays up. However
// it ends, nothing that it started and no file of it stays behind.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"
)

func main() {
	bin := flag.String("bin", "bin", "folder of stint and stintd")
	store := flag.String("store", "sqlite", "where stintd keeps its state: sqlite or postgres")
	auto := flag.Bool("auto", false, "end after the last step, and do not pause to be watched")
	console := flag.Bool("console", false, "tell no story; only set the scene, and stay up for a browser")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx = untilOrphaned(ctx)
	terminal := term.IsTerminal(int(os.Stdout.Fd()))
	t := &teller{w: os.Stdout, colour: terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	if terminal && !*auto {
		t.pause = 1500 * time.Millisecond
	}
	err := run(ctx, t, *bin, *store, *auto, *console)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "demo: interrupted")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "demo: error:", err)
		os.Exit(1)
	}
}

// run sets the scene, tells the story and clears up, whatever happens.
func run(ctx context.Context, t *teller, bin, store string, auto, console bool) (err error) {
	d, err := open(ctx, t, bin, store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if !console {
		if err := d.tell(ctx); err != nil {
			if !errors.Is(err, errUnchecked) {
				return err
			}
			return fmt.Errorf("%w; the end of stintd's log:\n%s", err, d.stage.LogTail(15))
		}
		d.summary()
	}
	if auto {
		return nil
	}
	if err := d.invite(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-entered():
	}
	t.line("")
	t.line("clearing up")
	return nil
}

// entered says that Enter was pressed, where somebody could.
func entered() <-chan struct{} {
	done := make(chan struct{})
	if term.IsTerminal(int(os.Stdin.Fd())) {
		go func() { // it ends with us
			_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
			close(done)
		}()
	}
	return done
}

// untilOrphaned ends the context when whoever started us is gone: `go run` dies
// of a signal without passing it on.
func untilOrphaned(parent context.Context) context.Context {
	ctx, cancel := context.WithCancel(parent)
	was := os.Getppid()
	go func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if os.Getppid() != was || ctx.Err() != nil {
				cancel()
				return
			}
		}
	}()
	return ctx
}
