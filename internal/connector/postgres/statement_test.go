package postgres

import (
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// TestStatementsBySixteen compares what is sent to 15 with what is sent from 16
// on, where a membership says whether it is inherited and whether SET ROLE is
// allowed.
func TestStatementsBySixteen(t *testing.T) {
	const tag = "0123456789abcdefghijklmnop_0123456789abcdef"
	order := func(options map[string]string) *subject {
		return newSubject(connector.Target{Username: "stint"}, connector.Order{Tag: tag, Mechanism: access.Account, Person: "mira",
			Rights: []string{"orders_read", `a"b`}, Options: options, ExpiresAt: time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC)})
	}
	const made = `CREATE ROLE "stint_mira_` + tag + `" LOGIN CONNECTION LIMIT 10 PASSWORD 'SCRAM''s' VALID UNTIL '2030-01-02 03:04:05.000006Z'`
	for _, test := range []struct {
		major   int
		options map[string]string
		want    string
	}{
		{15, nil, made + ` IN ROLE "orders_read", "a""b"`},
		{15, map[string]string{"setRole": "allow"}, made + ` IN ROLE "orders_read", "a""b"`},
		{16, nil, made + `; GRANT "orders_read", "a""b" TO "stint_mira_` + tag + `" WITH INHERIT TRUE, SET FALSE`},
		{17, map[string]string{"setRole": "allow"}, made + `; GRANT "orders_read", "a""b" TO "stint_mira_` + tag + `" WITH INHERIT TRUE, SET TRUE`},
	} {
		if got := createAccount(order(test.options), "SCRAM's", test.major); got != test.want {
			t.Errorf("on %d with %v:\n%s\nwant\n%s", test.major, test.options, got, test.want)
		}
	}
	s := newSubject(connector.Target{Username: "stint"}, connector.Order{Tag: tag, Mechanism: access.Member, Account: "mira", Rights: []string{"orders_read"}})
	empty := &scene{}
	for major, want := range map[int]string{15: `TO "mira"`, 16: `TO "mira" WITH INHERIT FALSE, SET FALSE`} {
		sql := strings.Join(empty.placeMark(s, &role{name: "mira", oid: 7}, major), "; ")
		if !strings.HasPrefix(sql, `CREATE ROLE "stintmark_group_`) || !strings.HasSuffix(sql, want) {
			t.Errorf("the mark on %d: %s", major, sql)
		}
	}
}
