package simstore

import (
	"bytes"
	"cmp"
	"slices"

	"stint/internal/access"
)

type peopleTable struct {
	principals map[access.PrincipalID]access.Principal
	logins     map[access.Digest]access.Login
	enrolments map[access.Digest]access.Enrolment
	passkeys   map[access.PasskeyID]access.Passkey
}

func newPeopleTable() peopleTable {
	return peopleTable{map[access.PrincipalID]access.Principal{}, map[access.Digest]access.Login{}, map[access.Digest]access.Enrolment{},
		map[access.PasskeyID]access.Passkey{}}
}

// Principal reads one principal.
func (tx *Tx) Principal(id access.PrincipalID) (access.Principal, error) {
	if tx.err != nil {
		return access.Principal{}, tx.err
	}
	p, there := tx.s.people.principals[id]
	if !there {
		return access.Principal{}, missing("principal")
	}
	return clonePrincipal(p), nil
}

// SavePrincipals writes principals.
func (tx *Tx) SavePrincipals(ps ...access.Principal) error {
	if err := tx.writes(); err != nil {
		return err
	}
	all := tx.s.people.principals
	for _, fresh := range []bool{true, false} {
		for _, p := range ps {
			if fresh != (p.Version == 1) {
				continue
			}
			old, there := all[p.ID]
			if !there && p.Version != 1 || there && !follows(p.Version, old.Version) {
				return tx.fail(changed("principal", p.ID, p.Version))
			}
			if err := principalChecks(p); err != nil {
				return tx.fail(err)
			}
			putKey(tx, all, p.ID, clonePrincipal(p))
		}
	}
	for _, p := range ps {
		for _, i := range all[p.ID].Identities {
			for _, q := range all {
				if q.ID != p.ID && slices.Contains(q.Identities, i) {
					return tx.fail(taken("the identity"))
				}
			}
		}
	}
	return nil
}

// PrincipalByIdentity finds who has an identity.
func (tx *Tx) PrincipalByIdentity(i access.Identity) (access.Principal, error) {
	if tx.err != nil {
		return access.Principal{}, tx.err
	}
	for _, p := range tx.s.people.principals {
		if slices.Contains(p.Identities, i) { // one at most
			return clonePrincipal(p), nil
		}
	}
	return access.Principal{}, missing("principal")
}

// Principals lists all of a kind, or with an empty kind all, by name.
func (tx *Tx) Principals(kind access.PrincipalKind) (found []access.Principal, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for _, p := range tx.s.people.principals {
		if kind == "" || p.ID.Kind() == kind {
			found = append(found, clonePrincipal(p))
		}
	}
	slices.SortFunc(found, func(a, b access.Principal) int { return cmp.Compare(a.ID, b.ID) })
	return found, nil
}

// Login reads a login by the hash of its token, good or not.
func (tx *Tx) Login(token access.Digest) (access.Login, error) {
	if tx.err != nil {
		return access.Login{}, tx.err
	}
	l, there := tx.s.people.logins[token]
	if !there {
		return access.Login{}, missing("login")
	}
	l.SealKey = list(l.SealKey)
	return l, nil
}

// SaveLogin writes a login; a second save may move its end or revoke it.
func (tx *Tx) SaveLogin(l access.Login) error {
	if err := tx.writes(); err != nil {
		return err
	}
	l.SealKey, l.CreatedAt, l.ExpiresAt = list(l.SealKey), instant(l.CreatedAt), instant(l.ExpiresAt)
	var before *access.Login
	if old, there := tx.s.people.logins[l.Token]; there {
		before, l.CreatedAt = &old, old.CreatedAt
	}
	if err := loginRule(before, l); err != nil {
		return tx.fail(err)
	}
	putKey(tx, tx.s.people.logins, l.Token, l)
	return nil
}

// RevokeLogin ends one login; access.NotFound when there is none.
func (tx *Tx) RevokeLogin(token access.Digest) error {
	if err := tx.writes(); err != nil {
		return err
	}
	l, there := tx.s.people.logins[token]
	if !there {
		return missing("login")
	}
	l.Revoked = true
	putKey(tx, tx.s.people.logins, token, l)
	return nil
}

// DropLogins ends every login of a principal, and its open enrolments.
func (tx *Tx) DropLogins(p access.PrincipalID) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, token := range tokens(tx.s.people.logins, func(l access.Login) bool { return l.Principal == p && !l.Revoked }) {
		l := tx.s.people.logins[token]
		l.Revoked = true
		putKey(tx, tx.s.people.logins, token, l)
	}
	return tx.DropEnrolments(p)
}

// DropEnrolments makes the codes of a principal that were not used worthless.
func (tx *Tx) DropEnrolments(p access.PrincipalID) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, code := range tokens(tx.s.people.enrolments, func(e access.Enrolment) bool { return e.Principal == p && e.UsedAt.IsZero() }) {
		dropKey(tx, tx.s.people.enrolments, code)
	}
	return nil
}

// tokens lists the keys of a map that fit, sorted.
func tokens[V any](m map[access.Digest]V, fits func(V) bool) (found []access.Digest) {
	for k, v := range m {
		if fits(v) {
			found = append(found, k)
		}
	}
	slices.SortFunc(found, func(a, b access.Digest) int { return bytes.Compare(a[:], b[:]) })
	return found
}

// SaveEnrolment writes a new one-time code.
func (tx *Tx) SaveEnrolment(e access.Enrolment) error {
	if err := tx.writes(); err != nil {
		return err
	}
	if _, there := tx.s.people.enrolments[e.Code]; there {
		return tx.fail(taken("the code"))
	}
	e.ExpiresAt, e.UsedAt = instant(e.ExpiresAt), instant(e.UsedAt)
	putKey(tx, tx.s.people.enrolments, e.Code, e)
	return nil
}

// Enrolment reads a one-time code by its hash, used, expired or neither.
func (tx *Tx) Enrolment(code access.Digest) (access.Enrolment, error) {
	if tx.err != nil {
		return access.Enrolment{}, tx.err
	}
	e, there := tx.s.people.enrolments[code]
	if !there {
		return access.Enrolment{}, missing("enrolment")
	}
	return e, nil
}

// UseEnrolment uses a code up, at Now, once.
func (tx *Tx) UseEnrolment(code access.Digest) (access.Enrolment, error) {
	e, err := tx.Enrolment(code)
	switch {
	case err != nil:
		return access.Enrolment{}, err
	case !e.UsedAt.IsZero():
		return access.Enrolment{}, access.Fail(access.Conflict, "code-used", "the code was used already")
	case !tx.now.Before(e.ExpiresAt):
		return access.Enrolment{}, access.Fail(access.Expired, "code-expired", "the code has expired")
	}
	if err := tx.writes(); err != nil {
		return access.Enrolment{}, err
	}
	e.UsedAt = tx.now
	putKey(tx, tx.s.people.enrolments, code, e)
	return e, nil
}
