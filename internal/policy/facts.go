package policy

import (
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
)

// facts are what the conditions of one decision see. It is a cel.Activation, made
// once per decision; what is costly to prepare is prepared when first used, and
// kept for the other policies of the same decision.
type facts struct {
	ask      Ask
	resource *Resource
	role     *Role
	now      time.Time
	lookup   map[string]func(*facts) ref.Val
	doubts   []doubt // about who asks; none where a live grant is decided again

	clock   *clock // of the policy being evaluated
	from    string // the ticket system that it names
	clocks  []*clock
	groupsV ref.Val
	ownersV ref.Val
}

// clock is the time of the decision, and that of the start, in one zone.
type clock struct {
	location   *time.Location
	now, start time.Time
}

var _ cel.Activation = (*facts)(nil)

// ResolveName implements cel.Activation.
func (f *facts) ResolveName(name string) (any, bool) {
	if v, ok := f.lookup[name]; ok {
		return v(f), true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (f *facts) Parent() cel.Activation { return nil }

// about sets what is the policy's own: the zone, and where its ticket is kept.
func (f *facts) about(r *Rule) {
	f.in(r.location)
	f.from = r.Require.Ticket.From
}

// in sets the zone for `now` and `start`.
func (f *facts) in(l *time.Location) {
	for _, c := range f.clocks {
		if c.location == l {
			f.clock = c
			return
		}
	}
	f.clock = &clock{l, f.now.In(l), f.start().In(l)}
	f.clocks = append(f.clocks, f.clock)
}

func (f *facts) start() time.Time {
	if f.ask.Start.IsZero() {
		return f.now
	}
	return f.ask.Start
}

// address is an error when it is not known, so that no condition can hold, or
// fail to deny, because of an address that is not there.
func (f *facts) address() ref.Val {
	if !f.ask.Source.IP.IsValid() {
		return types.NewErr("the source address is not known")
	}
	return ext.IP{Addr: f.ask.Source.IP.Unmap().WithZone("")}
}

// signedIn is an error when it is not known, as with address.
func (f *facts) signedIn() ref.Val {
	at := f.ask.Source.Auth.At
	if at.IsZero() {
		return types.NewErr("when the person signed in is not known")
	}
	return types.Timestamp{Time: at}
}

// never is how long ago it is that somebody said yes, where nobody did. It is a
// value, and not a failure, so that a condition can be about what never was.
const never = 100 * 365 * 24 * time.Hour

func (f *facts) sinceSame() time.Duration {
	if f.ask.SinceSame > 0 {
		return f.ask.SinceSame
	}
	return never
}

func (f *facts) groups() ref.Val {
	if f.groupsV == nil {
		f.groupsV = textListValue(f.ask.Principal.Groups)
	}
	return f.groupsV
}

func (f *facts) owners() ref.Val {
	if f.ownersV == nil {
		f.ownersV = textListValue(f.resource.Owners)
	}
	return f.ownersV
}

func textListValue[S ~string](ss []S) ref.Val {
	list := make([]string, len(ss))
	for i, s := range ss {
		list[i] = string(s)
	}
	return types.NewStringList(types.DefaultTypeAdapter, list)
}

func textMapValue(m map[string]string) ref.Val {
	return types.NewStringStringMap(types.DefaultTypeAdapter, m)
}
