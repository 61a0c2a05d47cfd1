package apiserver

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/audit"
	"stint/internal/broker"
	"stint/internal/directory"
	"stint/internal/ident"
	"stint/internal/web"
	"stint/internal/web/views"
)

const (
	// testedWithin is how far back is looked for the last trial of a connection, and
	// testsRead how many trials are looked through.
	testedWithin, testsRead = 30 * 24 * time.Hour, 1000
	// recordWithin is how long a page waits for the record of what was just done.
	recordWithin = 3 * time.Second
)

// steward is the visitor, if they administer Stint.
func (d doors) steward(ctx context.Context, v web.Visitor) (ident.Caller, error) {
	c, err := d.caller(ctx, v)
	if err == nil && !c.Principal.Admin {
		err = access.Fail(access.Denied, "not-yours", "settings are for administrators").Because(string(c.Principal.ID) + " is not one").Try("an administrator looks there; go back to /")
	}
	return c, err
}

// Settings is how the server is, and what it is connected to.
func (d doors) Settings(ctx context.Context, v web.Visitor) (views.Settings, error) {
	c, err := d.steward(ctx, v)
	if err != nil {
		return views.Settings{}, err
	}
	who := callBy(c).asked(nil)
	x := views.Settings{Now: d.now(), Version: d.version, Holds: d.standing(), Origin: d.logKey.Origin, Key: d.logKey.Key, Fingerprint: d.logKey.Fingerprint()}
	x.Ready = d.ready(ctx) == nil
	if st, err := d.broker.ClockState(ctx, who); err == nil {
		x.Replica, x.Now, x.Clock = st.Replica, st.Now, &views.SettingsClock{Trusted: st.Trusted, Why: st.Why, Ahead: st.Ahead}
	}
	if x.Stopped, x.Why, err = d.broker.Stopped(ctx); err != nil {
		return x, err
	}
	if x.Size, _, err = d.audit.Head(ctx); err != nil {
		return x, err
	}
	if x.Waiting, x.Oldest, err = d.audit.Lag(ctx); err != nil {
		return x, err
	}
	if d.keep != nil {
		x.Witnesses, x.Signing, x.Unwitnessed, err = d.keep.Witnesses(ctx)
		x.WitnessesKnown = err == nil
	}
	x.BackedUp, err = d.broker.LastBackup(ctx, who)
	x.BackupKnown = err == nil
	x.Connections, err = d.connections(ctx)
	return x, err
}

// connections are all integrations, with how they are and how they were last tried.
func (d doors) connections(ctx context.Context) ([]views.Connection, error) {
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return nil, err
	}
	ill, err := d.troubles(ctx)
	if err != nil {
		return nil, err
	}
	behind := map[string]int64{}
	if d.channels != nil {
		if behind, err = d.channels.Behind(ctx); err != nil {
			return nil, err
		}
	}
	tests, err := d.tests(ctx, d.now().Add(-testedWithin))
	if err != nil {
		return nil, err
	}
	var out []views.Connection
	for _, i := range set.Integrations() {
		t := ill[i.Name]
		c := views.Connection{Name: i.Name, Description: i.Description, Type: i.Type, Address: i.Address, Credential: i.Credential, Source: i.Source,
			Trouble: t.Why, Since: t.Since, Behind: -1}
		if n, reads := behind[i.Name]; reads {
			c.Behind = n
		}
		switch {
		case i.Type == directory.Type:
			c.Test = views.TestDirectory
		case d.channels != nil && d.channels.Serves(i.Type):
			c.Test = views.TestMessage
		}
		if t, ok := tests[i.Name]; ok {
			c.Tested = &t
		}
		out = append(out, c)
	}
	if d.people == nil {
		return out, nil
	}
	states, err := d.people.States(ctx)
	for n := range out {
		st, ok := states[out[n].Name]
		if out[n].Test == views.TestDirectory && ok {
			out[n].ReadAt, out[n].Users, out[n].Groups = st.Read, st.Users, st.Groups
		}
	}
	return out, err
}

// tests are the last trials of connections since a time, as the log has them.
func (d doors) tests(ctx context.Context, since time.Time) (map[string]views.ConnectionTest, error) {
	out := map[string]views.ConnectionTest{}
	after := int64(-1)
	for {
		recs, err := d.audit.Records(ctx, LogQuery{After: after, Type: broker.IntegrationTested, Since: since, Limit: testsRead})
		if err != nil {
			return nil, err
		}
		for _, r := range recs {
			after = r.Seq
			rec, err := audit.Decode(r.Encoded)
			if err != nil {
				return nil, err
			}
			e := rec.Event
			out[e.Facts["integration"]] = views.ConnectionTest{At: e.At, By: string(e.Actor.Principal), OK: e.Facts["ok"] == "yes", Said: e.Facts["said"]}
		}
		if len(recs) < testsRead {
			return out, nil
		}
	}
}

// TestConnection tries a connection out. That it was tried, and how it went, is in the log.
func (d doors) TestConnection(ctx context.Context, v web.Visitor, name string) error {
	c, err := d.steward(ctx, v)
	if err == nil {
		err = d.writes.take(string(c.Principal.ID))
	}
	if err != nil {
		return err
	}
	set, err := d.broker.Documents(ctx)
	if err != nil {
		return err
	}
	since := d.now().Add(-time.Minute) // the clock of the log may be another one
	last, err := d.tests(ctx, since)
	if err != nil {
		return err
	}
	recorded := false
	if i, ok := set.Integration(name); ok && i.Type == directory.Type {
		_, recorded, err = d.readDirectory(ctx, callBy(c), name, "")
	} else {
		recorded, err = d.tryChannel(ctx, callBy(c), name)
	}
	if recorded {
		d.untilTested(ctx, name, since, last[name])
	}
	return err
}

// untilTested waits for the log to have a trial after the last one: the page tells what
// stands there.
func (d doors) untilTested(ctx context.Context, name string, since time.Time, last views.ConnectionTest) {
	ctx, cancel := context.WithTimeout(ctx, recordWithin)
	defer cancel()
	for ctx.Err() == nil {
		if found, err := d.tests(ctx, since); err != nil || found[name].At.After(last.At) {
			return
		}
		head, _, err := d.audit.Head(ctx)
		if err != nil || d.audit.Wait(ctx, head-1) != nil {
			return
		}
	}
}

// Checks are those of the doctor.
func (d doors) Checks(ctx context.Context, v web.Visitor) (offered bool, all []api.DoctorCheck, err error) {
	if _, err := d.steward(ctx, v); err != nil || d.keep == nil {
		return false, nil, err
	}
	return true, d.keep.Doctor(ctx), nil
}
