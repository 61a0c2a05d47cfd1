package recording

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// A child of a test is this program again, with a part to play and a folder in its environment.
const childEnv = "STINT_TEST_RECORDING_CHILD"

var childSeed = bytes.Repeat([]byte{7}, 32)

// child starts this program to play that part, wrapped in the command before, if any.
func child(t *testing.T, part, dir string, n int, before ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(before, self, "-test.run=^TestChild$")
	cmd := exec.CommandContext(quick(t), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childEnv+"="+part, childEnv+"_DIR="+dir, childEnv+"_N="+strconv.Itoa(n))
	return cmd
}

// TestChild is what children do; alone it does nothing.
func TestChild(t *testing.T) {
	dir := os.Getenv(childEnv + "_DIR")
	n, _ := strconv.Atoi(os.Getenv(childEnv + "_N"))
	switch os.Getenv(childEnv) {
	case "crash":
		crash(t, dir, n)
	case "small disk":
		smallDisk(t, dir)
	case "sick disk":
		sickDisk(t, dir)
	}
}

// crash writes three recordings, says what it was told is on the disk, and is killed at the nth
// call of the file system: before it, or in the middle of a write.
func crash(t *testing.T, dir string, n int) {
	k := keyringOf(t, childSeed)
	o := k.options()
	var calls atomic.Int64
	o.fault = func(call, path string, part func()) error {
		at := calls.Add(1)
		if int64(n/2) == at {
			if n%2 == 1 {
				part()
			}
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}
	s, _, err := OpenSpool(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	var writers []*Writer
	for i := range 3 {
		w, err := s.New(fmt.Sprint("s", i), Strict)
		if err != nil {
			t.Fatal(err)
		}
		writers = append(writers, w)
	}
	for i := range 48 {
		for j, w := range writers {
			if j == 0 && i == 8 {
				if err := w.Close(ctx, "done"); err != nil {
					t.Fatal(err)
				}
				_, _ = os.Stdout.WriteString("closed s0\n")
			}
			if j == 0 && i >= 8 {
				continue
			}
			size := []int{10, 60 << 10, 200 << 10}[(i+j)%3]
			if err := w.Append(ctx, uint32(i), Output{bytes.Repeat([]byte{byte(i)}, size)}); err != nil {
				t.Fatal(err)
			}
			_, _ = fmt.Fprintf(os.Stdout, "kept s%d %d\n", j, i)
			if i%10 == 5 {
				w.seal(t)
			}
		}
	}
	for _, w := range writers[1:] {
		if err := w.Close(ctx, "done"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(os.Stdout, "calls %d\n", calls.Load())
}

// TestKilledAnywhere: whatever a strict session was told is on the disk is there after a kill at
// any write or sync, and what is there verifies.
func TestKilledAnywhere(t *testing.T) {
	out, err := child(t, "crash", filepath.Join(t.TempDir(), "spool"), 0).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, tail, _ := strings.Cut(string(out), "calls ")
	calls, err := strconv.Atoi(strings.Fields(tail)[0])
	if err != nil || calls < 100 {
		t.Fatalf("%d calls, %v", calls, err)
	}
	points := rand.Perm(2 * calls)
	if most := 60; len(points) > most && !everyPoint() {
		points = points[:most]
	}
	t.Logf("%d calls; killed at %d of %d points", calls, len(points), 2*calls)
	whole, cut := 0, 0
	for _, n := range points {
		w, c := killedAt(t, n+2)
		whole, cut = whole+w, cut+c
	}
	if cut == 0 || whole == 0 {
		t.Errorf("%d recordings were whole, and of %d something was cut off: not all is tested", whole, cut)
	}
}

// everyPoint has all points tried, which takes minutes.
func everyPoint() bool { return os.Getenv("STINT_TEST_EVERY_POINT") != "" }

func killedAt(t *testing.T, n int) (whole, cut int) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "spool")
	out, err := child(t, "crash", dir, n).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || err == nil && !strings.Contains(string(out), "calls") {
		t.Fatalf("point %d: %v\n%s", n, err, out)
	}
	kept := map[string]int{}
	closed := map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) == 3 && f[0] == "kept":
			kept[f[1]], _ = strconv.Atoi(f[2])
			kept[f[1]]++
		case len(f) == 2 && f[0] == "closed":
			closed[f[1]] = true
		}
	}
	k := keyringOf(t, childSeed)
	s, recovered, err := OpenSpool(dir, k.options())
	if err != nil {
		t.Fatalf("point %d: %v", n, err)
	}
	defer func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	anchors := map[string]*Anchor{}
	for _, x := range recovered {
		if x.Err != nil && kept[x.Name] == 0 && strings.Contains(x.Err.Error(), "head") {
			continue // killed while it was made: nothing of it was promised
		}
		if x.Err != nil || x.Damaged > 0 {
			t.Errorf("point %d: %+v", n, x)
		}
		if x.Cut > 0 {
			cut++
		}
		anchors[x.Name] = &x.Anchor
	}
	for name, want := range kept {
		b, err := os.ReadFile(s.path(name))
		if err != nil {
			t.Errorf("point %d: %v", n, err)
			continue
		}
		trust := k.trust()
		trust.Anchor = anchors[name]
		rs, report, err := records(t, b, trust, k.opener)
		if err != nil {
			t.Errorf("point %d: %s: %v", n, name, err)
			continue
		}
		got := map[uint32]bool{}
		for _, r := range rs {
			got[r.Channel] = true
			for _, c := range r.Event.(Output).Data {
				if c != byte(r.Channel) {
					t.Fatalf("point %d: %s holds what was not written", n, name)
				}
			}
		}
		for i := range want {
			if !got[uint32(i)] {
				t.Errorf("point %d: %s was told that %d is on the disk, and it is not", n, name, i)
			}
		}
		switch {
		case closed[name] && report.State != Complete:
			t.Errorf("point %d: %s was closed, and is %v", n, name, report.State)
		case report.State == Broken && report.Reason != "the gateway crashed":
			t.Errorf("point %d: %+v", n, report)
		case report.State == Complete:
			whole++
		}
	}
	return whole, cut
}

