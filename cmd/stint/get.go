package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
	"stint/internal/policy"
)

// kindsOfGet are what can be listed.
var kindsOfGet = []string{api.Resources, api.Roles, api.Policies, api.Schedules, api.Integrations, api.Workloads, api.Bundles, "grants", "requests", api.Users}

// hintsOfGet are what follows a list of each kind.
var hintsOfGet = map[string]hints{
	api.Resources:    {none: "describe one in a document of kind Resource: stint apply -f FILE", some: "see who may ask for one with stint who-can RESOURCE"},
	api.Roles:        {none: "describe one in a document of kind Role: stint apply -f FILE", some: "ask for one with stint request RESOURCE --as ROLE --for DURATION --why TEXT"},
	api.Policies:     {none: "write one in a document of kind Policy: stint apply -f FILE", some: "see what they come to with stint policy explain RESOURCE --as ROLE --for DURATION"},
	api.Schedules:    {none: "describe one in a document of kind Schedule: stint apply -f FILE"},
	api.Integrations: {none: "describe one in a document of kind Integration: stint apply -f FILE", some: "try one with stint admin integration test NAME"},
	api.Workloads:    {none: "describe one in a document of kind Workload: stint apply -f FILE", some: "see the services they are with stint admin service list"},
	api.Bundles:      {none: "describe one in a document of kind Bundle: stint apply -f FILE", some: "ask for one with stint request --bundle NAME --why TEXT"},
	api.Users:        {none: "make one with stint admin user add NAME", some: "change one with stint admin user set NAME"},
	"grants":         {none: "ask for access with stint request RESOURCE --as ROLE --for DURATION --why TEXT", some: "look at one with stint status ID"},
	"requests":       {none: "ask for access with stint request RESOURCE --as ROLE --for DURATION --why TEXT", some: "look at one with stint status ID"},
}

type getFlags struct {
	state string
	mine  bool
	limit int
}

func (c *cli) getCmd() *cobra.Command {
	var f getFlags
	cmd := &cobra.Command{
		Use:   "get resources|roles|policies|schedules|integrations|workloads|bundles|grants|requests|users [NAME]",
		Short: "List what there is, or show one of it",
		Example: "  stint get roles\n" +
			"  stint get requests --state denied -o json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("KIND is missing: " + strings.Join(kindsOfGet, ", "))
			}
			return atMost("KIND", "NAME")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, err := pluralOf(args[0], kindsOfGet...)
			if err != nil {
				return err
			}
			if kind != "requests" && kind != "grants" && (f.state != "" || f.mine) {
				return usageError{errors.New("--state and --mine go with requests and grants only")}
			}
			if err := checkState(kind, f.state); err != nil {
				return err
			}
			if err := notNegative("limit", int64(f.limit)); err != nil {
				return err
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			name := ""
			if len(args) == 2 {
				name = args[1]
			}
			return c.get(cmd.Context(), conn, kind, name, f)
		},
	}
	cmd.Flags().StringVar(&f.state, "state", "", "requests: pending, approved, denied, cancelled or expired; grants: scheduled, provisioning, active, ending, ended, failed or live")
	cmd.Flags().BoolVar(&f.mine, "mine", false, "requests and grants: only your own")
	cmd.Flags().IntVar(&f.limit, "limit", 0, "show no more than so many; 0 for all")
	cmd.ValidArgsFunction = c.completeKinds(kindsOfGet...)
	return cmd
}

// statesOf are the words of --state, by kind.
var statesOf = map[string][]string{
	"requests": {string(api.RequestPending), string(api.RequestApproved), string(api.RequestDenied), string(api.RequestCancelled), string(api.RequestExpired)},
	"grants": {string(api.GrantScheduled), string(api.GrantProvisioning), string(api.GrantActive), string(api.GrantEnding), string(api.GrantEnded),
		string(api.GrantFailed), "live"},
}

// checkState refuses a word that is no state of the kind. Requests are decided, grants
// live and end: a state of the other kind is what is meant most often.
func checkState(kind, state string) error {
	if state == "" || statesOf[kind] == nil {
		return nil
	}
	words := []string{state}
	if kind == "grants" {
		words = strings.Split(state, ",")
	}
	other := map[string]string{"requests": "grants", "grants": "requests"}[kind]
	for _, w := range words {
		if slices.Contains(statesOf[kind], w) {
			continue
		}
		next := policy.DidYouMean(w, statesOf[kind])
		if slices.Contains(statesOf[other], w) {
			next = "did you mean stint get " + other + " --state " + w + "?"
		}
		return wrong("unknown-state", quote(w)+" is not a state of "+kind, "", strings.TrimSpace(next+" use one of: "+strings.Join(statesOf[kind], ", ")))
	}
	return nil
}

