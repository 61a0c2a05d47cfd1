package audit

import (
	"bytes"
	"net/netip"
	"time"

	"stint/internal/access"
)

// Decode reads what Encode wrote, and nothing else: the record it returns
// encodes to exactly the given bytes.
func Decode(encoded []byte) (Record, error) {
	if len(encoded) > MaxRecord {
		return Record{}, badRecord("the record is too long")
	}
	r, ok := scanRecord(encoded)
	if !ok {
		return Record{}, badRecord("not a record of format 1")
	}
	again, err := Append(make([]byte, 0, len(encoded)), r)
	if err != nil {
		return Record{}, err
	}
	if !bytes.Equal(again, encoded) {
		return Record{}, badRecord("the record is not in its canonical form")
	}
	return r, nil
}

// scanRecord reads leniently; Decode compares.
func scanRecord(b []byte) (r Record, ok bool) {
	s, e := scanner{rest: b}, &r.Event
	s.lit(`{"v":1,"id":`)
	r.ID = s.text()
	s.lit(`,"type":`)
	e.Type = access.EventType(s.text())
	s.lit(`,"at":`)
	at := s.text()
	s.lit(`,"entity":`)
	e.Entity = s.text()
	s.lit(`,"version":`)
	e.Version = s.number()
	s.lit(`,"actor":{"principal":`)
	e.Actor.Principal = access.PrincipalID(s.text())
	s.lit(`,"person":`)
	e.Actor.Person = access.Person(s.text())
	s.lit(`,"device":`)
	e.Actor.Device = access.DeviceID(s.text())
	s.lit(`,"address":`)
	address := s.text()
	s.lit(`},"facts":{`)
	e.Facts = scanFacts(&s)
	s.lit(`}`)
	if !s.done() {
		return Record{}, false
	}
	var err error
	if e.At, err = time.Parse(access.Stamp, at); err != nil {
		return Record{}, false
	}
	if address != "" {
		if e.Actor.Address, err = netip.ParseAddr(address); err != nil {
			return Record{}, false
		}
	}
	return r, true
}

// scanFacts takes the facts and the brace that closes them.
func scanFacts(s *scanner) map[string]string {
	if s.next('}') {
		return nil
	}
	facts := make(map[string]string, 8)
	for !s.failed {
		name := s.text()
		s.lit(":")
		facts[name] = s.text()
		if !s.next(',') {
			s.lit("}")
			break
		}
	}
	return facts
}
