package stint

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// exposed is how much of the system a unit may reach, in tenths of systemd's own measure, in
// which 100 is everything. Who needs more says why here.
var exposed = map[string]string{
	"stintd.service":        "20",
	"stint-gateway.service": "20",
	"stint-agent.service":   "60", // it makes accounts, and reloads sshd
	"stint-elevate.service": "",   // what it runs is somebody's command with all of root's privilege: a sandbox around it would be the command's
}

var program = regexp.MustCompile(`(?m)^(Exec[A-Za-z]+=[-+!@:]*)/\S+`)

// TestUnits: systemd understands every line of the units that the programs print, and what
// they keep a program from stays kept. No systemd runs for that.
func TestUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatal("systemd-analyze is missing (Debian: apt install systemd, or make setup)")
	}
	files, err := filepath.Glob("cmd/*/*.service")
	if err != nil || len(files) != len(exposed) {
		t.Fatalf("%q, %v", files, err)
	}
	dir := t.TempDir()
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		most, known := exposed[filepath.Base(f)]
		if !known {
			t.Errorf("%s: say how much it may reach", f)
		}
		unit := filepath.Join(dir, filepath.Base(f)) // of a program that is there: ours is not installed
		if err := os.WriteFile(unit, program.ReplaceAll(text, []byte("${1}/bin/true")), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput(); err != nil || strings.Contains(string(out), filepath.Base(f)) {
			t.Errorf("%s: %v\n%s", f, err, out)
		}
		if most == "" {
			continue
		}
		for _, line := range []string{"LimitCORE=0", "MemorySwapMax=0"} { // what it has in memory is written nowhere
			if !regexp.MustCompile("(?m)^" + line + "$").Match(text) {
				t.Errorf("%s has no %s", f, line)
			}
		}
		if out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+most, unit).CombinedOutput(); err != nil {
			t.Errorf("%s reaches more than %s tenths: %v\n%s", f, most, err, out)
		}
	}
}
