package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
)

const testOrigin = "stint/test" // Origin("test")

// testKey makes the same key pair from the same seed, so that golden files stay.
func testKey(tb testing.TB, name string, seed byte) (note.Signer, string) {
	tb.Helper()
	secret := bytes.Repeat([]byte{seed}, ed25519.SeedSize)
	public := ed25519.NewKeyFromSeed(secret).Public().(ed25519.PublicKey)
	verifier, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		tb.Fatal(err)
	}
	hash := strings.Split(verifier, "+")[1]
	signer, err := note.NewSigner("PRIVATE+KEY+" + name + "+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, secret...)))
	if err != nil {
		tb.Fatal(err)
	}
	return signer, verifier
}

// row is a record as a store keeps it.
type row struct {
	seq     int64
	leaf    tlog.Hash
	encoded []byte
}

// testLog is a log as a store keeps it: what a test bends, then exports.
type testLog struct {
	tb     testing.TB
	origin string
	signer note.Signer
	key    string
	header int64 // the size that the header promises
	rows   []row
	points map[int64][]byte // signed checkpoints by the size at which they stand
}

// newLog makes a log of n records of a few entities with checkpoints at the
// given sizes and at the end.
func newLog(tb testing.TB, n int, at ...int64) *testLog {
	tb.Helper()
	l := &testLog{tb: tb, origin: testOrigin, points: map[int64][]byte{}}
	l.signer, l.key = testKey(tb, testOrigin, 1)
	versions := map[string]int64{}
	for i := range n {
		// Records of about a third as many entities as there are records.
		entity := fmt.Sprintf("grt_01JQ%022d", i*i%(n/3+1))
		versions[entity]++
		l.add(entity, versions[entity])
	}
	l.sign(append(at, int64(n))...)
	return l
}

var testTypes = []access.EventType{access.GrantCreated, access.GrantActive, access.GrantEnding, access.GrantEnded}

// add appends a record.
func (l *testLog) add(entity string, version int64) {
	l.tb.Helper()
	n := len(l.rows)
	r := Record{ID: fmt.Sprintf("rec_01JQ%022d", n), Event: access.Event{
		Type: testTypes[n%len(testTypes)], At: time.UnixMilli(1767225600000 + int64(n)*1370).UTC(), Entity: entity, Version: version,
		Actor: access.Actor{Principal: "user:mira", Person: "mira", Device: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		Facts: map[string]string{"reason": "INC-" + fmt.Sprint(n) + " “look”\n", "resource": "orders-db", "role": "reader",
			"source": "policy.yaml:31", "documents": "7"},
	}}
	encoded, err := Encode(r)
	if err != nil {
		l.tb.Fatal(err)
	}
	l.rows = append(l.rows, row{int64(n), Leaf(encoded), encoded})
	l.header = int64(len(l.rows))
}

// at is the checkpoint of the first n records.
func (l *testLog) at(n int64) Checkpoint {
	var t Tree
	for _, r := range l.rows[:n] {
		t.add(nil, r.leaf)
	}
	return t.Checkpoint(l.origin)
}

// sign puts checkpoints of what stands there now.
func (l *testLog) sign(sizes ...int64) {
	l.tb.Helper()
	for _, n := range sizes {
		signed, err := SignCheckpoint(l.at(n), l.signer)
		if err != nil {
			l.tb.Fatal(err)
		}
		l.points[n] = signed
	}
}

// renumber makes rows dense again, as one would to hide a change of their number.
func (l *testLog) renumber() {
	for i := range l.rows {
		l.rows[i].seq = int64(i)
	}
	l.header = int64(len(l.rows))
}

// rewrite changes a record, and its leaf with it.
func (l *testLog) rewrite(seq int64, change func(*access.Event)) {
	l.tb.Helper()
	r, err := Decode(l.rows[seq].encoded)
	if err != nil {
		l.tb.Fatal(err)
	}
	change(&r.Event)
	encoded, err := Encode(r)
	if err != nil {
		l.tb.Fatal(err)
	}
	l.rows[seq].encoded, l.rows[seq].leaf = encoded, Leaf(encoded)
}

// export writes what is there, checkpoints after as many rows as their key says.
func (l *testLog) export() []byte {
	l.tb.Helper()
	var b bytes.Buffer
	e := NewExporter(&b, l.origin, l.header)
	point := func(n int) {
		if signed, ok := l.points[int64(n)]; ok {
			if err := e.Checkpoint(signed); err != nil {
				l.tb.Fatal(err)
			}
		}
	}
	point(0)
	for i, r := range l.rows {
		if err := e.Record(r.seq, r.leaf, r.encoded); err != nil {
			l.tb.Fatal(err)
		}
		point(i + 1)
	}
	if err := e.Close(); err != nil {
		l.tb.Fatal(err)
	}
	return b.Bytes()
}

// moved makes the checkpoints after seq stand d rows further on. Where two
// would then stand in one place, the later one does.
func (l *testLog) moved(seq, d int64) {
	points := map[int64][]byte{}
	for _, n := range l.sizes() {
		if n > seq {
			points[n+d] = l.points[n]
		} else {
			points[n] = l.points[n]
		}
	}
	l.points = points
}

// randomLog is a log with checkpoints at random places.
func randomLog(tb testing.TB, rnd *rand.Rand) *testLog {
	n := 2 + rnd.IntN(40)
	var at []int64
	for i := int64(1); i < int64(n); i++ {
		if rnd.IntN(6) == 0 {
			at = append(at, i)
		}
	}
	return newLog(tb, n, at...)
}

// sizes are where checkpoints stand, in order.
func (l *testLog) sizes() []int64 {
	var out []int64
	for n := range l.points {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}
