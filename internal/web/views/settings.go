package views

import (
	"slices"
	"time"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/words"
)

// Settings is how the server is, and what it is connected to. No secret is in it.
type Settings struct {
	Now     time.Time
	Version string
	Address string
	Ready   bool
	Holds   []string // why nothing new is granted, or what is not as it should be

	Replica string
	Clock   *SettingsClock // nil: not known

	Stopped bool
	Why     string

	Origin, Key, Fingerprint string
	Size                     int64 // records that the newest checkpoint covers
	Waiting                  int64 // records without a number
	Oldest                   time.Duration
	Witnesses, Signing       int
	Unwitnessed              int64
	WitnessesKnown           bool
	BackedUp                 time.Time // zero: never
	BackupKnown              bool

	Connections []Connection
	Problem     *api.Error // of a trial of what is not there
}

// SettingsClock is what the replica makes of its clock.
type SettingsClock struct {
	Trusted bool
	Why     string
	Ahead   time.Duration
}

// Connection is one integration.
type Connection struct {
	Name, Description, Type, Address, Credential, Source string
	Trouble                                              string
	Since                                                time.Time
	Behind                                               int64 // records of the log; -1: it reads none
	Test                                                 string
	Tested                                               *ConnectionTest // the last; nil: none is known
	ReadAt                                               time.Time       // of a directory
	Users, Groups                                        int
	Problem                                              *api.Error // of the trial just made
}

// The ways in which a connection is tried.
const (
	TestMessage   = "message"
	TestDirectory = "directory"
)

// ConnectionTest is how a trial went.
type ConnectionTest struct {
	At   time.Time
	By   string
	OK   bool
	Said string
}

// kindOf is the heading under which a type stands.
func kindOf(typ string) string {
	if name := words.SettingsKinds[typ]; name != "" {
		return name
	}
	return words.SettingsOther
}

// connectionGroup is the integrations of one kind.
type connectionGroup struct {
	name string
	all  []Connection
}

func (x Settings) groups() (out []connectionGroup) {
	for _, c := range x.Connections {
		kind := kindOf(c.Type)
		at := slices.IndexFunc(out, func(g connectionGroup) bool { return g.name == kind })
		if at < 0 {
			out, at = append(out, connectionGroup{name: kind}), len(out)
		}
		out[at].all = append(out[at].all, c)
	}
	return out
}

// state is what is known of a connection: works is said only of one that did.
func (c Connection) state() (tone ui.Tone, text string) {
	switch {
	case c.Trouble != "", c.Tested != nil && !c.Tested.OK:
		return ui.Bad, words.SettingsTroubled
	case c.Tested != nil, !c.ReadAt.IsZero():
		return ui.Good, words.SettingsOK
	}
	return ui.Plain, words.SettingsUnproven
}

func (c Connection) command() string {
	if c.Test == TestDirectory {
		return words.SettingsDirectoryCommand(c.Name)
	}
	return words.SettingsTestCommand(c.Name)
}

func (c Connection) button() string {
	if c.Test == TestDirectory {
		return words.SettingsTry
	}
	return words.SettingsSend
}

// Commands of what is done on a command line alone.
const (
	cmdStop   = "stint admin stop --why TEXT"
	cmdResume = "stint admin resume --why TEXT"
	cmdVerify = "stint audit verify"
	cmdBackup = "stint admin backup --out FILE"
)

func settingsTabs(checks bool) []ui.Tab {
	return []ui.Tab{{Href: "/settings", Label: words.SettingsTabMain, Current: !checks, Count: -1}, {Href: "/settings/checks", Label: words.SettingsTabDoctor, Current: checks, Count: -1}}
}

// worst puts what failed before what needs a look, and both before what is well.
func worst(all []api.DoctorCheck) (sorted []api.DoctorCheck, failed, warned int) {
	rank := map[string]int{api.CheckFail: 0, api.CheckWarn: 1}
	of := func(c api.DoctorCheck) int {
		if n, ok := rank[c.Result]; ok {
			return n
		}
		return 2
	}
	sorted = slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b api.DoctorCheck) int { return of(a) - of(b) })
	for _, c := range all {
		switch c.Result {
		case api.CheckFail:
			failed++
		case api.CheckWarn:
			warned++
		}
	}
	return sorted, failed, warned
}

func checkTone(result string) ui.Tone {
	switch result {
	case api.CheckFail:
		return ui.Bad
	case api.CheckWarn:
		return ui.Warn
	}
	return ui.Good
}

func checkIcon(result string) string {
	switch result {
	case api.CheckFail:
		return "circle-alert"
	case api.CheckWarn:
		return "triangle-alert"
	}
	return "circle-check"
}
