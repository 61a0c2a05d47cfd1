package hook

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode"

	"stint/internal/access"
	"stint/internal/connector"
)

// The steps that a program can be asked for.
const (
	doCheck = "check" // prove that all of the others can be done here, and leave nothing behind
	doLook  = "look"  // how the account stands
	doProve = "prove" // whether the secret opens the account, by opening it
	doSet   = "set"   // the account opens with the secret, and with nothing else
	doLock  = "lock"  // the account opens with nothing; its password is replaced by this one
	doMake  = "make"  // a token of this name is made for the account
	doKeep  = "keep"  // the account has no other token than that of this name
	doEnd   = "end"   // its sessions are ended, also those that are on their way in
	doNotes = "notes" // all notes
	doNote  = "note"  // put a note in the place of another, if that is what is there
)

// question is what a program is asked. It is stable: members are only added.
type question struct {
	Version int    `json:"version"`
	Do      string `json:"do"`
	Address string `json:"address"`
	Login   login  `json:"login"`
	Account string `json:"account,omitempty"`
	Kind    string `json:"kind,omitempty"` // of the account's secret; empty: a password
	Secret  string `json:"secret,omitempty"`
	Public  string `json:"public,omitempty"` // of a key
	Agent   string `json:"agent,omitempty"`  // the socket of an agent that has the other half
	Name    string `json:"name,omitempty"`   // of a token
	Note    string `json:"note,omitempty"`   // its name
	Old     string `json:"old,omitempty"`    // empty: there is none
	New     string `json:"new,omitempty"`    // empty: take it away

	Certificate string `json:"certificate,omitempty"` // PEM
	PrivateKey  string `json:"private_key,omitempty"` // of the certificate, to prove it; PEM (PKCS 8)
}

// login is whom the program signs in as on the target.
type login struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// answer is what a program says.
type answer struct {
	// Error is why it was not done, in a public sentence: nothing has changed.
	Error string `json:"error"`
	Next  string `json:"next"` // what an administrator can do

	Exists   *bool  `json:"exists"` // look
	Refused  string `json:"refused"`
	Login    bool   `json:"login"`
	Sessions int    `json:"sessions"`
	Idle     int64  `json:"idle"` // seconds since the one that is least idle did something

	Opens *bool             `json:"opens"` // prove
	Done  *bool             `json:"done"`  // set, lock, end: true; note: whether the old one was there
	Notes map[string]string `json:"notes"`

	Token  string   `json:"token"`  // make
	Tokens []string `json:"tokens"` // look, of an account that has tokens: the names of those that open it

	Steps []struct {
		Name   string `json:"name"`
		OK     bool   `json:"ok"`
		Detail string `json:"detail"`
		Fix    string `json:"fix"`
	} `json:"steps"` // check
}

const (
	version   = 1
	maxAnswer = 1 << 20
	maxSaid   = 300
)

var errAnswer = errors.New("the hook did not answer as the protocol says")

// readAnswer reads one answer to a step, and nothing else.
func readAnswer(q question, text []byte) (answer, error) {
	var a answer
	d := json.NewDecoder(bytes.NewReader(text))
	if d.Decode(&a) != nil { // its error could quote the answer
		return answer{}, errAnswer
	}
	if _, err := d.Token(); err != io.EOF {
		return answer{}, errAnswer
	}
	a.hush(append(linesOf(q.PrivateKey), q.Secret, q.Login.Password, a.Token)...)
	if a.Error != "" {
		return a, &connector.Error{Outcome: connector.NotDone, Message: public(a.Error), Next: public(a.Next)}
	}
	whole := true
	switch q.Do {
	case doProve:
		whole = a.Opens != nil
	case doMake:
		whole = validToken(a.Token)
	case doSet, doLock, doEnd, doKeep:
		whole = a.Done != nil && *a.Done
	case doNote:
		whole = a.Done != nil
	case doNotes:
		whole = a.Notes != nil
	case doLook:
		whole = a.Exists != nil && a.Sessions >= 0 && a.Idle >= 0
	case doCheck:
		whole = len(a.Steps) > 0
	}
	if !whole {
		return answer{}, errAnswer
	}
	return a, nil
}

// public is a sentence of a program's, as far as it can be shown.
func public(said string) string {
	said = printable(said)
	if r := []rune(said); len(r) > maxSaid {
		said = string(r[:maxSaid]) + "…"
	}
	return said
}

// printable is a text without what no terminal should get.
func printable(said string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(said, "?"))
}

// The forms of names. Anything may be behind a program: what needs no quotes anywhere is let
// through, and nothing else.
func validAccount(name string) bool {
	return within(name, 1, 64, "_.-") && name[0] != '-' && name[0] != '.'
}

// ValidName reports whether a program can have this name.
func ValidName(name string) bool { return validAccount(name) }

// validTag: a ULID, an underscore, a MAC, in lower case.
func validTag(t access.Tag) bool {
	const ulid, mac = 26, 16
	s := string(t)
	return len(s) == ulid+1+mac && s[ulid] == '_' && s == strings.ToLower(s) && within(s[:ulid], ulid, ulid, "") && within(s[ulid+1:], mac, mac, "")
}

func within(s string, least, most int, marks string) bool {
	if len(s) < least || len(s) > most {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(marks, c) < 0 {
			return false
		}
	}
	return true
}
