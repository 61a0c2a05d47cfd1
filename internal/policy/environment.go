package policy

import (
	"net/netip"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"

	"stint/internal/access"
)

// environment is what conditions are compiled in: the variables, the functions
// and the limits. One is made per Compile, and only if a document has a
// condition, because it weighs more than a small set of documents.
type environment struct {
	cel      *cel.Env
	names    []string             // of all variables: "request.duration"
	programs map[string]condition // by text: many documents share a condition
}

// variable is one name that conditions can use. The names are declared whole,
// dot included: conditions are then typed as if request were an object, without
// an object to build for each decision.
type variable struct {
	name  string
	typ   *cel.Type
	value func(*facts) ref.Val
}

var (
	textList = cel.ListType(cel.StringType)
	textMap  = cel.MapType(cel.StringType, cel.StringType)

	boolType, stringType = cel.BoolType, cel.StringType
)

// variables is the whole vocabulary; docs/reference/documents.md explains it,
// and a test compares the two.
var variables = append([]variable{
	{"request.duration", cel.DurationType, func(f *facts) ref.Val { return types.Duration{Duration: f.ask.Duration} }},
	{"request.reason", cel.StringType, func(f *facts) ref.Val { return types.String(f.ask.Reason) }},
	{"request.ticket", cel.StringType, func(f *facts) ref.Val { return types.String(f.ask.Ticket) }},
	{"request.task", cel.StringType, func(f *facts) ref.Val { return types.String(f.ask.Task) }},
	{"request.start", cel.TimestampType, func(f *facts) ref.Val { return types.Timestamp{Time: f.start()} }},

	{"principal.name", cel.StringType, func(f *facts) ref.Val { return types.String(f.ask.Principal.ID.Name()) }},
	{"principal.id", cel.StringType, func(f *facts) ref.Val { return types.String(f.ask.Principal.ID) }},
	{"principal.kind", cel.StringType, func(f *facts) ref.Val { return types.String(f.ask.Principal.Kind()) }},
	{"principal.person", cel.StringType, func(f *facts) ref.Val { return types.String(f.ask.Principal.Person) }},
	{"principal.groups", textList, func(f *facts) ref.Val { return f.groups() }},
	{"principal.attributes", textMap, func(f *facts) ref.Val { return textMapValue(f.ask.Principal.Attributes) }},
	{"principal.onCall", textList, func(f *facts) ref.Val { return textListValue(f.ask.Principal.OnCall) }},
	{"principal.company", cel.StringType, func(f *facts) ref.Val { return types.String(f.ask.Principal.Company) }},
	{"principal.sponsor", cel.StringType, func(f *facts) ref.Val { return types.String(f.ask.Principal.Sponsor) }},
	{"principal.responsible", cel.StringType, func(f *facts) ref.Val { return types.String(f.ask.Principal.Responsible) }},
	{"principal.admin", cel.BoolType, func(f *facts) ref.Val { return types.Bool(f.ask.Principal.Admin) }},

	{"resource.name", cel.StringType, func(f *facts) ref.Val { return types.String(f.resource.Name) }},
	{"resource.type", cel.StringType, func(f *facts) ref.Val { return types.String(f.resource.Type) }},
	{"resource.labels", textMap, func(f *facts) ref.Val { return textMapValue(f.resource.Labels) }},
	{"resource.criticality", cel.StringType, func(f *facts) ref.Val { return types.String(f.resource.Criticality) }},
	{"resource.criticalityRank", cel.IntType, func(f *facts) ref.Val { return types.Int(rank(f.resource.Criticality)) }},
	{"resource.owners", textList, func(f *facts) ref.Val { return f.owners() }},
	{"resource.location", cel.StringType, func(f *facts) ref.Val { return types.String(f.resource.Location) }},

	{"role.name", cel.StringType, func(f *facts) ref.Val { return types.String(f.role.Name) }},
	{"role.mechanism", cel.StringType, func(f *facts) ref.Val { return types.String(f.role.Mechanism) }},

	{"history.sinceSame", cel.DurationType, func(f *facts) ref.Val { return types.Duration{Duration: f.sinceSame()} }},

	{"source.ip", ext.IPType, func(f *facts) ref.Val { return f.address() }},
	{"source.device", cel.StringType, func(f *facts) ref.Val { return types.String(f.ask.Source.Device) }},

	{"auth.provider", cel.StringType, func(f *facts) ref.Val { return types.String(f.ask.Source.Auth.Provider) }},
	{"auth.mfa", cel.BoolType, func(f *facts) ref.Val { return types.Bool(f.ask.Source.Auth.MFA) }},
	{"auth.amr", textList, func(f *facts) ref.Val { return textListValue(f.ask.Source.Auth.Methods) }},
	{"auth.acr", cel.StringType, func(f *facts) ref.Val { return types.String(f.ask.Source.Auth.Class) }},
	{"auth.time", cel.TimestampType, func(f *facts) ref.Val { return f.signedIn() }},

	{"now.weekday", cel.StringType, func(f *facts) ref.Val { return weekday(f.clock.now) }},
	{"now.hour", cel.IntType, func(f *facts) ref.Val { return types.Int(f.clock.now.Hour()) }},
	{"now.minute", cel.IntType, func(f *facts) ref.Val { return types.Int(f.clock.now.Minute()) }},
	{"now.date", cel.StringType, func(f *facts) ref.Val { return types.String(f.clock.now.Format(time.DateOnly)) }},
	{"now.time", cel.StringType, func(f *facts) ref.Val { return types.String(f.clock.now.Format("15:04")) }},
	{"now.timestamp", cel.TimestampType, func(f *facts) ref.Val { return types.Timestamp{Time: f.now} }},

	{"start.weekday", cel.StringType, func(f *facts) ref.Val { return weekday(f.clock.start) }},
	{"start.hour", cel.IntType, func(f *facts) ref.Val { return types.Int(f.clock.start.Hour()) }},
	{"start.minute", cel.IntType, func(f *facts) ref.Val { return types.Int(f.clock.start.Minute()) }},
	{"start.date", cel.StringType, func(f *facts) ref.Val { return types.String(f.clock.start.Format(time.DateOnly)) }},
	{"start.time", cel.StringType, func(f *facts) ref.Val { return types.String(f.clock.start.Format("15:04")) }},
}, ticketVariables...)