func (c *cli) get(ctx context.Context, conn *connection, kind, name string, f getFlags) error {
	switch kind {
	case api.Resources:
		return showKind(c, name, f.limit, conn.ListResources, conn.Resource, ctx, c.resourceTable, hintsOfGet[kind])
	case api.Roles:
		return showKind(c, name, f.limit, conn.ListRoles, conn.Role, ctx, c.roleTable, hintsOfGet[kind])
	case api.Policies:
		return showKind(c, name, f.limit, conn.ListPolicies, conn.Policy, ctx, c.policyTable, hintsOfGet[kind])
	case api.Schedules:
		return showKind(c, name, f.limit, conn.ListSchedules, conn.Schedule, ctx, c.scheduleTable, hintsOfGet[kind])
	case api.Integrations:
		return showKind(c, name, f.limit, conn.ListIntegrations, conn.Integration, ctx, c.integrationTable, hintsOfGet[kind])
	case api.Bundles:
		return showKind(c, name, f.limit, conn.ListBundles, conn.Bundle, ctx, c.bundleTable, hintsOfGet[kind])
	case api.Workloads:
		return showKind(c, name, f.limit, conn.ListWorkloads, conn.Workload, ctx, c.workloadTable, hintsOfGet[kind])
	case api.Users:
		return showKind(c, name, f.limit, conn.ListUsers, conn.User, ctx, c.userTable, hintsOfGet[kind])
	}
	if kind == "grants" { // live is a word for several
		words := strings.Split(f.state, ",")
		for i, w := range words {
			if w == "live" {
				words[i] = liveStates
			}
		}
		f.state = strings.Join(words, ",")
	}
	list := func(ctx context.Context, l api.List) (api.Page[api.Request], error) {
		return conn.grants(ctx, grantList{mine: f.mine, state: f.state}, l)
	}
	if kind == "requests" {
		list = func(ctx context.Context, l api.List) (api.Page[api.Request], error) {
			return conn.Requests(ctx, api.RequestList{List: l, State: api.RequestState(f.state), Mine: f.mine})
		}
	}
	one := func(ctx context.Context, id string) (api.Request, error) { return conn.Request(ctx, id, api.Wait{}) }
	return showKind(c, name, f.limit, list, one, ctx, func(all []api.Request) ([]string, *table) {
		return ids(all), requestTable(all, c.now(), true)
	}, hintsOfGet[kind])
}

// showKind lists all of a kind, or reads the one that is named.
func showKind[T any](c *cli, name string, limit int, list func(context.Context, api.List) (api.Page[T], error),
	one func(context.Context, string) (T, error), ctx context.Context, rows func([]T) ([]string, *table), to hints) error {
	if name != "" {
		item, err := one(ctx, name)
		if err != nil {
			return err
		}
		names, t := rows([]T{item})
		return c.show(result{value: item, names: names, table: t})
	}
	return showPages(c, limit, func(l api.List) (api.Page[T], error) { return list(ctx, l) }, rows, to)
}

func (c *cli) resourceTable(all []api.Resource) (names []string, t *table) {
	t = newTable("NAME", "TYPE", "CRITICALITY", "LABELS", "OWNERS", "ADDRESS", "LIVE")
	for _, r := range all {
		names = append(names, r.Name)
		t.row(r.Name, r.Type, r.Criticality, pairs(r.Labels), strings.Join(r.Owners, ", "), r.Address, number(r.Live))
	}
	return names, t
}

func (c *cli) roleTable(all []api.Role) (names []string, t *table) {
	t = newTable("NAME", "MECHANISM", "FOR", "RIGHTS", "UP TO", "DESCRIPTION")
	for _, r := range all {
		names = append(names, r.Name)
		t.row(r.Name, r.Mechanism, selector(r.Resources), strings.Join(r.Rights, ", "), api.Span(r.MaxDuration), r.Description)
	}
	return names, t
}

func (c *cli) policyTable(all []api.Policy) (names []string, t *table) {
	t = newTable("NAME", "EFFECT", "SUBJECTS", "ROLES", "APPROVALS", "WHEN", "SOURCE")
	for _, p := range all {
		names = append(names, p.Name)
		t.row(p.Name, p.Effect, strings.Join(p.Subjects, ", "), strings.Join(p.Roles, ", "), asked(p.Require.Approvals), p.When, p.Source)
	}
	return names, t
}

func (c *cli) userTable(all []api.User) (names []string, t *table) {
	answered := func(u api.User) string { return answeredBy(u.Company, u.Sponsor, u.Responsible) }
	heads := []string{"NAME", "KIND", "GROUPS", "RIGHTS", "STATE", "LIVE"}
	parties := slices.ContainsFunc(all, func(u api.User) bool { return answered(u) != "" })
	if parties {
		heads = append(heads, "HERE FOR")
	}
	t = newTable(heads...)
	t.marks["STATE"] = markState
	for _, u := range all {
		names = append(names, u.Name)
		cells := []string{u.Name, u.Kind, strings.Join(u.Groups, ", "), rights(u), userState(u, c.now()), number(u.Live)}
		if parties {
			cells = append(cells, answered(u))
		}
		t.row(cells...)
	}
	return names, t
}

func rights(u api.User) string {
	var out []string
	if u.Admin {
		out = append(out, "admin")
	}
	if u.Auditor {
		out = append(out, "auditor")
	}
	if u.Author {
		out = append(out, "policy author")
	}
	return strings.Join(out, ", ")
}

// answeredBy is for whom a vendor or an agent is here, and who answers for them.
func answeredBy(company, sponsor, responsible string) string {
	switch {
	case sponsor != "":
		return company + ", sponsored by " + sponsor
	case responsible != "":
		return "acts for " + responsible
	}
	return ""
}

func userState(u api.User, now time.Time) string {
	switch {
	case u.Disabled:
		return "disabled"
	case u.Lock != nil:
		return "locked"
	case u.Until.IsZero():
		return "ok"
	case u.Until.Before(now):
		return "ended"
	}
	return "until " + clock(u.Until.Time, now)
}

// pairs is labels in one line, in order.
func pairs(m map[string]string) string {
	out := make([]string, 0, len(m))
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func selector(s api.Selector) string {
	out := slices.Clone(s.Names)
	if s.Type != "" {
		out = append(out, "type="+s.Type)
	}
	if len(s.Labels) > 0 {
		out = append(out, pairs(s.Labels))
	}
	return strings.Join(out, " ")
}

func (c *cli) scheduleTable(all []api.Schedule) (names []string, t *table) {
	t = newTable("NAME", "ON CALL", "ZONE", "SOURCE")
	for _, s := range all {
		names = append(names, s.Name)
		t.row(s.Name, strings.Join(s.OnCall, ", "), s.Zone, s.Source)
	}
	return names, t
}
