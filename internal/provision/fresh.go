package provision

import (
	"encoding/json"
	"time"

	"stint/internal/access"
	"stint/internal/directory"
	"stint/internal/moment"
	"stint/internal/policy"
)

// Fresh refuses something new to somebody whom a directory knows that was not read for
// longer than its document allows, or not at all yet. Which directories there are and
// how long each counts is what the documents of the moment say; when it was read is what
// whichever replica has the turn wrote to the store, and state reads of it, in the
// caller's transaction. So a replica that has just started, or never had a turn, knows
// as much as the others, and what nobody knows is refused. now is the store's time.
func (d *Directories) Fresh(is []policy.Integration, p access.Principal, now time.Time, state func(name string) ([]byte, error)) error {
	for _, i := range is {
		if i.Type != directory.Type || !knows(i.Name, p) {
			continue
		}
		bound := directory.Read(i.Address, i.Options).FreshFor
		if bound <= 0 {
			continue
		}
		read := d.lastRead(i.Name)
		if good(read, now, bound) {
			continue // what the store has can only be newer
		}
		raw, err := state(i.Name)
		if err != nil {
			return err
		}
		var st DirectoryState
		if len(raw) > 0 && json.Unmarshal(raw, &st) != nil {
			st = DirectoryState{} // of another version: as if it was never read
		}
		d.noteRead(i.Name, st.Read)
		if good(st.Read, now, bound) {
			continue
		}
		no := access.Fail(access.Unavailable, "stale-directory", "nothing new is granted to "+string(p.ID)+" for now").
			Because("the directory " + i.Name + " was not read for longer than " + moment.Span(bound) + ", so it is not known whether they are still in their groups").
			Try("an administrator looks with: stint admin directory show " + i.Name)
		if st.Read.IsZero() {
			no = no.Because("the directory " + i.Name + " was not read yet, so it is not known whether they are still in their groups")
		}
		return no
	}
	return nil
}

// good reports whether what was read then still counts. What is ahead of now by as much
// was not read by this clock.
func good(read, now time.Time, bound time.Duration) bool {
	return !read.IsZero() && now.Sub(read).Abs() <= bound
}

// knows reports whether a principal comes from the directory of that name.
func knows(name string, p access.Principal) bool {
	for _, id := range p.Identities {
		if id.Provider == name {
			return true
		}
	}
	return false
}

// noteRead remembers that a directory was read at a time, so that most who ask need not
// look into the store. It only goes forward.
func (d *Directories) noteRead(name string, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.read == nil {
		d.read = map[string]time.Time{}
	}
	if at.After(d.read[name]) {
		d.read[name] = at
	}
}

func (d *Directories) lastRead(name string) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.read[name]
}
