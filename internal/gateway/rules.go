package gateway

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
)

// Rules say what may be done within a session. The zero value allows nothing.
//
// They bound what the gateway carries, not what a login can do. Who has a shell on a
// target has whatever its account has, by any spelling: command rules decide about
// commands that are sent as such (ssh HOST COMMAND), and in shells they only tell.
type Rules struct {
	Shell bool     // interactive shells
	Exec  bool     // single commands, as Commands allows them
	Pty   bool     // a terminal for either
	SFTP  FileMode // the file transfer subsystem
	Env   []string // variables that may be set, by name or NAME_*

	Commands []CommandRule

	Forward       []string // host:port that may be reached from the target; * for either
	Listen        []string // address:port that may be listened on at the target; * for either
	Sockets       []string // paths of sockets that may be reached on the target
	ListenSockets []string // paths of sockets that may be listened on at the target
	Agent         bool     // the person's key agent, lent to the target
	X11           bool     // the person's display, lent to the target
}

// FileMode is what may be done by file transfer.
type FileMode string

// The modes.
const (
	NoFiles    FileMode = ""
	ReadFiles  FileMode = "read"
	WriteFiles FileMode = "write" // read and write
)

// CommandRule is one pattern and what it does. Patterns match the whole command.
//
// In an allow pattern a star stands for what no shell reads a meaning into, so that a
// command that is allowed by "systemctl restart *" restarts one thing and does nothing
// else: * for one word or a part of one, not beginning with a dash where it begins the
// word and not reaching over a slash; ** for any words. What climbs with .. is matched
// by no star. In a deny or alarm pattern a star stands for anything.
type CommandRule struct {
	Effect  Effect
	Pattern string
}

// Effect is what a command rule does. Deny overrides; where there is any allow rule, a
// command that none allows is refused.
type Effect string

// The effects.
const (
	Deny   Effect = "deny"
	Allow  Effect = "allow"
	Alarms Effect = "alarm"
)

const (
	mostPatterns = 200
	longest      = 1024 // bytes of a pattern
)

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// risky are beginnings of variables that make a program load or run something before it
// does what it was called for. No allow-list reaches them.
var risky = []string{"LD_", "DYLD_", "BASH_ENV", "BASH_FUNC_", "ENV", "IFS", "PATH", "SHELLOPTS", "PYTHON", "PERL", "RUBY", "NODE_OPTIONS", "GCONV_PATH", "GLIBC_", "MALLOC_", "SSH_", "GIT_SSH", "PROMPT_COMMAND", "STINT_"}

// Check says what in the rules cannot be.
func (r *Rules) Check() error {
	if r.SFTP != NoFiles && r.SFTP != ReadFiles && r.SFTP != WriteFiles {
		return fmt.Errorf("sftp is %q; it is read, write or nothing", r.SFTP)
	}
	if n := len(r.Commands) + len(r.Env) + len(r.Forward) + len(r.Listen) + len(r.Sockets) + len(r.ListenSockets); n > mostPatterns {
		return fmt.Errorf("there are %d patterns; the most is %d", n, mostPatterns)
	}
	for _, c := range r.Commands {
		if c.Effect != Allow && c.Effect != Deny && c.Effect != Alarms {
			return fmt.Errorf("a command rule's effect is %q; it is allow, deny or alarm", c.Effect)
		}
		if strings.TrimSpace(c.Pattern) == "" || len(c.Pattern) > longest {
			return fmt.Errorf("a command pattern has %d bytes; it has 1 to %d", len(c.Pattern), longest)
		}
	}
	for _, e := range r.Env {
		name := strings.TrimSuffix(e, "*")
		if !variable.MatchString(name) {
			return fmt.Errorf("%q is no name of a variable, nor NAME_*", e)
		}
	}
	for _, hp := range slices.Concat(r.Forward, r.Listen) {
		if _, _, err := net.SplitHostPort(hp); err != nil {
			return fmt.Errorf("%q is no host:port", hp)
		}
	}
	for _, p := range slices.Concat(r.Sockets, r.ListenSockets) {
		if !strings.HasPrefix(p, "/") {
			return fmt.Errorf("%q is no path from the root", p)
		}
	}
	return nil
}

