package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The file, all integers big-endian:
//
//	0     head, 64 bytes: magic 8 · generation 8 · id 16 · first 8 · start 8 · zero 12 · crc 4
//	512   the other head; they take turns, and the greater generation counts
//	4096  records, one after the other: length 4 · crc 4 · number 8 · body
//
// A record's checksum covers its number and its body. Zeros follow the last one.
// They end the reading, as half a record does, and so does what is left of an
// earlier turn, whose numbers are smaller. Another format gets another magic.
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

var errNoJournal = errors.New("it is not a journal of Stint")

// readAll reads the newest head and the records that follow it, in order, up to
// the first that is not whole. end is where the next one goes.
func readAll(f io.ReaderAt, size int64) (h head, records []record, end int64, err error) {
	b := make([]byte, headSize)
	found := false
	for _, at := range []int64{0, otherHead} {
		if _, err := f.ReadAt(b, at); err != nil {
			return h, nil, 0, fmt.Errorf("read the head: %w", err)
		}
		if x, ok := decodeHead(b); ok && (!found || x.generation > h.generation) {
			h, found = x, true
		}
	}
	if !found || h.start > size {
		return h, nil, 0, errNoJournal
	}
	data := make([]byte, size-h.start)
	if _, err := io.ReadFull(io.NewSectionReader(f, h.start, int64(len(data))), data); err != nil {
		return h, nil, 0, fmt.Errorf("read the records: %w", err)
	}
	at := 0
	for number := h.first; len(data)-at >= recordHead; number++ {
		n := int(binary.BigEndian.Uint32(data[at:]))
		if n > len(data)-at-recordHead || binary.BigEndian.Uint64(data[at+8:]) != number ||
			binary.BigEndian.Uint32(data[at+4:]) != crc32.Checksum(data[at+8:at+recordHead+n], castagnoli) {
			break
		}
		body := bytes.Clone(data[at+recordHead : at+recordHead+n])
		at += recordHead + n
		records = append(records, record{body: body, end: h.start + int64(at)})
	}
	return h, records, h.start + int64(at), nil
}
