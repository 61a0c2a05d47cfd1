package host

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/linux"
)

// fingerprint takes one; what is walked for programs is small.
func (w *world) fingerprint() []byte {
	w.t.Helper()
	w.c.Walk = []string{"/srv", "/home", w.base}
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	b, err := w.c.Fingerprint(ctx, w.Target())
	must(w.t, err)
	return b
}

func (w *world) residue(before, after []byte, o connector.Order) connector.Residue {
	w.t.Helper()
	rs, err := w.c.Residue(before, after, []connector.Order{o})
	must(w.t, err)
	if len(rs) != 1 {
		w.t.Fatalf("%d answers for one order", len(rs))
	}
	return rs[0]
}

// TestResidue: each way to stay that an account has by itself is found, with whose it is.
func TestResidue(t *testing.T) {
	w := newWorld(t)
	must(t, os.MkdirAll("/srv/open", 0o777))
	must(t, os.Chmod("/srv/open", 0o777|os.ModeSticky))
	must(t, os.MkdirAll("/var/spool/cron/crontabs", 0o755))
	must(t, os.MkdirAll("/var/spool/cron/atjobs", 0o755))
	o, _ := w.give()
	uid, err := strconv.Atoi(o.Creation)
	must(t, err)
	s, err := w.ssh(o.Account, w.certificate(linux.Principal(o.Tag)))
	must(t, err)
	s.Close()
	w.wait("nothing of the session is left", func() bool { // what outlives its sshd by a moment is nobody's child
		left, err := processes(func(i identity) bool { return i.is(uid) })
		must(t, err)
		return len(left) == 0
	})
	before := w.fingerprint()
	if again := w.fingerprint(); string(again) != string(before) {
		t.Errorf("two fingerprints of one host differ:\n%s\n%s", before, again)
	}
	c := w.client(o.Account, w.certificate(linux.Principal(o.Tag)), `
		cp /bin/sh /srv/open/suid-`+o.Account+` && chmod u+s /srv/open/suid-`+o.Account+`
		mkdir -p ~/.ssh ~/.config/systemd/user
		echo 'ssh-ed25519 AAAA x' > ~/.ssh/authorized_keys
		echo '[Service]' > ~/.config/systemd/user/back.service
		echo 'true' >> ~/.profile`)
	if err := c.cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, c.said)
	}
	for _, path := range []string{"/var/spool/cron/crontabs/" + o.Account, "/var/spool/cron/atjobs/a0001"} {
		w.write(path, "* * * * * true\n", 0o600)
		must(t, os.Chown(path, uid, uid))
		t.Cleanup(func() { _ = os.Remove(path) })
	}
	w.start1(uid, "exec sleep 1000") // as a child of ours it is in a log-in of somebody's
	orphan := w.client(o.Account, nil, "setsid sh -c 'exec sleep 1001' >/dev/null 2>&1 &")
	must(t, orphan.cmd.Run())
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
		must(t, err)
		if slices.ContainsFunc(lines, func(p string) bool { b, _ := os.ReadFile(p); return string(b) == "sleep\x001001\x00" }) {
			break // it is what it will be found as
		}
	}
	other := w.user("other")
	w.write("/home/"+other+"/.profile", "true\n", 0o644)
	w.end(o)
	r := w.residue(before, w.fingerprint(), o)
	if r.State != access.ResidueFound {
		t.Fatalf("got %+v", r)
	}
	for kind, what := range map[string]string{
		linux.TrailSetuid: "/srv/open/suid-", linux.TrailKeys: "/.ssh/authorized_keys", linux.TrailUnit: "back.service", linux.TrailStart: ".profile",
		linux.TrailCron: "/crontabs/", linux.TrailAt: "a0001", linux.TrailProcess: "sleep",
	} {
		if !slices.ContainsFunc(r.Traces, func(x access.Trace) bool { return x.Kind == kind && strings.Contains(x.What, what) && x.Undo != "" }) {
			t.Errorf("%s of %s is not found: %+v", kind, what, r.Traces)
		}
	}
	for _, x := range r.Traces {
		if strings.Contains(x.What, other) {
			t.Errorf("another's doing is taken for the order's: %+v", x)
		}
	}
	quiet, _ := w.give()
	same := w.fingerprint()
	w.end(quiet)
	if r := w.residue(same, w.fingerprint(), quiet); r.State != access.ResidueNone || len(r.Traces) > 0 {
		t.Errorf("of one that did nothing: %+v", r)
	}
}

