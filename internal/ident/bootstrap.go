package ident

import (
	"context"

	"stint/internal/access"
)

// bootstrap stands in an enrolment for the administrator who does not exist yet.
const bootstrap access.PrincipalID = "user:"

// OpenBootstrap makes a code for the first administrator, if there is no user;
// needed is false if there is one. Each replica may make its own: whichever is
// used first makes the user that renders the others worthless.
func (i *Ident) OpenBootstrap(ctx context.Context) (e Enrolment, needed bool, err error) {
	code, hash, err := i.newSecret(codePrefix)
	if err != nil {
		return Enrolment{}, false, err
	}
	err = i.store.Update(ctx, func(tx Tx) error {
		needed = false
		users, err := tx.Principals(access.User)
		if err != nil || len(users) > 0 {
			return err
		}
		needed = true
		e = Enrolment{Code: code, ExpiresAt: tx.Now().Add(BootstrapFor)}
		return openEnrolment(tx, access.Enrolment{Code: hash, Principal: bootstrap, ExpiresAt: e.ExpiresAt}, access.System)
	})
	if err != nil || !needed {
		return Enrolment{}, false, err
	}
	return e, true, nil
}

func nobodyYet(tx Tx) error {
	users, err := tx.Principals(access.User)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return access.Fail(access.Conflict, "not-the-first", "there is an administrator already").
			Because("the bootstrap code makes the first one only").Try("ask them to add you")
	}
	return nil
}

// Empty reports whether there is no user yet.
func (i *Ident) Empty(ctx context.Context) (empty bool, err error) {
	err = i.store.View(ctx, func(tx Tx) error {
		users, err := tx.Principals(access.User)
		empty = err == nil && len(users) == 0
		return err
	})
	return empty, err
}
