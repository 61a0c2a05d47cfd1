package store

import (
	"encoding/json"
	"strings"

	"stint/internal/access"
)

const hostColumns = "SELECT name, version, code, code_until, agent, key, program, enrolled_at, revoked_at, seen_at, address, ssh_keys, ceiling, doors, carries FROM hosts"

func scanHost(row row) (access.Host, error) {
	var h access.Host
	var code []byte
	var until, enrolled, revoked, seen *int64
	var keys, ceiling, doors, carries string
	err := row.Scan(&h.Name, &h.Version, &code, &until, &h.Agent, &h.Key, &h.Program, &enrolled, &revoked, &seen, &h.Address, &keys, &ceiling, &doors, &carries)
	if err == nil {
		h.SSHKeys, err = readHostKeys(keys)
	}
	if err == nil && ceiling != "" {
		h.Ceiling = &access.Ceiling{}
		err = decode(ceiling, "ceiling of the host", h.Name, h.Ceiling)
	}
	if err == nil && doors != "" {
		var rows []hostDoor
		err = decode(doors, "doors of the gateway", h.Name, &rows)
		for _, d := range rows {
			door := access.Door{Protocol: d.Protocol, Port: d.Port, Certificate: d.Certificate, Domain: d.Domain}
			if d.Since != 0 {
				door.Since = instant(d.Since)
			}
			h.Doors = append(h.Doors, door)
		}
	}
	for p := range strings.FieldsSeq(carries) {
		h.Carries = append(h.Carries, access.Protocol(p))
	}
	h.Code, h.CodeUntil, h.EnrolledAt, h.RevokedAt, h.SeenAt = digestOf(code), instantOf(until), instantOf(enrolled), instantOf(revoked), instantOf(seen)
	return h, err
}

// Host reads a host by its name.
func (tx *Tx) Host(name string) (access.Host, error) {
	return one(tx, "host", scanHost, hostColumns+" WHERE name = $1", name)
}

// HostByCode reads the host that a code was given out for, whether it is still good
// or not.
func (tx *Tx) HostByCode(code access.Digest) (access.Host, error) {
	return one(tx, "host", scanHost, hostColumns+" WHERE code = $1", code[:])
}

// HostByAgent reads the host that an agent is enrolled for.
func (tx *Tx) HostByAgent(agent access.DeviceID) (access.Host, error) {
	return one(tx, "host", scanHost, hostColumns+" WHERE agent = $1 AND agent <> ''", string(agent))
}

// Hosts lists all hosts, by name.
func (tx *Tx) Hosts() ([]access.Host, error) {
	return list(tx, scanHost, hostColumns+" ORDER BY name")
}

// SaveHost writes a host in the place of exactly the version before. When it was seen
// last stays.
func (tx *Tx) SaveHost(h access.Host) error {
	var code any
	if b := digestBytes(h.Code); b != nil {
		code = b
	}
	key := h.Key
	if key == nil {
		key = []byte{}
	}
	sshKeys, err := writeHostKeys(h.SSHKeys)
	if err != nil {
		return tx.fail(err)
	}
	ceiling := ""
	if h.Ceiling != nil {
		if ceiling, err = encode(h.Ceiling); err != nil {
			return tx.fail(err)
		}
	}
	doors := ""
	if len(h.Doors) > 0 {
		rows := make([]hostDoor, len(h.Doors))
		for i, d := range h.Doors {
			rows[i] = hostDoor{Protocol: d.Protocol, Port: d.Port, Certificate: d.Certificate, Domain: d.Domain}
			if !d.Since.IsZero() {
				rows[i].Since = d.Since.UnixMilli()
			}
		}
		if doors, err = encode(rows); err != nil {
			return tx.fail(err)
		}
	}
	carries := make([]string, len(h.Carries))
	for i, p := range h.Carries {
		carries[i] = string(p)
	}
	args := []any{h.Name, h.Version, code, millis(h.CodeUntil), string(h.Agent), key, h.Program, millis(h.EnrolledAt), millis(h.RevokedAt), h.Address, sshKeys, ceiling, doors, strings.Join(carries, " ")}
	q := `INSERT INTO hosts (name, version, code, code_until, agent, key, program, enrolled_at, revoked_at, address, ssh_keys, ceiling, doors, carries)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (name) DO NOTHING`
	if h.Version > 1 {
		q = `UPDATE hosts SET version = $2, code = $3, code_until = $4, agent = $5, key = $6, program = $7, enrolled_at = $8, revoked_at = $9, address = $10, ssh_keys = $11, ceiling = $12, doors = $13, carries = $14
			WHERE name = $1 AND version = $2 - 1`
	}
	n, err := tx.exec(q, args...)
	if err == nil && n == 0 {
		err = tx.fail(access.Fail(access.Conflict, "host-changed", "the host changed meanwhile").Because(h.Name))
	}
	return err
}

// hostDoor is the stored form of access.Door. Fields are only added.
type hostDoor struct {
	Protocol    access.Protocol `json:"protocol"`
	Port        uint16          `json:"port"`
	Certificate string          `json:"certificate"`
	Since       int64           `json:"since,omitempty"`
	Domain      string          `json:"domain,omitempty"`
}

// hostKey is the stored form of access.HostKey. Fields are only added.
type hostKey struct {
	Line        string   `json:"line"`
	Fingerprint string   `json:"fingerprint"`
	Certificate string   `json:"certificate,omitempty"`
	Authority   string   `json:"authority,omitempty"`
	Principals  []string `json:"principals,omitempty"`
	NotAfter    int64    `json:"not_after,omitempty"`
	Resource    string   `json:"resource,omitempty"`
}

