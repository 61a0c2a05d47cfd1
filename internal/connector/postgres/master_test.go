package postgres

import (
	"errors"
	"strings"
	"testing"

	"stint/internal/access"
	"stint/internal/connector"
)

// TestRolesThatMakeRolesAreNotLent: who may become a role with CREATEROLE sets
// the password of our own login; no grant lends that, not by way of another
// group either, and nothing stays of the attempt.
func TestRolesThatMakeRolesAreNotLent(t *testing.T) {
	w := newWorld(t)
	for _, m := range []access.Mechanism{access.Account, access.Member} {
		for _, nested := range []bool{false, true} {
			o := w.Order(m)
			master := w.login + " master " + string(o.Tag)[:26]
			w.exec("", "CREATE ROLE "+ident(master)+" CREATEROLE")
			right := master
			if nested {
				right = w.login + " group " + string(o.Tag)[:26]
				w.exec("", "CREATE ROLE "+ident(right), "GRANT "+ident(master)+" TO "+ident(right))
			}
			o.Rights = []string{right}
			var err error
			if m == access.Account {
				_, err = w.c.Provision(t.Context(), w.target, o)
				var ce *connector.Error
				if !errors.As(err, &ce) || !ce.Permanent || ce.Outcome != connector.NotDone {
					t.Errorf("%s, nested %v: %v", m, nested, err)
				}
			} else if _, err = w.c.Observe(t.Context(), w.target, o); !errors.Is(err, access.Denied) {
				t.Errorf("%s, nested %v: %v", m, nested, err)
			}
			if err == nil || !strings.Contains(err.Error(), "CREATEROLE") {
				t.Errorf("%s, nested %v: the error does not say why: %v", m, nested, err)
			}
			if v := w.c.Verify(t.Context(), w.target, []connector.Order{o})[0]; !v.Gone() {
				t.Errorf("%s, nested %v: something stayed: %+v", m, nested, v)
			}
		}
	}
}