// smallDisk fills a disk in a mount namespace of its own.
func smallDisk(t *testing.T, dir string) {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=10m,mode=700"); err != nil {
		t.Fatal(err)
	}
	k := keyringOf(t, childSeed)
	spool := filepath.Join(dir, "spool")
	s, _ := k.open(t, spool)
	strict, normal, calm := begin(t, s, "strict", Strict), begin(t, s, "normal", Normal), begin(t, s, "calm", Strict)
	put(t, calm, 0, Note{"calm", "before"})
	kept := 0
	var err error
	for err == nil && kept < 1000 {
		if err = strict.Append(quick(t), 0, Output{bytes.Repeat([]byte("s"), 10<<10)}); err == nil {
			kept++
		}
	}
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "the disk is full") {
		t.Fatalf("after %d: %v", kept, err)
	}
	select {
	case <-strict.Failed():
	default:
		t.Error("the session does not hear of it")
	}
	if err := strict.Append(quick(t), 0, Note{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("again: %v", err)
	}
	for err = nil; err == nil; {
		err = normal.Append(quick(t), 0, Output{make([]byte, 10<<10)})
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("normal mode: %v", err)
	}
	if s.Err() != nil {
		t.Errorf("the spool gave up for a full disk: %v", s.Err())
	}
	for _, w := range []*Writer{strict, normal} { // they end, as broken, and are there
		trust := k.trust()
		rs, report, err := records(t, finished(t, s, w.name), trust, k.opener)
		if err != nil || report.State != Broken || report.Reason != "the disk is full" {
			t.Errorf("%s: %+v, %v", w.name, report, err)
		}
		if w == strict && len(rs) < kept {
			t.Errorf("%d records, and %d were promised", len(rs), kept)
		}
	}
	if err := os.Remove(s.path("normal")); err != nil { // room again
		t.Fatal(err)
	}
	put(t, calm, 0, Note{"calm", "after"})
	done(t, calm, "logged out")
	// Only readable: nothing is begun.
	finished(t, s, "calm")
	if err := s.Close(quick(t)); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenSpool(spool, k.options()); !errors.Is(err, syscall.EROFS) {
		t.Errorf("on a disk that can only be read: %v", err)
	}
	_, _ = os.Stdout.WriteString("all done\n")
}

func TestFullDisk(t *testing.T) {
	cmd := child(t, "small disk", t.TempDir(), 0)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all done") {
		t.Fatalf("a disk can be mounted by root only, as make test is run: %v\n%s", err, out)
	}
}

// sickDisk writes until the disk fails, which strace sees to.
func sickDisk(t *testing.T, dir string) {
	k := keyringOf(t, childSeed)
	s, _, err := OpenSpool(dir, k.options())
	if err != nil {
		t.Fatal(err)
	}
	a, b := begin(t, s, "a", Strict), begin(t, s, "b", Strict)
	put(t, b, 0, Output{[]byte{0}})
	kept := 0
	for err == nil && kept < 1000 {
		if err = a.Append(quick(t), 0, Output{[]byte{1}}); err == nil {
			kept++
			_, _ = fmt.Fprintf(os.Stdout, "kept %d\n", kept)
		}
	}
	if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "the disk has an error") {
		t.Fatalf("after %d: %v", kept, err)
	}
	// One sync that failed is enough: a kernel may say that all is well, and have dropped the pages.
	for _, w := range []*Writer{a, b} {
		if err := w.Append(quick(t), 0, Output{[]byte{2}}); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", w.name, err)
		}
		<-w.Failed()
	}
	if _, err := s.New("c", Strict); !errors.Is(err, syscall.EIO) {
		t.Errorf("a new one: %v", err)
	}
	if s.Err() == nil {
		t.Error("the spool says that all is well")
	}
	_, _ = os.Stdout.WriteString("all done\n")
}

// TestSickDisk: a real process whose fdatasync fails once, with EIO.
func TestSickDisk(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatalf("strace injects the errors; install it: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "spool")
	out, err := child(t, "sick disk", dir, 0, strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=20").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all done") {
		t.Fatalf("%v\n%s", err, out)
	}
	kept := strings.Count(string(out), "kept ")
	k := keyringOf(t, childSeed)
	s, recovered := k.open(t, dir)
	if len(recovered) != 2 || recovered[0].Err != nil || recovered[1].Err != nil {
		t.Fatalf("%+v", recovered)
	}
	rs, report, err := records(t, finished(t, s, "a"), k.trust(), k.opener)
	if err != nil || len(rs) < kept || kept == 0 || report.State != Broken {
		t.Errorf("%d records, %d were promised; %+v, %v", len(rs), kept, report, err)
	}
}