func writeHostKeys(keys []access.HostKey) (string, error) {
	if len(keys) == 0 {
		return "", nil
	}
	rows := make([]hostKey, len(keys))
	for i, k := range keys {
		rows[i] = hostKey{Line: k.Line, Fingerprint: k.Fingerprint, Certificate: k.Certificate, Authority: k.Authority, Principals: k.Principals, Resource: string(k.Resource)}
		if !k.NotAfter.IsZero() {
			rows[i].NotAfter = k.NotAfter.UnixMilli()
		}
	}
	text, err := json.Marshal(rows)
	return string(text), err
}

func readHostKeys(text string) ([]access.HostKey, error) {
	if text == "" {
		return nil, nil
	}
	var rows []hostKey
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		return nil, access.Fail(access.Internal, "bad-host-keys", "the keys of a host are damaged in the store").Wrap(err)
	}
	keys := make([]access.HostKey, len(rows))
	for i, k := range rows {
		keys[i] = access.HostKey{Line: k.Line, Fingerprint: k.Fingerprint, Certificate: k.Certificate, Authority: k.Authority, Principals: k.Principals, Resource: access.ResourceName(k.Resource)}
		if k.NotAfter != 0 {
			keys[i].NotAfter = instant(k.NotAfter)
		}
	}
	return keys, nil
}

// SeeHost notes that the agent of a host asked for calls, now.
func (tx *Tx) SeeHost(name string) error {
	_, err := tx.exec("UPDATE hosts SET seen_at = $2 WHERE name = $1", name, tx.now.UnixMilli())
	return err
}

// PutHostCall leaves a call for whichever replica the agent of its host asks.
func (tx *Tx) PutHostCall(c access.HostCall) error {
	_, err := tx.exec("INSERT INTO host_calls (id, host, call, ends, due_at, taken) VALUES ($1, $2, $3, $4, $5, FALSE)", c.ID, c.Host, c.Call, c.Ends, c.DueAt.UnixMilli())
	return err
}

// TakeHostCalls takes calls for a host that are still good, each once: so many that
// end access, and so many others, the oldest first.
func (tx *Tx) TakeHostCalls(host string, ends, rest int) (taken []access.HostCall, err error) {
	for _, part := range []struct {
		ends bool
		most int
	}{{true, ends}, {false, rest}} {
		if part.most <= 0 {
			continue
		}
		found, err := list(tx, scanHostCall, "SELECT id, host, call, ends, due_at FROM host_calls WHERE host = $1 AND ends = $2 AND NOT taken AND answer IS NULL AND due_at > $3 ORDER BY due_at, id LIMIT $4",
			host, part.ends, tx.now.UnixMilli(), int64(part.most))
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			n, err := tx.exec("UPDATE host_calls SET taken = TRUE WHERE id = $1 AND NOT taken", c.ID)
			if err != nil {
				return nil, err
			}
			if n == 1 {
				taken = append(taken, c)
			}
		}
	}
	return taken, nil
}

func scanHostCall(row row) (access.HostCall, error) {
	var c access.HostCall
	var due int64
	err := row.Scan(&c.ID, &c.Host, &c.Call, &c.Ends, &due)
	c.DueAt = instant(due)
	return c, err
}

// What an agent may leave here, of answers to calls that are not here: a call that a
// replica handed over itself never was, so that an agent can claim that there was one.
const (
	answersAtMost     = 256
	answerBytesAtMost = 16 << 20
)

// AnswerHostCall leaves an answer for the replica that waits for it. The first counts,
// and only the host's own. Of a host that leaves too many, no more are taken until they
// are fetched or pruned.
func (tx *Tx) AnswerHostCall(host, id, answer string) error {
	var count, bytes int64
	if err := tx.each("SELECT COUNT(*), COALESCE(SUM(LENGTH(answer)), 0) FROM host_calls WHERE host = $1 AND call = '' AND id <> $2", []any{host, id}, func(row row) error {
		return row.Scan(&count, &bytes)
	}); err != nil {
		return err
	}
	if count >= answersAtMost || bytes+int64(len(answer)) > answerBytesAtMost {
		_, err := tx.exec("UPDATE host_calls SET answer = $3 WHERE id = $1 AND host = $2 AND answer IS NULL", id, host, answer)
		return err
	}
	_, err := tx.exec(`INSERT INTO host_calls (id, host, call, ends, due_at, taken, answer) VALUES ($1, $2, '', FALSE, $3, TRUE, $4)
		ON CONFLICT (id) DO UPDATE SET answer = excluded.answer WHERE host_calls.host = excluded.host AND host_calls.answer IS NULL`,
		id, host, tx.now.UnixMilli(), answer)
	return err
}

// HostAnswers takes the answers of a host that are there, by the ids of their calls.
func (tx *Tx) HostAnswers(calls map[string]string) (map[string]string, error) {
	found := map[string]string{}
	for id, host := range calls {
		err := tx.each("SELECT answer FROM host_calls WHERE id = $1 AND host = $2 AND answer IS NOT NULL", []any{id, host}, func(row row) error {
			var text string
			err := row.Scan(&text)
			found[id] = text
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// DropHostCall forgets a call, and reports whether no agent has seen it.
func (tx *Tx) DropHostCall(id string) (untaken bool, err error) {
	n, err := tx.exec("DELETE FROM host_calls WHERE id = $1 AND NOT taken AND answer IS NULL", id)
	if err != nil || n == 1 {
		return n == 1, err
	}
	_, err = tx.exec("DELETE FROM host_calls WHERE id = $1", id)
	return false, err
}
