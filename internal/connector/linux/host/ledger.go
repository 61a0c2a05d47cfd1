package host

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"stint/internal/access"
	"stint/internal/connector/linux"
)

// note is what the agent has done under one order, written before it does it: what the
// host by itself cannot say to be ours. It is stored: fields are only added.
type note struct {
	Mechanism access.Mechanism `json:"mechanism"`
	Account   string           `json:"account"`
	UID       int              `json:"uid"`
	Rights    []string         `json:"rights,omitempty"`  // those that the order gave, and nobody else had
	Home      string           `json:"home,omitempty"`    // what becomes of the home: "remove", "archive"
	Expires   int              `json:"expires,omitempty"` // how the account was before it was enabled or lent; -1: never
}

func (c *Connector) notesFolder() string { return filepath.Join(c.State, "orders") }

func (c *Connector) noteFile(tag access.Tag) string {
	return filepath.Join(c.notesFolder(), string(tag))
}

// readNote reads what is noted of an order; ok is false where nothing is.
func (c *Connector) readNote(tag access.Tag) (n note, ok bool, err error) {
	text, err := readFile(c.noteFile(tag))
	if err != nil || text == "" {
		return n, false, err
	}
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return n, false, access.Fail(access.Unavailable, "bad-note", "what is noted of the order cannot be read").
			Try("look at " + c.noteFile(tag) + " on the host").Wrap(err)
	}
	return n, true, nil
}

func (c *Connector) writeNote(tag access.Tag, n note) error {
	if err := ensureFolder(c.notesFolder(), 0o700); err != nil {
		return err
	}
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return c.disk.replace(c.noteFile(tag), 0o600, append(b, '\n'))
}

func (c *Connector) dropNote(tag access.Tag) error { return removeFile(c.noteFile(tag)) }

// notes lists all orders that something is noted of.
func (c *Connector) notes() (all map[access.Tag]note, err error) {
	es, err := os.ReadDir(c.notesFolder())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all = map[access.Tag]note{}
	for _, e := range es {
		tag := access.Tag(e.Name())
		if !linux.ValidTag(tag) {
			continue
		}
		n, ok, err := c.readNote(tag)
		if err != nil {
			return nil, err
		}
		if ok {
			all[tag] = n
		}
	}
	return all, nil
}

// lentByOther reports whether another order gave the account the group too.
func (c *Connector) lentByOther(tag access.Tag, account, right string) (bool, error) {
	all, err := c.notes()
	for t, n := range all {
		if t != tag && n.Mechanism == access.Member && n.Account == account && slices.Contains(n.Rights, right) {
			return true, err
		}
	}
	return false, err
}
