package gateway

import (
	"slices"
	"strings"
	"testing"
)

func TestCommandRules(t *testing.T) {
	restart := Rules{Commands: []CommandRule{{Allow, "systemctl restart *"}, {Allow, "cat /var/log/*"}, {Allow, "journalctl **"}, {Deny, "*shadow*"}, {Alarms, "journalctl*"}}}
	tests := []struct {
		command string
		want    bool
	}{
		{"systemctl restart nginx", true},
		{"systemctl restart nginx.service", true},
		{"systemctl restart", false},
		{"systemctl restart ", false},
		{"systemctl restart nginx; id", false},
		{"systemctl restart nginx\nid", false},
		{"systemctl restart nginx\x00", false},
		{"systemctl restart $(id)", false},
		{"systemctl restart `id`", false},
		{"systemctl restart a b", false},
		{"systemctl restart --root=/x", false},
		{"systemctl restart -H", false},
		{"systemctl restart ~root", false},
		{"systemctl restart \u00e9", false},
		{" systemctl restart nginx", false},
		{"cat /var/log/syslog", true},
		{"cat /var/log/..", false},
		{"cat /var/log/../../etc/passwd", false},
		{"cat /var/log/a/b", false},
		{"cat /var/log/*", false},
		{"cat /var/log/shadow", false},
		{"journalctl -u nginx --since=-1h", true},
		{"journalctl -u nginx | sh", false},
		{"journalctl -D ../../x", false},
		{"id", false},
		{"", false},
	}
	for _, test := range tests {
		if got, why, _ := restart.Command(test.command); got != test.want {
			t.Errorf("%q: got %v (%s)", test.command, got, why)
		}
	}
	if _, _, alarms := restart.Command("journalctl -f"); !slices.Equal(alarms, []string{"journalctl*"}) {
		t.Errorf("alarms %q", alarms)
	}
	denied := Rules{Commands: []CommandRule{{Deny, "rm -rf *"}}}
	if ok, _, _ := denied.Command("ls"); !ok {
		t.Error("without an allow rule what is not denied is allowed")
	}
	if ok, _, _ := denied.Command("rm -rf a\nb"); ok {
		t.Error("a newline walked past a deny rule")
	}
	if got := denied.Typed("  rm -rf / "); len(got) != 1 {
		t.Errorf("typed: %q", got)
	}
}

func TestVariables(t *testing.T) {
	r := Rules{Env: []string{"LANG", "LC_*", "LD_*", "P*", "EDITOR"}}
	for name, want := range map[string]bool{
		"LANG": true, "LC_ALL": true, "EDITOR": true, "PAGER": true,
		"LD_PRELOAD": false, "PATH": false, "LANGUAGE": false, "": false, "LC_A=b": false, "LC_\n": false, "PYTHONPATH": false, "lang": false,
	} {
		if got := r.Variable(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
	if (&Rules{}).Variable("LANG") {
		t.Error("the zero rules let a variable be set")
	}
}

func TestAddresses(t *testing.T) {
	r := Rules{Forward: []string{"db1:5432", "cache:*", "[::1]:80"}, Listen: []string{"localhost:*"}, Sockets: []string{"/run/a.sock"}}
	for _, test := range []struct {
		host string
		port uint32
		want bool
	}{{"db1", 5432, true}, {"DB1", 5432, true}, {"db1", 5433, false}, {"db1.", 5432, false}, {"cache", 1, true}, {"cache", 70000, false}, {"::1", 80, true}, {"", 5432, false}} {
		if got := r.Reach(test.host, test.port); got != test.want {
			t.Errorf("%s:%d: %v", test.host, test.port, got)
		}
	}
	if !r.Bind("localhost", 0) || r.Bind("0.0.0.0", 80) || r.Bind("", 80) {
		t.Error("listening")
	}
	if !r.Socket("/run/a.sock") || r.Socket("/run/../run/a.sock") || r.BindSocket("/run/a.sock") {
		t.Error("sockets")
	}
}

// FuzzRules holds that what an allow pattern's star let through says nothing to a shell
// that the pattern does not say itself.
func FuzzRules(f *testing.F) {
	f.Add("systemctl restart *", "systemctl restart nginx")
	f.Add("a ** b", "a $(id) b")
	f.Add("*", "x;y")
	f.Add("cat /log/*", "cat /log/..")
	f.Fuzz(func(t *testing.T, pattern, command string) {
		r := Rules{Commands: []CommandRule{{Allow, pattern}}}
		if r.Check() != nil {
			return
		}
		ok, _, _ := r.Command(command)
		if !ok {
			return
		}
		for _, c := range command {
			if strings.ContainsRune("$`;&|<>()\"'\\\n\r\t*?[]{}~#!^\x00", c) && !strings.ContainsRune(pattern, c) {
				t.Errorf("%q let %q pass", pattern, command)
			}
			if (c < ' ' || c > '~') && !strings.ContainsRune(pattern, c) {
				t.Errorf("%q let %q pass", pattern, command)
			}
		}
		deny := Rules{Commands: []CommandRule{{Deny, pattern}}}
		if ok, _, _ := deny.Command(command); ok {
			t.Errorf("as a deny rule %q does not match %q, which it allows", pattern, command)
		}
		_ = r.Variable(command)
		_ = r.Reach(command, 22)
	})
}