// closedSets are the variables with few possible values: comparing one with any
// other value is a mistake, and would make a denying policy never deny.
var closedSets = map[string][]string{
	"now.weekday":          weekdays,
	"start.weekday":        weekdays,
	"resource.criticality": {"low", "medium", "high", "critical"},
	"principal.kind":       {"user", "service", "agent", "vendor"},
	"role.mechanism":       {"account", "group", "enable", "token", "elevate", "checkout"},
}

var weekdays = []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

func newEnvironment() (*environment, error) {
	e := &environment{programs: map[string]condition{}}
	options := []cel.EnvOption{
		cel.ParserRecursionLimit(maxExprDepth),
		cel.ParserExpressionSizeLimit(maxCondition),
		cel.ASTValidators(
			cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals(),
			cel.ValidateHomogeneousAggregateLiterals(),
			cel.ValidateComprehensionNestingLimit(maxNestedLoop),
		),
		ext.Network(),
		cel.Function("inCIDR", cel.MemberOverload("address_in_cidr", []*cel.Type{ext.IPType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(inCIDR))),
	}
	for _, v := range variables {
		e.names = append(e.names, v.name)
		options = append(options, cel.Variable(v.name, v.typ))
	}
	var err error
	if e.cel, err = cel.NewEnv(options...); err != nil {
		return nil, access.Fail(access.Internal, "policy-environment", "the condition language could not be set up").Wrap(err)
	}
	return e, nil
}

func inCIDR(address, network ref.Val) ref.Val {
	a, ok1 := address.(ext.IP)
	n, ok2 := network.(types.String)
	if !ok1 || !ok2 {
		return types.NewErr("inCIDR takes an address and a network")
	}
	p, err := parseCIDR(string(n))
	if err != nil {
		return types.NewErr("%s", err)
	}
	return types.Bool(p.Contains(a.Addr))
}

func parseCIDR(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, access.Fail(access.Invalid, "bad-network", strings.TrimPrefix(err.Error(), "netip."))
	}
	if p.Addr().Is4In6() {
		return p, access.Fail(access.Invalid, "bad-network", s+" is an IPv4 network in IPv6 form; write it as IPv4")
	}
	return p, nil
}

// rank orders criticalities from 1, low, to 4, critical.
func rank(c access.Criticality) int {
	for i, k := range access.Criticalities {
		if k == c {
			return i + 1
		}
	}
	return 0
}

func weekday(t time.Time) ref.Val { return types.String(t.Weekday().String()) }
