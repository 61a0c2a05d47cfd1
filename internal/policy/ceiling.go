package policy

import (
	"fmt"
	"slices"

	"stint/internal/access"
)

// breaches lists what of a role a ceiling does not allow: "mechanism enable".
func (c *Ceiling) breaches(role *Role) (out []string) {
	if c.boundsMechanisms && !slices.Contains(c.Mechanisms, role.Mechanism) {
		out = append(out, fmt.Sprintf("mechanism %s", role.Mechanism))
	}
	field := rightsField(role.Mechanism)
	if allowed, bounds := c.rights(role); bounds {
		for _, r := range role.Rights {
			if !slices.Contains(allowed, r) {
				out = append(out, field+" "+r)
			}
		}
	}
	if c.boundsAccounts && role.namesAccount() && !slices.Contains(c.Accounts, role.Account) {
		out = append(out, "account "+role.Account)
	}
	return out
}

// rights are those that the ceiling lists of the kind that the role gives.
func (c *Ceiling) rights(role *Role) (allowed []string, bounds bool) {
	if role.Mechanism == access.Elevate {
		return c.Commands, c.boundsCommands
	}
	return c.MemberOf, c.boundsMemberOf
}

// unlisted lists what a role uses and a ceiling leaves open. Roles of owners may
// use only what is listed: leaving a list out must not hand them everything.
func (c *Ceiling) unlisted(role *Role) (out []string) {
	if !c.boundsMechanisms {
		out = append(out, "mechanisms")
	}
	if _, bounds := c.rights(role); !bounds && len(role.Rights) > 0 {
		out = append(out, rightsField(role.Mechanism))
	}
	if !c.boundsAccounts && role.namesAccount() {
		out = append(out, "accounts")
	}
	return out
}

// namesAccount reports whether the role acts on one account for everybody. A
// person's own account is bounded by the mapping, which administrators write.
func (r *Role) namesAccount() bool { return r.Account != "" && !personal(r.Account) }
