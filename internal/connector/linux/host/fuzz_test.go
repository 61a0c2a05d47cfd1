package host

import (
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector/connectortest"
	"stint/internal/connector/linux"
)

// FuzzLine: what is understood is written again byte for byte, and what is written has
// one line, one mark, and nothing outside of its quotes that did not come from us.
func FuzzLine(f *testing.F) {
	tag := connectortest.NewTag()
	f.Add(line{tag: tag, ends: time.Unix(1_700_000_000, 0)}.String(), "uptime", "10.0.0.0/8", "ports")
	f.Add(`expiry-time="20261123160000Z",restrict,pty,command="a\"b" stint-`+string(tag), `x" ,agent-forwarding,command="`, "::/0,1.2.3.4", "agent,x11")
	f.Add("restrict stint-"+string(tag), `a\`, "*", "all")
	f.Add("# stint-"+string(tag), "a\nroot", "10.0.0.0/8\"", "")
	f.Fuzz(func(t *testing.T, text, command, from, forwarding string) {
		if l, ok := parseLine(text); ok {
			if l.String() != text {
				t.Fatalf("%q is written as %q", text, l)
			}
			if got, marked := markOf(text); !marked || got != l.tag {
				t.Fatalf("%q is understood and has the mark %q", text, got)
			}
		}
		opt, err := linux.ParseOptions(map[string]string{"forceCommand": command, "sourceAddress": from, "forwarding": forwarding})
		if err != nil {
			if access.KindOf(err) != access.Invalid {
				t.Fatalf("%v is not of the kind invalid", err)
			}
			return
		}
		want := line{tag: tag, ends: time.Unix(1_700_000_000, 0), opt: opt}
		out := want.String()
		if strings.ContainsAny(out, "\n\r\x00") {
			t.Fatalf("%q is more than one line", out)
		}
		got, ok := parseLine(out)
		if !ok || got.String() != out || got.opt.ForceCommand != command {
			t.Fatalf("%q is not read back: %+v, %v", out, got, ok)
		}
		if names := unquoted(out); strings.Trim(names, "abcdefghijklmnopqrstuvwxyzX1-,=") != "" || strings.Count(names, "command") > 1 {
			t.Fatalf("%q has %q outside of its quotes", out, names)
		}
	})
}

// unquoted is what sshd reads of the options besides what is in quotes (its rule: \" is
// no end), without the principal.
func unquoted(text string) string {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '"':
			i++ // both are passed over
		case text[i] == '"':
			quoted = !quoted
		case !quoted && text[i] == ' ':
			return b.String()
		case !quoted:
			b.WriteByte(text[i])
		}
	}
	return "unfinished: " + b.String()
}

// FuzzAccounts: whatever the files hold, no account comes out that has a name or number
// which the system would read otherwise.
func FuzzAccounts(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/bash\nmira:x:1000:1000:,,,:/home/mira:/bin/sh\n", "root:*:1:0:99999:7:::\nmira:!:1:0:99999:7::1:\n")
	f.Add("a:b:c\n+::::::\n::::::\nx:x:-1:4294967296::/:\n", "x:::::::9999999999999999999:")
	f.Fuzz(func(t *testing.T, passwd, shadow string) {
		for _, a := range parseAccounts(passwd, shadow) {
			if a.name == "" || a.uid < 0 || a.gid < 0 || strings.ContainsAny(a.name+a.home+a.shell, ":\n") {
				t.Fatalf("%+v", a)
			}
		}
	})
}

// FuzzPAM: a file that passes has the hook first and last.
func FuzzPAM(f *testing.F) {
	hook := hookLine("/usr/bin/stint-agent")
	f.Add(hook + "\n@include common-session\n" + hook)
	f.Add("auth x y\n" + hook + "\nsession sufficient pam_x.so\n" + hook)
	f.Add("-" + hook + "\n" + hook)
	f.Fuzz(func(t *testing.T, text string) {
		if badPAM(text, "/usr/bin/stint-agent") == "" && strings.Count(text, "/usr/bin/stint-agent") < 2 {
			t.Fatalf("%q passes", text)
		}
	})
}

func TestBadPAM(t *testing.T) {
	hook := hookLine("/usr/bin/stint-agent")
	for text, ok := range map[string]bool{
		hook + "\n@include common-session\n" + hook:                                                  true,
		"auth required pam_x.so\n@include common-auth\n" + hook + "\nsession required a.so\n" + hook: true,
		hook + "\n" + hook + "\n@include common-password\n":                                          true,
		"":                                   false,
		hook:                                 false,
		hook + "\n@include common-session\n": false,
		"@include common-session\n" + hook:   false,
		"session required pam_env.so\n" + hook + "\n" + hook:                                  false,
		hook + "\nsession sufficient pam_x.so\n" + hook:                                       false,
		hook + "\nsession [success=done default=ignore] pam_x.so\n" + hook:                    false,
		strings.Replace(hook, "required", "optional", 1) + "\n" + hook:                        false,
		"#" + hook + "\n" + hook:                                                              false,
		strings.Replace(hook, "session", "account", 1) + "\n" + hook:                          false,
		strings.Replace(hook, "/usr/bin/stint-agent", "/tmp/stint-agent", 1) + "\n" + hook:    false,
		strings.Replace(hook, "required", "[success=ok default=ignore]", 1) + "\n" + hook:     false,
		hook + "\n" + strings.Replace(hook, "required", "[success=ignore default=ignore]", 1): false,
	} {
		if why := badPAM(text, "/usr/bin/stint-agent"); (why == "") != ok {
			t.Errorf("%q: %q, want good %v", text, why, ok)
		}
	}
}