// Command says whether a command may run, and which alarms it sets off. Where it may
// not, why names the rule.
func (r *Rules) Command(command string) (allowed bool, why string, alarms []string) {
	needed, found := false, false
	for _, c := range r.Commands {
		switch hit := c.matches(command); c.Effect {
		case Deny:
			if hit {
				return false, "the command is denied by the rule " + c.Pattern, alarms
			}
		case Allow:
			needed, found = true, found || hit
		case Alarms:
			if hit {
				alarms = append(alarms, c.Pattern)
			}
		}
	}
	if needed && !found {
		return false, "no rule of the role allows the command", alarms
	}
	return true, "", alarms
}

// Typed says which alarms a line sets off that was typed into a shell. What a deny rule
// matches is told, too: a shell cannot be kept from running it.
func (r *Rules) Typed(line string) (alarms []string) {
	line = strings.TrimSpace(line)
	if line == "" {
		return nil
	}
	for _, c := range r.Commands {
		if c.Effect != Allow && c.matches(line) {
			alarms = append(alarms, c.Pattern)
		}
	}
	return alarms
}

// Variable says whether an environment variable may be set.
func (r *Rules) Variable(name string) bool {
	if !variable.MatchString(name) || slices.ContainsFunc(risky, func(p string) bool { return strings.HasPrefix(name, p) }) {
		return false
	}
	return slices.ContainsFunc(r.Env, func(e string) bool {
		prefix, many := strings.CutSuffix(e, "*")
		return name == e || (many && strings.HasPrefix(name, prefix))
	})
}

// Reach says whether host and port may be reached from the target, by name as it was
// given: nothing is resolved here.
func (r *Rules) Reach(host string, port uint32) bool { return anyAddress(r.Forward, host, port) }

// Bind says whether address and port may be listened on at the target.
func (r *Rules) Bind(address string, port uint32) bool { return anyAddress(r.Listen, address, port) }

// Socket says whether a socket of the target may be reached.
func (r *Rules) Socket(path string) bool { return slices.Contains(r.Sockets, path) }

// BindSocket says whether a socket may be listened on at the target.
func (r *Rules) BindSocket(path string) bool { return slices.Contains(r.ListenSockets, path) }

func anyAddress(patterns []string, host string, port uint32) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		h, n, err := net.SplitHostPort(p)
		return err == nil && port <= 65535 && (n == "*" || n == fmt.Sprint(port)) && (h == "*" || strings.EqualFold(h, host))
	})
}

// matches says whether the pattern matches all of a command.
func (c CommandRule) matches(command string) bool {
	if c.Effect == Allow && strings.Contains(c.Pattern, "*") && climbs(command) && !climbs(c.Pattern) {
		return false
	}
	re, err := regexp.Compile(c.expression())
	return err == nil && re.MatchString(command)
}

// What a star stands for in an allow pattern. No character of it has a meaning to a
// POSIX shell in an argument (the Shell Command Language, section 2.2): no quotes, no
// expansion, no separators, no newline, and nothing beyond ASCII, which shells in other
// encodings may read as something else.
const (
	plain     = `[A-Za-z0-9_@%+:,.\-]`
	wordStart = `[A-Za-z0-9_@%+:,.]`
	plainMany = `[A-Za-z0-9_@%+=:,./ \-]`
)

func (c CommandRule) expression() string {
	var b strings.Builder
	b.WriteString(`\A(?s:`)
	p := c.Pattern
	for i := 0; i < len(p); i++ {
		if p[i] != '*' {
			j := i
			for j < len(p) && p[j] != '*' {
				j++
			}
			b.WriteString(regexp.QuoteMeta(p[i:j]))
			i = j - 1
			continue
		}
		many := i+1 < len(p) && p[i+1] == '*'
		switch {
		case c.Effect != Allow:
			b.WriteString(`.*`)
		case many:
			b.WriteString(plainMany + `*`)
		case i == 0 || p[i-1] == ' ':
			b.WriteString(wordStart + plain + `*`)
		default:
			b.WriteString(plain + `*`)
		}
		if many {
			i++
		}
	}
	b.WriteString(`)\z`)
	return b.String()
}

// climbs says whether any part of a path in it is two dots.
func climbs(command string) bool {
	return slices.Contains(strings.FieldsFunc(command, func(r rune) bool { return strings.ContainsRune("/ =:,", r) }), "..")
}
