package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The file, all integers big-endian:
//
//	0     head, 64 bytes: magic 8 · generation 8 · id 16 · first 8 · start 8 · zero 12 · crc 4
//	512   the other head; they take turns, and the greater generation counts
//	4096  records, one after the other: length 4 · crc 4 · number 8 · body
//
// A record's checksum covers its number and its body. Zeros follow the last one.
// They end the reading, and so does what is left of an earlier turn, whose numbers
// are smaller. Another format gets another magic.
const (
	magic      = "STINTJ1\n"
	headSize   = 64
	otherHead  = 512
	dataStart  = 4096
	recordHead = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// head says where the records begin that were not forgotten.
type head struct {
	generation uint64
	id         [16]byte
	first      uint64 // number of the first record
	start      int64  // where it stands
}

func (h head) encode() []byte {
	b := make([]byte, 0, headSize)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, h.generation)
	b = append(b, h.id[:]...)
	b = binary.BigEndian.AppendUint64(b, h.first)
	b = binary.BigEndian.AppendUint64(b, uint64(h.start))
	b = append(b, make([]byte, headSize-4-len(b))...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// at is where this generation of the head stands.
func (h head) at() int64 { return int64(h.generation%2) * otherHead }

func decodeHead(b []byte) (h head, ok bool) {
	if len(b) != headSize || !bytes.HasPrefix(b, []byte(magic)) ||
		binary.BigEndian.Uint32(b[headSize-4:]) != crc32.Checksum(b[:headSize-4], castagnoli) {
		return h, false
	}
	h.generation = binary.BigEndian.Uint64(b[8:])
	copy(h.id[:], b[16:])
	h.first = binary.BigEndian.Uint64(b[32:])
	h.start = int64(binary.BigEndian.Uint64(b[40:]))
	return h, h.start >= dataStart && h.first > 0
}

func appendRecord(b []byte, number uint64, body []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	sum := crc32.Update(crc32.Checksum(binary.BigEndian.AppendUint64(nil, number), castagnoli), castagnoli, body)
	b = binary.BigEndian.AppendUint32(b, sum)
	b = binary.BigEndian.AppendUint64(b, number)
	return append(b, body...)
}

// errForeign says that what stands there is not ours.
var errForeign = errors.New("it is not a journal of Stint")

// content is what a file holds. A body of a record that was damaged is empty: its
// number is kept, so that those behind it keep theirs.
type content struct {
	head    head
	records []record
	end     int64  // where the next one goes; of no meaning when something is damaged
	damage  string // what is not as it was written; empty: nothing
}

// parse reads the newest head and the records that it counts. Where a record is not
// whole, those behind it are looked for: their numbers are greater than all that an
// earlier turn left. errForeign: there is no trace of a head of ours.
//
// Half a record at the end may be a write that the host did not live to finish, which
// nobody was told of, or one that was damaged later. It is called damage.
func parse(data []byte) (c content, err error) {
	ours, found := false, false
	for _, at := range []int{0, otherHead} {
		b := data[min(at, len(data)):min(at+headSize, len(data))]
		ours = ours || bytes.HasPrefix(b, []byte(magic))
		switch x, ok := decodeHead(b); {
		case ok && (!found || x.generation > c.head.generation):
			c.head, found = x, true
		case !ok && !zero(b):
			c.damage = "a head of it is not whole"
		}
	}
	switch {
	case !found && !ours && zero(data):
		return content{damage: "nothing is in it"}, nil
	case !found && !ours:
		return content{}, errForeign
	case !found: // what was forgotten cannot be told from what was not
		return content{damage: "no head of it is whole, so its records cannot be used"}, nil
	case c.head.start > int64(len(data)):
		c.damage = "it was cut off before its records"
		return c, nil
	}
	at := int(c.head.start)
	next := func() uint64 { return c.head.first + uint64(len(c.records)) }
	for {
		number, body, ok := recordAt(data, at)
		if !ok || number != next() {
			if !ok && len(data)-at >= recordHead && !zero(data[at:at+recordHead]) || ok && number > next() {
				c.damage = fmt.Sprintf("what stands in the place of record %d is not whole", next())
			}
			break
		}
		at += recordHead + len(body)
		c.records = append(c.records, record{body: bytes.Clone(body), end: int64(at)})
	}
	c.end = int64(at)
	most := next() + uint64(len(data)/recordHead) // more cannot have stood there
	behind := map[uint64][]byte{}
	last := uint64(0)
	for at := dataStart; at+recordHead <= len(data); at++ {
		number := binary.BigEndian.Uint64(data[at+8:])
		if number < next() || number > most {
			continue
		}
		if _, body, ok := recordAt(data, at); ok {
			behind[number], last = body, max(last, number)
			at += recordHead + len(body) - 1
		}
	}
	for number := next(); number <= last; number++ {
		c.damage = "some of its records are not whole"
		c.records = append(c.records, record{body: bytes.Clone(behind[number])})
	}
	return c, nil
}

// recordAt reads the record that begins there.
func recordAt(data []byte, at int) (number uint64, body []byte, ok bool) {
	if at < 0 || len(data)-at < recordHead {
		return 0, nil, false
	}
	n := int(binary.BigEndian.Uint32(data[at:]))
	if n > len(data)-at-recordHead || binary.BigEndian.Uint32(data[at+4:]) != crc32.Checksum(data[at+8:at+recordHead+n], castagnoli) {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(data[at+8:]), data[at+recordHead : at+recordHead+n], true
}

func zero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
