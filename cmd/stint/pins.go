package main

import (
	"stint/internal/api"
	"stint/internal/audit"
)

// fingerprint is a short name of the log's key that people can compare.
func fingerprint(key string) string { return api.LogKey{Key: key}.Fingerprint() }

// checkPin compares what a server says its log's key is with what is pinned.
// The first key is trusted unless accept names another; a key that changed is
// trusted only if accept names it, because whoever rewrites a log would also
// bring a key that signs it.
func checkPin(server string, have pin, offered api.LogKey, accept string) error {
	got := fingerprint(offered.Key)
	switch {
	case accept != "" && accept != got:
		return &api.Error{Kind: api.Denied, Code: "log-key-differs", Message: "the audit log's key of " + server + " is not the one given",
			Why: "it is " + got, Next: "ask the administrators over another way; do not go on before the two agree"}
	case accept != "", have.Key == "":
		return nil
	case have.Key != offered.Key || have.Origin != offered.Origin:
		return &api.Error{Kind: api.Denied, Code: "log-key-changed", Message: "the audit log's key of " + server + " has changed",
			Why: "pinned is " + fingerprint(have.Key) + " of " + have.Origin + ", offered is " + got + " of " + offered.Origin +
				"; either the administrators have set up Stint anew or rotated the key, or this is not the same server",
			Next: "ask them for the new fingerprint, then accept it with stint login --log-key " + got + " if it is the same"}
	}
	return nil
}

// pinLog keeps the key, and the last checkpoint as long as it is of that key. A key
// text that goes on after a rotation lists the old key too, and still opens it.
func (c *cli) pinLog(server string, offered api.LogKey) (changed bool, err error) {
	all := pins{}
	if err := c.load(pinsFile, &all); err != nil {
		return false, err
	}
	have := all[server]
	if have.Key == offered.Key && have.Origin == offered.Origin {
		return false, nil
	}
	now := pin{Origin: offered.Origin, Key: offered.Key, Roots: have.Roots}
	if _, err := audit.OpenCheckpoint([]byte(have.Checkpoint), offered.Key); err == nil {
		now.Checkpoint = have.Checkpoint
	}
	all[server] = now
	return true, c.store(pinsFile, all)
}

// pinned is what is pinned of a server.
func (c *cli) pinned(server string) (pin, error) {
	all := pins{}
	err := c.load(pinsFile, &all)
	return all[server], err
}