// TestResidueOfRoot: who could be root can have left anything, and that is never "none".
func TestResidueOfRoot(t *testing.T) {
	w := newWorld(t)
	before := w.fingerprint()
	o := w.Order(access.Elevate)
	o.Creation = "1234"
	for name, x := range map[string]connector.Order{
		"an elevation":      o,
		"a group":           {Mechanism: access.Member, Account: "mira", Creation: "1234", Rights: []string{"docker"}},
		"nobody knows whom": {Mechanism: access.Token, Account: "mira"},
	} {
		if r := w.residue(before, before, x); r.State != access.ResidueUnknowable || r.Note == "" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	admin, _ := w.give()
	w.run("usermod", "--append", "--groups", "sudo", admin.Account)
	if r := w.residue(before, w.fingerprint(), admin); r.State != access.ResidueUnknowable || !strings.Contains(r.Note, "sudo") {
		t.Errorf("an account that is in sudo: %+v", r)
	}
	w.end(admin)
	// What root changed is told all the same.
	w.write("/etc/cron.d/back-"+filepath.Base(w.base), "* * * * * root true\n", 0o644)
	t.Cleanup(func() { _ = os.Remove("/etc/cron.d/back-" + filepath.Base(w.base)) })
	r := w.residue(before, w.fingerprint(), o)
	if !slices.ContainsFunc(r.Traces, func(x access.Trace) bool {
		return x.Kind == linux.TrailCron && strings.Contains(x.What, "/etc/cron.d/back-")
	}) {
		t.Errorf("a line of cron is not told: %+v", r)
	}
}

// TestResidueOfAccount: an account that is gone with its home and jobs leaves what it put
// elsewhere.
func TestResidueOfAccount(t *testing.T) {
	w := newWorld(t)
	must(t, os.MkdirAll("/srv/open", 0o777))
	must(t, os.Chmod("/srv/open", 0o777|os.ModeSticky))
	o := w.Order(access.Account)
	before := w.fingerprint()
	r, err := w.c.Provision(t.Context(), w.Target(), o)
	must(t, err)
	o.Account, o.Creation = r.Account, r.Creation
	c := w.client(o.Account, w.certificate(linux.Principal(o.Tag)), "cp /bin/sh /srv/open/left && chmod u+s /srv/open/left; echo x > ~/.profile")
	must(t, c.cmd.Run())
	t.Cleanup(func() { _ = os.Remove("/srv/open/left") })
	w.end(o)
	got := w.residue(before, w.fingerprint(), o)
	if got.State != access.ResidueFound || len(got.Traces) != 1 || got.Traces[0].Kind != linux.TrailSetuid || got.Traces[0].Undo != "chmod a-s /srv/open/left" {
		t.Errorf("got %+v", got)
	}
}

// TestSurveyFinds: each kind of standing privilege, and nothing of Stint's.
func TestSurveyFinds(t *testing.T) {
	w := newWorld(t)
	admin, keyed, root := w.user("admin"), w.user("keyed"), "uidnull"+strconv.FormatInt(worlds.Add(1), 10)
	w.run("usermod", "--append", "--groups", "sudo", admin)
	w.run("useradd", "--non-unique", "--uid", "0", root)
	w.authorize(keyed, newSigner(t).PublicKey())
	w.run("usermod", "--password", "$6$salt$hash", admin)
	rule := "/etc/sudoers.d/theirs-" + filepath.Base(w.base)
	w.write(rule, keyed+" ALL=(ALL:ALL) NOPASSWD: /usr/bin/id, /usr/bin/whoami\n", 0o440)
	t.Cleanup(func() { _ = os.Remove(rule); w.run("userdel", "--force", root) })
	elevated := w.elevate([]string{"/usr/bin/id -u", "/usr/bin/whoami"})
	found, cut, err := w.c.Survey(t.Context(), w.Target(), nil, 1000)
	if err != nil || cut {
		t.Fatalf("survey: %v, cut %v", err, cut)
	}
	for _, want := range []connector.Stand{
		{Account: admin, Privilege: "member of sudo", Kind: access.StandingMember, Right: "sudo"},
		{Account: keyed, Privilege: "keys in /home/" + keyed + "/.ssh/authorized_keys", Kind: access.StandingPower},
		{Account: root, Privilege: "uid 0", Kind: access.StandingPower},
		{Account: keyed, Privilege: "sudo as ALL: /usr/bin/id, /usr/bin/whoami", Kind: access.StandingPower},
		{Account: "%sudo", Privilege: "sudo as ALL: ALL", Kind: access.StandingPower},
	} {
		if !slices.ContainsFunc(found, func(s connector.Stand) bool {
			return s.Account == want.Account && s.Privilege == want.Privilege && s.Kind == want.Kind && s.Right == want.Right && s.Undo != ""
		}) {
			t.Errorf("%s with %q is not found: %+v", want.Account, want.Privilege, found)
		}
	}
	for _, s := range found {
		if s.Account == "root" || s.Account == elevated.Account || s.Account == "#"+elevated.Creation {
			t.Errorf("found %+v", s)
		}
	}
	w.end(elevated)
}

// TestHostileHomes: what people put into their homes is read without waiting for it, and
// where it is not all read the print says so.
func TestHostileHomes(t *testing.T) {
	for name, x := range map[string]struct {
		make func(home string)
		gap  string // "" where nothing is missed
	}{
		"plain":           {func(home string) { must(t, os.WriteFile(home+"/.profile", []byte("x"), 0o644)) }, ""},
		"a pipe":          {func(home string) { must(t, unix.Mkfifo(home+"/.bashrc", 0o666)) }, ""},
		"a link":          {func(home string) { must(t, os.Symlink("/dev/zero", home+"/.zshrc")) }, ""},
		"a linked folder": {func(home string) { must(t, os.Symlink("/proc/self/fd", home+"/.config")) }, "/.config/"},
		"a link within": {func(home string) {
			must(t, os.MkdirAll(home+"/dots/autostart", 0o755))
			must(t, os.WriteFile(home+"/dots/autostart/x", nil, 0o644))
			must(t, os.Symlink("dots", home+"/.config"))
		}, ""},
		"a folder of keys": {func(home string) { must(t, os.MkdirAll(home+"/.ssh/authorized_keys", 0o700)) }, ""},
		"many files": {func(home string) {
			must(t, os.MkdirAll(home+"/.config/autostart", 0o755))
			for i := range homeFiles + 1 {
				must(t, os.WriteFile(home+"/.config/autostart/"+strconv.Itoa(i), nil, 0o644))
			}
		}, ": more than is looked at"},
		"a large file": {func(home string) {
			must(t, os.WriteFile(home+"/.zshenv", nil, 0o644))
			must(t, os.Truncate(home+"/.zshenv", homeBytes+1))
		}, ": more than is looked at"},
		"another file system": {func(home string) {
			must(t, os.Mkdir(home+"/.ssh", 0o755))
			must(t, unix.Mount("tmpfs", home+"/.ssh", "tmpfs", 0, ""))
			t.Cleanup(func() { must(t, unix.Unmount(home+"/.ssh", 0)) })
		}, "/.ssh/"},
	} {
		home := t.TempDir()
		x.make(home)
		var f reading
		f.home(t.Context(), account{name: "mira", home: home})
		told := strings.Join(f.Gaps, "\n")
		if (told == "") != (x.gap == "") || !strings.Contains(told, home+x.gap) && x.gap != "" {
			t.Errorf("%s: the gaps are %q, want one with %q", name, told, x.gap)
		}
		if wants := !strings.Contains(name, "folder") && x.gap == ""; wants != (len(f.Lines) == 1) {
			t.Errorf("%s: got %+v", name, f.Lines)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	home := t.TempDir()
	must(t, os.WriteFile(home+"/.profile", nil, 0o644))
	var f reading
	if f.home(over, account{name: "mira", home: home}); len(f.Lines) != 0 {
		t.Errorf("read after the end: %+v", f.Lines)
	}
}

// FuzzFingerprint: whatever a store gives back, comparing it ends in an answer or an error.
func FuzzFingerprint(f *testing.F) {
	f.Add([]byte(`{"lines":[{"kind":"cron","path":"/a","key":"b","uid":1}],"rooted":{"mira":"uid 0"}}`), []byte(`{}`), "1", "mira")
	f.Add([]byte("null"), []byte("[]"), "-1", "")
	f.Fuzz(func(t *testing.T, before, after []byte, creation, account string) {
		rs, err := linux.Residue(before, after, []connector.Order{{Mechanism: access.Token, Account: account, Creation: creation}})
		if err == nil && (len(rs) != 1 || rs[0].State == "" || rs[0].State == access.ResiduePending) {
			t.Fatalf("%+v", rs)
		}
	})
}
