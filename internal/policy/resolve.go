package policy

import (
	"fmt"
	"strings"
	"time"

	"stint/internal/access"
)

// Ask is the question: who wants which role on which resource, for how long, and
// from where.
type Ask struct {
	Principal      access.Principal
	Resource       access.ResourceName
	Role           access.RoleName
	Duration       time.Duration
	Start          time.Time // zero: now
	Reason, Ticket string
	Source         access.Source
	Emergency      bool          // break-glass, drills included
	Task           access.TaskID // of an agent

	// What only a store knows. Whoever asks fills it as far as Wants says.
	Above     access.PrincipalID // the manager of the principal's manager; may be empty
	Holds     []Held             // the person's live grants, but for the one that is asked about
	Pending   []access.RoleName  // of the person's undecided requests
	SinceSame time.Duration      // since somebody last said yes to the same; 0: never
	// Answers is who answers for a vendor or an agent, as they are now; it is always
	// filled where there is somebody. EndsBy is when its task ends; zero: it has none.
	Answers   *access.Principal
	EndsBy    time.Time
	Tickets   map[string]Ticket // what is known of Ticket, by integration, as TicketSystems says
	Extension *Extension        // nil: it is not for more time
}

// Resolved is what an Ask means: the target it would be on and what it would
// give there. It says nothing about whether that is allowed.
type Resolved struct {
	Target      access.Target
	Permissions access.Permissions
	Clock       access.StartClock
	Endings     access.Endings
	MaxDuration time.Duration // the cap of the role and the resource's ceiling
}

// Resolve looks up what is asked for. It fails with access.NotFound when there is
// no such resource or role, or the role does not cover the resource, and names
// the nearest that exists; and with access.Denied when the role acts on a
// person's own account and there is none to act on.
func (s *Set) Resolve(a Ask) (Resolved, error) {
	res, role, err := s.pick(a)
	if err != nil {
		return Resolved{}, err
	}
	account, err := accountFor(a.Principal, res, role)
	if err != nil {
		return Resolved{}, err
	}
	return Resolved{
		Target: access.Target{Resource: res.Name, Criticality: res.Criticality,
			Connection: res.Connection, Account: account},
		Permissions: role.Permissions(),
		Clock:       role.Clock,
		Endings:     role.Endings,
		MaxDuration: capOf(role, nil, res),
	}, nil
}

// pick finds the resource and role of an ask.
func (s *Set) pick(a Ask) (*Resource, *Role, error) {
	res, ok := s.resource[a.Resource]
	if !ok {
		return nil, nil, missing("resource", string(a.Resource), sortedKeys(s.resource))
	}
	role, ok := s.role[a.Role]
	if !ok {
		return nil, nil, missing("role", string(a.Role), sortedKeys(s.role))
	}
	if !role.Covers(res) {
		e := access.Fail(access.NotFound, "role-does-not-cover", fmt.Sprintf("role %s does not cover %s", role.Name, res.Name)).
			Because(s.reachText(role))
		if others := s.rolesOn(res); others != "" {
			return nil, nil, e.Try("roles on " + string(res.Name) + ": " + others)
		}
		e = e.Try("no role covers it yet; stint get roles lists them")
		return nil, nil, e
	}
	return res, role, nil
}

func missing[S ~string](what, name string, known []S) error {
	e := access.Fail(access.NotFound, "no-such-"+what, fmt.Sprintf("there is no %s %q", what, name))
	if hint := DidYouMean(name, known); hint != "" {
		return e.Try(hint)
	}
	return e.Try("stint get " + what + "s lists what there is")
}

// few is how many names a sentence lists before it says how many more there are.
const few = 5

func (s *Set) reachText(role *Role) string {
	var names []string
	for _, r := range s.covered(role) {
		names = append(names, string(r.Name))
	}
	if len(names) == 0 {
		return "it covers nothing"
	}
	return "it covers " + list(names)
}

func (s *Set) rolesOn(res *Resource) string {
	var names []string
	for _, r := range s.roles {
		if r.Covers(res) {
			names = append(names, string(r.Name))
		}
	}
	return list(names)
}

func list(names []string) string {
	if len(names) > few {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
	}
	return strings.Join(names, ", ")
}

// accountFor is the standing account that the role acts on for this principal.
func accountFor(p access.Principal, res *Resource, role *Role) (string, error) {
	if !personal(role.Account) {
		return role.Account, nil
	}
	// The owner of a service answers for it, but did not ask: lending power to
	// the owner's own account would hand it to somebody else.
	if p.ID.Kind() != access.User {
		return "", access.Fail(access.Denied, "not-a-person",
			fmt.Sprintf("role %s acts on the person's own account, and %s is not a person", role.Name, p.ID))
	}
	person := string(p.Person)
	if person == "" {
		person = p.ID.Name()
	}
	if mapped, ok := res.Persons[person]; ok {
		person = mapped
	}
	account, _ := fillPerson(role.Account, person) // the form was checked when the role was read
	if !accountName.MatchString(account) {
		return "", access.Fail(access.Denied, "no-account", fmt.Sprintf("%s has no account on %s that can be used", p.ID, res.Name)).
			Because(fmt.Sprintf("%q is not %s", account, accountForm)).
			Try(fmt.Sprintf("map the person under persons of %s (%s)", res.Name, res.Source))
	}
	return account, nil
}

// capOf is the lowest of the caps on a duration: the role's, the path's, the
// ceiling's. Rule and ceiling may have none; a role always has one.
func capOf(role *Role, rule *Rule, res *Resource) time.Duration {
	limit := role.MaxDuration
	if rule != nil && rule.Require.MaxDuration > 0 {
		limit = min(limit, rule.Require.MaxDuration)
	}
	if rule != nil && rule.BreakGlass {
		limit = min(limit, access.MaxEmergency)
	}
	if c := res.Ceiling; c != nil && c.MaxDuration > 0 {
		limit = min(limit, c.MaxDuration)
	}
	return limit
}
