package pggate

import (
	"strings"

	"stint/internal/gateway"
	"stint/internal/gateway/statement"
)

// nothing is what the server is sent in place of a statement that a guard refused. It is no
// statement, and the server says so: an open transaction has failed with it, and what was
// sent behind it is skipped up to the next Sync, as with any other mistake. So the state of
// both ends is the server's own, whatever the client does next, and the client is told why.
const nothing = "stint refused this statement"

// What the server says to it (syntax_error), and what the client is told (insufficient_privilege).
const (
	codeSyntax  = "42601"
	codeRefused = "42501"
)

// judge looks at a statement, says what it is, and returns why it does not pass, "" where
// it does.
func (o *session) judge(s *Statement) string {
	look := statement.Look(s.Text)
	s.Classes = look.Classes
	guard := &o.Limits.Guard
	known := look.Depends && o.track.plain()
	r := guard.Judge(look, known)
	if r == nil && look.SetsPassword(o.Target.Login, known) {
		r = &ownPassword
	}
	if r == nil {
		return ""
	}
	s.How, s.Why = Rejected, r.Rule+": "+r.Why
	o.Alarm("guard: "+r.Rule, s.Text)
	return o.tell(*r)
}

// ownPassword refuses what would open the target past the gateway. It holds in every session,
// with a guard or without.
var ownPassword = statement.Refusal{Rule: "own password", Why: "with a password of its own, this account could go around the gateway",
	Next: "the gateway signs in for you, and needs none of yours; passwords of other accounts are set by their names"}

// mostTold is how many refusals of a session have what the client is told of them in memory
// once, however many statements wait for it.
const mostTold = 100

// tell is what the client is told of a refusal.
func (o *session) tell(r statement.Refusal) string {
	if told := o.told[r]; told != "" {
		return told
	}
	told := string(said('E', "S", "ERROR", "V", "ERROR", "C", codeRefused, "M", "stint: refused: "+r.Why,
		"D", "The guard is: "+r.Rule+". Nothing of the statement was carried out.", "H", r.Next))
	if o.told == nil || len(o.told) >= mostTold {
		o.told = map[statement.Refusal]string{}
	}
	o.told[r] = told
	return told
}

// refused gives what the client is told in place of the server's answer to nothing, and the
// answer itself to everything else. A server that carries nothing out is none.
func (d *downward) refused(kind byte, answer []byte) ([]byte, error) {
	if !strings.ContainsRune("E1CIsTGH", rune(kind)) {
		return answer, nil
	}
	switch why := d.track.refusal(); {
	case why == "":
		return answer, nil
	case kind != 'E':
		return nil, &ending{gateway.Refused, "the server carried out what a guard had refused"}
	case field(answer[headLen:], 'C') == codeSyntax:
		return []byte(why), nil
	}
	return answer, nil // it is about something else: the server is stopping, for instance
}
