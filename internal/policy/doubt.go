package policy

import (
	"fmt"
	"slices"

	"stint/internal/access"
)

// doubt is a schedule of which it is not known whether who asks is on call in it now:
// they take shifts there, and what is kept elsewhere did not come.
type doubt struct {
	schedule string
	why      string // Schedule.Trouble
}

// manyDoubts is in how many such schedules it is tried out what a condition comes to.
const manyDoubts = 4

// doubts lists them for a principal, in document order.
func (s *Set) doubts(p access.PrincipalID) (out []doubt) {
	for _, x := range s.schedules {
		if x.inDoubt(p) {
			out = append(out, doubt{x.Name, x.Trouble})
		}
	}
	return out
}

// inDoubt reports whether it is not known who is on call, and the principal takes shifts.
func (s *Schedule) inDoubt(p access.PrincipalID) bool {
	if s.Trouble == "" {
		return false
	}
	for _, who := range s.Kept.People {
		if who == p {
			return true
		}
	}
	return false
}

// eachWay asks a condition for each way it can be: on call in each of the schedules in
// doubt, or not. Where all come to the same that is the answer, for it does not matter
// then; else the condition has none, and fails: what denies denies, and what allows does
// not.
func (f *facts) eachWay(holds func(*facts) (bool, error)) (is bool, err error) {
	if len(f.doubts) > manyDoubts {
		return false, f.unknown()
	}
	known := f.ask.Principal.OnCall
	defer func() { f.ask.Principal.OnCall = known }()
	for way := range 1 << len(f.doubts) {
		f.ask.Principal.OnCall = slices.Clone(known)
		for n, d := range f.doubts {
			if way&(1<<n) != 0 {
				f.ask.Principal.OnCall = append(f.ask.Principal.OnCall, d.schedule)
			}
		}
		here, err := holds(f)
		switch {
		case err != nil:
			return false, err
		case way == 0:
			is = here
		case here != is:
			return false, f.unknown()
		}
	}
	return is, nil
}

// unknown says what is not known, and why.
func (f *facts) unknown() error {
	return fmt.Errorf("it is not known whether %s is on call: %s", f.ask.Principal.ID, f.doubts[0].why)
}
