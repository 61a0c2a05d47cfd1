package broker_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/policy"
)

// TestOneLoginKeepsNoOtherFromRemoving: two resources of one server are reached
// with two logins; what does not answer one of them delays nothing of the other.
func TestOneLoginKeepsNoOtherFromRemoving(t *testing.T) {
	in := newInstallation(t)
	root := in.as("root")
	must(t, in.SetCredential(t.Context(), root, access.Credential{Name: "login2", Type: "fake", Address: "127.0.0.1:1", Username: "stint2"}, access.NewSecret([]byte("pw"))))
	_, err := in.Apply(t.Context(), root, []policy.File{{Name: "db2.yaml", Text: `
kind: Resource
name: db2
type: fake
criticality: high
connection: {address: "127.0.0.1:1", credential: login2}
`}}, false)
	must(t, err)
	stuck := in.hold("mira", "reader", time.Hour)
	a := ask("reader", time.Hour)
	a.Resource = "db2"
	v, err := in.Submit(t.Context(), in.as("noor"), a)
	must(t, err)
	in.until("noor", string(v.Request.ID), access.Active)

	answer := make(chan struct{})
	in.target.setFault(func(call string, now when, o connector.Order) error {
		if call == "revoke" && now == before && o.Person == "mira" {
			<-answer
		}
		return nil
	})
	_, err = in.Revoke(t.Context(), root, broker.Selector{All: true}, "all at once, so that it is one batch")
	must(t, err)
	in.until("noor", string(v.Request.ID), access.Ended)
	close(answer)
	in.until("mira", string(stuck.Request.ID), access.Ended)
	in.clean()
}

// TestWhatIsLeftKeepsNobodysAccess: while what one account left behind cannot be
// removed, because somebody holds a lock on it, others at the same place lose
// their access in time.
func TestWhatIsLeftKeepsNobodysAccess(t *testing.T) {
	t.Parallel() // it waits
	in := newInstallation(t)
	stuck := in.hold("mira", "reader", time.Hour)
	answer, asked := make(chan struct{}), make(chan struct{})
	var once sync.Once
	in.target.setFault(func(call string, now when, o connector.Order) error {
		if call == "remove" && now == before && o.Person == "mira" {
			once.Do(func() { close(asked) })
			<-answer
		}
		return nil
	})
	_, err := in.Revoke(t.Context(), in.as("root"), broker.Selector{User: "mira"}, "first")
	must(t, err)
	<-asked
	v := in.hold("noor", "reader", time.Second)
	in.until("noor", string(v.Request.ID), access.Ended)
	close(answer)
	in.until("mira", string(stuck.Request.ID), access.Ended)
	in.clean()
}

// TestNoWayToTheTarget: where no login is registered for a target, nothing was made
// there, and so nothing keeps a grant from its end.
func TestNoWayToTheTarget(t *testing.T) {
	in := newInstallation(t)
	in.lost("nobodys")
	for _, role := range []string{"reader", "lost-owner", "lost-admin"} {
		a := ask(role, time.Minute)
		a.Resource = "lost"
		v, err := in.Submit(t.Context(), in.as("mira"), a)
		must(t, err)
		if v = in.until("mira", string(v.Request.ID), access.Failed); !strings.Contains(v.Problem, "no credential nobodys") {
			t.Errorf("%s: problem %q", role, v.Problem)
		}
	}
}

// TestDeletedLogin: with a login that was deleted nothing is made, because nothing of it
// could be taken away.
func TestDeletedLogin(t *testing.T) {
	in := newInstallation(t)
	must(t, in.Store.Update(t.Context(), func(tx broker.Tx) error {
		return tx.SaveCredential(access.Credential{Name: "former", Type: "fake", Address: "127.0.0.1:2", Version: 1, Sealed: []byte{}})
	}))
	in.lost("former")
	for _, role := range []string{"reader", "lost-owner", "lost-admin"} {
		a := ask(role, time.Minute)
		a.Resource = "lost"
		_, err := in.Submit(t.Context(), in.as("mira"), a)
		var refused *access.Error
		if !errors.As(err, &refused) || refused.Code != "credential-deleted" {
			t.Errorf("%s: %v", role, err)
		}
	}
}

// lost applies a resource that is reached with this login, and roles on it.
func (in *installation) lost(credential string) {
	in.t.Helper()
	_, err := in.Apply(in.t.Context(), in.as("root"), []policy.File{{Name: "lost.yaml", Text: strings.ReplaceAll(`
kind: Resource
name: lost
type: fake
criticality: high
connection: {address: "127.0.0.1:2", credential: CREDENTIAL}
---
kind: Role
name: lost-owner
resources: {names: [lost]}
mechanism: group
fake: {account: "{{ .person }}", memberOf: [app_owner]}
maxDuration: 1h
---
kind: Role
name: lost-admin
resources: {names: [lost]}
mechanism: enable
fake: {account: dba}
maxDuration: 1h
---
kind: Policy
name: lost
subjects: [group:platform]
roles: [lost-owner, lost-admin]
require: {maxDuration: 1h}
`, "CREDENTIAL", credential)}}, false)
	must(in.t, err)
}
