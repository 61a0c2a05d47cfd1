//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"stint/test/stage"
)

const documents = `
kind: Resource
name: orders-db
type: postgres
labels: {env: prod, team: orders}
criticality: high
owners: [group:dba]
connection: {address: "ADDRESS", database: orders, credential: orders-connector, sslmode: verify-full, ca: CA}
ceiling: {mechanisms: [account, group, enable], memberOf: [orders_read, orders_owner], accounts: [mira, noor, omar, dba_admin], maxDuration: 8h}
---
kind: Role
name: reader
description: Read the orders tables
resources: {type: postgres, labels: {team: orders}}
mechanism: account
postgres: {memberOf: [orders_read]}
maxDuration: 4h
---
kind: Role
name: orders-owner
resources: {names: [orders-db]}
mechanism: group
postgres: {account: "{{ .person }}", memberOf: [orders_owner], sessions: end}
maxDuration: 1h
---
kind: Role
name: shared-admin
resources: {names: [orders-db]}
mechanism: enable
postgres: {account: dba_admin}
exclusive: true
maxDuration: 30m
---
kind: Policy
name: orders-at-once
subjects: [group:platform]
roles: [reader, orders-owner, shared-admin]
when: source.ip.inCIDR("127.0.0.0/8")
require:
  reason: {minLength: 10}
  maxDuration: 2h
---
kind: Policy
name: orders-with-approval
subjects: [group:support]
roles: [reader]
require:
  reason: {minLength: 10}
  ticket: {pattern: "^INC-[0-9]+$"}
  approvals: [{from: [group:dba], count: 1}]
  maxDuration: 1h
`

// set is the stage of all tests of this package.
var set *stage.Stage

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	store := os.Getenv("STORE")
	if store == "" {
		store = "sqlite"
	}
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: store}, "mira", "noor", "omar")
	if err == nil {
		set = s
		err = people(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		if s != nil {
			fmt.Fprintln(os.Stderr, s.LogTail(20))
			_ = s.Close()
		}
		return 1
	}
	code := m.Run()
	if code != 0 {
		fmt.Fprintln(os.Stderr, "the end of stintd's log:\n"+set.LogTail(30))
	}
	if err := set.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	return code
}

func people(ctx context.Context) error {
	for name, group := range map[string]string{"mira": "platform", "noor": "platform", "sam": "support", "omar": "dba", "olga": "dba"} {
		if err := set.Enrol(ctx, name, "--group", group); err != nil {
			return err
		}
	}
	if err := set.Enrol(ctx, "aud", "--auditor"); err != nil {
		return err
	}
	if err := set.Credential(ctx, "orders-connector"); err != nil {
		return err
	}
	return set.Documents(ctx, documents)
}
