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
	// brokeredIterations is for passwords that only gateways use: they have 256 random bits,
	// and no client of a person's has to take them.
	brokeredIterations = 1
	maxBudget          = 1 << 50
	throughGateway     = "gateway"
	byGateway          = "through=" + throughGateway // what options about such sessions need
	sqlName            = `(?:[a-z_][a-z0-9_$]{0,62}|"[^",]{1,63}")(?:\.(?:[a-z_][a-z0-9_$]{0,62}|"[^",]{1,63}"))?`
	sqlNameForm        = `a name as in SQL, like salaries, hr.salaries or hr."Salaries"`
)

// Schema says what documents may contain for PostgreSQL.
func (*Connector) Schema() access.Schema {
	return access.Schema{
		Type:       Type,
		Mechanisms: []access.Mechanism{access.Account, access.Member, access.Enable, access.Checkout},
		Connection: map[string]access.Option{
			"database": {Doc: "the database that users connect to, and that Stint works from", Required: true},
			"sslmode": {Doc: "how the server's certificate is checked; disable is for loopback addresses only",
				Values: []string{verifyFull, verifyCA, disableTLS}, Default: verifyFull},
			"ca": {Doc: "the certificate authority of the server, as PEM text; without it, those of the system"},
		},
		Role: map[string]access.Option{
			"sessions": {Doc: "what becomes of the account's sessions when it leaves a group",
				Values: []string{"end", "keep"}, Default: "end"},
			"scramIterations": {Doc: "cost of guessing a password from a stolen verifier; the passwords have 256 random bits, so 1 is safe too. Of a password that only gateways use it is 1",
				Min: 1, Max: maxIterations, Default: strconv.Itoa(defaultIterations)},
			"connectionLimit": {Doc: "the most sessions at once of an account made or enabled for a grant",
				Min: 1, Max: maxConnectionLimit, Default: strconv.Itoa(defaultConnectionLimit)},
			"setRole": {Doc: "whether a member may SET ROLE to its groups, and so own things in their name; PostgreSQL 16 and later, older ones always allow it",
				Values: []string{"deny", "allow"}, Default: "deny"},
			"through": {Doc: "how sessions reach the server: directly, with a password that its holder gets, or through a gateway, which records them and has the password; without it, directly",
				For: []access.Mechanism{access.Account, access.Checkout}, Values: []string{"server", throughGateway}},
			"record": {Doc: "how a gateway records: with strict, no statement passes before it is durable; without it, normal", Needs: byGateway,
				Values: []string{"normal", "strict"}},
			"onPartition": {Doc: "what becomes of a session while its gateway is cut off from Stint; without it, it closes. Resources of high and critical criticality always close", Needs: byGateway,
				Values: []string{"close", "keep"}},
			"sourceAddress": {Doc: "where sessions may come from; without it, from anywhere", Needs: byGateway, Many: true,
				Pattern: `[0-9a-fA-F.:]{2,39}(/[0-9]{1,3})?`, Form: "an address, or a network like 10.0.0.0/8"},
			"maxRows":  {Doc: "the most rows that one session carries back; it ends with the next", Needs: byGateway, Min: 1, Max: maxBudget},
			"maxBytes": {Doc: "the most bytes of rows and copied data that one session carries, both ways; it ends with the next", Needs: byGateway, Min: 1, Max: maxBudget},
			"readOnly": {Doc: "whether transactions begin as such that only read. A session can say otherwise: what it may not write, its groups must not let it", Needs: byGateway,
				Values: []string{"true", "false"}},
			"denyStatements": {Doc: "classes of statements that a gateway refuses, told by their words. It keeps mistakes small: what must not be done, its groups must not let it", Needs: byGateway, Many: true,
				Values: []string{"read", "write", "ddl", "privilege", "call", "code", "server", "maintenance", "session", "transaction"}},
			"denyTables": {Doc: "tables whose names a gateway refuses in a statement; views and functions are not seen through", Needs: byGateway, Many: true,
				Pattern: sqlName, Form: sqlNameForm},
			"denyFunctions": {Doc: "functions whose calls a gateway refuses in a statement", Needs: byGateway, Many: true,
				Pattern: sqlName, Form: sqlNameForm},
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
	if m["through"] == throughGateway {
		o.iterations = brokeredIterations
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
