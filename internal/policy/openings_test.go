package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
)

const openingDocuments = `
kind: Resource
name: orders-db
type: postgres
labels: {team: orders}
connection: {address: "127.0.0.1:1", database: a, credential: login}
---
kind: Resource
name: vault
type: postgres
labels: {team: vault}
connection: {address: "127.0.0.1:2", database: b, credential: login}
---
kind: Role
name: shared
resources: {names: [orders-db]}
mechanism: enable
postgres: {account: dba_admin}
maxDuration: 30m
---
kind: Role
name: owner
resources: {type: postgres}
mechanism: account
postgres: {memberOf: [r_read, r_write]}
maxDuration: 4h
---
kind: Role
name: reader
resources: {type: postgres}
mechanism: account
postgres: {memberOf: [r_read]}
maxDuration: 4h
---
kind: Role
name: keeper
resources: {type: postgres, names: [vault]}
mechanism: account
postgres: {memberOf: [r_read]}
maxDuration: 1h
---
kind: Policy
name: at-once
subjects: [group:platform]
roles: [shared, reader, owner]
require: {maxDuration: 2h}
---
kind: Policy
name: asks
subjects: [group:guests, group:platform]
roles: [reader]
when: now.hour < 25
require: {approvals: [{from: [group:dba], count: 2}], maxDuration: 1h}
---
kind: Policy
name: emergencies
effect: breakGlass
subjects: ["*"]
roles: [keeper]
require: {maxDuration: 1h}
---
kind: Policy
name: never
effect: deny
subjects: [group:platform]
roles: [reader]
resources: {names: [vault]}
---
kind: Policy
name: not-at-night
effect: deny
subjects: ["*"]
roles: ["*"]
when: now.hour < 0
`

// What is put before somebody is what rules name them for: the least first, nothing that
// is for emergencies or flatly denied. Whether it is allowed now is another question.
func TestCatalogue(t *testing.T) {
	set := compile(t, openingDocuments)
	for who, want := range map[string]string{
		"platform": "orders-db: reader 0 2h0m0s, owner 0 2h0m0s, shared 0 30m0s; vault: owner 0 2h0m0s",
		"guests":   "orders-db: reader 2 1h0m0s; vault: reader 2 1h0m0s",
		"nobody":   "",
	} {
		p := access.Principal{ID: "user:gus", Person: "gus", Groups: []access.Group{access.Group(who)}}
		var all []string
		for _, o := range set.Catalogue(p, time.Unix(0, 0)) {
			var roles []string
			for _, r := range o.Roles {
				roles = append(roles, fmt.Sprint(r.Role, " ", r.Votes, " ", r.Longest))
			}
			all = append(all, string(o.Name)+": "+strings.Join(roles, ", "))
		}
		if got := strings.Join(all, "; "); got != want {
			t.Errorf("open to %s: %s\nwant %s", who, got, want)
		}
	}
}
