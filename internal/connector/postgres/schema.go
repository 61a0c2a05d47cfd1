package postgres

import (
	"strconv"

	"stint/internal/access"
)

const (
	defaultIterations      = 4096
	maxIterations          = 1_000_000
	defaultConnectionLimit = 10
	maxConnectionLimit     = 1000
)

// Schema says what documents may contain for PostgreSQL.
func (*Connector) Schema() access.Schema {
	return access.Schema{
		Type:       Type,
		Mechanisms: []access.Mechanism{access.Account, access.Member, access.Enable},
		Connection: map[string]access.Option{
			"database": {Doc: "the database that users connect to, and that Stint works from", Required: true},
			"sslmode": {Doc: "how the server's certificate is checked; disable is for loopback addresses only",
				Values: []string{verifyFull, verifyCA, disableTLS}, Default: verifyFull},
			"ca": {Doc: "the certificate authority of the server, as PEM text; without it, those of the system"},
		},
		Role: map[string]access.Option{
			"sessions": {Doc: "what becomes of the account's sessions when it leaves a group",
				Values: []string{"end", "keep"}, Default: "end"},
			"scramIterations": {Doc: "cost of guessing a password from a stolen verifier; the passwords have 256 random bits, so 1 is safe too",
				Min: 1, Max: maxIterations, Default: strconv.Itoa(defaultIterations)},
			"connectionLimit": {Doc: "the most sessions at once of an account made or enabled for a grant",
				Min: 1, Max: maxConnectionLimit, Default: strconv.Itoa(defaultConnectionLimit)},
			"setRole": {Doc: "whether a member may SET ROLE to its groups, and so own things in their name; PostgreSQL 16 and later, older ones always allow it",
				Values: []string{"deny", "allow"}, Default: "deny"},
		},
	}
}

// options are the role's settings, parsed.
type options struct {
	keepSessions    bool
	iterations      int
	connectionLimit int
	setRole         bool
}

// parseOptions reads the settings. Documents were checked against the schema;
// what gets here regardless is refused.
func parseOptions(m map[string]string) (options, error) {
	o := options{keepSessions: m["sessions"] == "keep", setRole: m["setRole"] == "allow"}
	var err error
	if o.iterations, err = number(m, "scramIterations", defaultIterations, maxIterations); err != nil {
		return o, err
	}
	o.connectionLimit, err = number(m, "connectionLimit", defaultConnectionLimit, maxConnectionLimit)
	return o, err
}

func number(m map[string]string, name string, without, most int) (int, error) {
	text, ok := m[name]
	if !ok || text == "" {
		return without, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, access.Fail(access.Invalid, "bad-option", name+" is a whole number from 1 to "+strconv.Itoa(most)).
			Because("it is " + strconv.Quote(text))
	}
	return n, nil
}
