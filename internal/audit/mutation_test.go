package audit

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stint/internal/access"
)

// verdict is what must be said of a mutation: that the first bad record is
// among a range that contains seq and lies within first and last.
type verdict struct{ first, seq, last int64 }

func exactly(seq int64) verdict { return verdict{seq, seq, seq} }

// somewhere is the verdict on what does not determine a record.
func somewhere() verdict { return verdict{NoRecord, NoRecord, math.MaxInt64} }

func (v verdict) agrees(d *Damage) bool {
	if v == somewhere() {
		return true
	}
	return v.first <= d.Seq && d.Seq <= v.seq && v.seq <= d.Last && d.Last <= v.last
}

// text is an export taken apart into lines, with what each line is.
type text struct {
	lines [][]byte // without line breaks
	seq   []int64  // of the record, or NoRecord
	point []bool   // a checkpoint
	size  int64
}

func textOf(l *testLog) *text {
	t := &text{size: int64(len(l.rows))}
	seq := int64(0)
	for line := range bytes.SplitSeq(bytes.TrimSuffix(l.export(), []byte("\n")), []byte("\n")) {
		n, point := int64(NoRecord), bytes.HasPrefix(line, []byte(`{"checkpoint"`))
		if bytes.HasPrefix(line, []byte(`{"seq"`)) {
			n = seq
			seq++
		}
		t.lines, t.seq, t.point = append(t.lines, bytes.Clone(line)), append(t.seq, n), append(t.point, point)
	}
	return t
}

func (t *text) bytes() []byte { return append(bytes.Join(t.lines, []byte("\n")), '\n') }

// before counts the records above a line: the one that should come next there.
func (t *text) before(line int) (n int64) {
	for _, seq := range t.seq[:line] {
		if seq != NoRecord {
			n++
		}
	}
	return n
}

// verdictOn is what to say when a line itself is damaged: its record, or none.
func (t *text) verdictOn(line int) verdict {
	switch {
	case t.seq[line] != NoRecord, t.point[line]:
		return exactly(t.seq[line])
	}
	return somewhere() // the header
}

// between is where record seq may be if only checkpoints show that it is bad:
// after the last one that is good and before the next one. A missing or an
// additional record makes that one more.
func between(l *testLog, seq int64) verdict {
	v := verdict{0, seq, int64(len(l.rows))}
	for _, n := range slices.Backward(l.sizes()) {
		if n > seq {
			v.last = n
		} else if c, err := OpenCheckpoint(l.points[n], l.key); err == nil && c.Size == n {
			v.first = max(v.first, n)
		}
	}
	return v
}

// A mutation makes something else of an export and says what must be found.
type mutation struct {
	name string
	make func(*testLog, *rand.Rand) ([]byte, verdict)
}

var mutations = []mutation{
	{"flip a bit", func(l *testLog, rnd *rand.Rand) ([]byte, verdict) {
		t := textOf(l)
		out := t.bytes()
		i := rnd.IntN(len(out))
		line := bytes.Count(out[:i], []byte("\n"))
		out[i] ^= 1 << rnd.IntN(8)
		return out, t.verdictOn(line)
	}},
	{"put another byte", func(l *testLog, rnd *rand.Rand) ([]byte, verdict) {
		t := textOf(l)
		out := t.bytes()
		i := rnd.IntN(len(out))
		line := bytes.Count(out[:i], []byte("\n"))
		if out[i] == '\n' {
			out[i] = ' '
		} else {
			out[i] ^= byte(1 + rnd.IntN(255))
		}
		v := t.verdictOn(line)
		if out[i] == '\n' {
			v = somewhere() // the line is two now; which of them is which may not show
		}
		return out, v
	}},
	{"insert a byte", func(l *testLog, rnd *rand.Rand) ([]byte, verdict) {
		t := textOf(l)
		line := rnd.IntN(len(t.lines))
		i := rnd.IntN(len(t.lines[line]) + 1)
		t.lines[line] = slices.Insert(t.lines[line], i, byte(' '+rnd.IntN(95)))
		return t.bytes(), t.verdictOn(line)
	}},
	{"delete a byte", func(l *testLog, rnd *rand.Rand) ([]byte, verdict) {
		t := textOf(l)
		line := rnd.IntN(len(t.lines))
		i := rnd.IntN(len(t.lines[line]))
		t.lines[line] = slices.Delete(t.lines[line], i, i+1)
		return t.bytes(), t.verdictOn(line)
	}},
	{"delete a line", func(l *testLog, rnd *rand.Rand) ([]byte, verdict) {
		t := textOf(l)
		line := rnd.IntN(len(t.lines))
		v := somewhere()
		if seq := t.seq[line]; seq != NoRecord {
			v = exactly(seq)
			if t.point[line+1] {
				v = between(l, seq) // it could be any up to the checkpoint
			}
		} else if t.point[line] {
			v = exactly(NoRecord)
		}
		t.lines = slices.Delete(t.lines, line, line+1)
		return t.bytes(), v
	}},
	{"double a line", func(l *testLog, rnd *rand.Rand) ([]byte, verdict) {
		t := textOf(l)
		line := rnd.IntN(len(t.lines))
		to := line + 1 + rnd.IntN(len(t.lines)-line)
		v := somewhere()
		if t.seq[line] != NoRecord {
			v = exactly(t.before(to))
		} else if t.point[line] {
			v = exactly(NoRecord)
		}
		t.lines = slices.Insert(t.lines, to, t.lines[line])
		return t.bytes(), v
	}},
	{"swap two lines", func(l *testLog, rnd *rand.Rand) ([]byte, verdict) {
		t := textOf(l)
		i := rnd.IntN(len(t.lines) - 1)
		j := i + 1 + rnd.IntN(len(t.lines)-i-1)
		v := somewhere()
		if t.seq[i] != NoRecord && t.seq[j] != NoRecord {
			v = exactly(t.seq[i])
		} else if t.seq[i] != NoRecord {
			v = between(l, t.seq[i])
		}
		t.lines[i], t.lines[j] = t.lines[j], t.lines[i]
		return t.bytes(), v
	}},
	{"truncate", func(l *testLog, rnd *rand.Rand) ([]byte, verdict) {
		t := textOf(l)
		out := t.bytes()
		cut := rnd.IntN(len(out))
		line := bytes.Count(out[:cut], []byte("\n"))
		if line == 0 {
			return out[:cut], somewhere()
		}
		if n := t.before(line); n < t.size {
			return out[:cut], exactly(n)
		}
		return out[:cut], exactly(NoRecord)
	}},
	{"edit a record", func(l *testLog, rnd *rand.Rand) ([]byte, verdict) {
		seq := rnd.Int64N(int64(len(l.rows)))
		leaf := l.rows[seq].leaf
		l.rewrite(seq, forge(rnd))
		l.rows[seq].leaf = leaf
		return l.export(), exactly(seq)
	}},
	{"edit a record and its hash", func(l *testLog, rnd *rand.Rand) ([]byte, verdict) {
		seq := rnd.Int64N(int64(len(l.rows)))
		l.rewrite(seq, forge(rnd))
		return l.export(), between(l, seq)
	}},
	{"remove a record and renumber", func(l *testLog, rnd *rand.Rand) ([]byte, verdict) {
		seq := rnd.Int64N(int64(len(l.rows)))
		l.rows = slices.Delete(l.rows, int(seq), int(seq)+1)
		l.renumber()
		l.moved(seq, -1)
		return l.export(), between(l, seq)
	}},
	{"insert a record and renumber", func(l *testLog, rnd *rand.Rand) ([]byte, verdict) {
		seq := rnd.Int64N(int64(len(l.rows)))
		l.rows = slices.Insert(l.rows, int(seq), l.rows[seq])
		l.rewrite(seq, func(e *access.Event) { e.Entity, e.Version = "user:eve", 1 })
		l.renumber()
		l.moved(seq, 1)
		return l.export(), between(l, seq)
	}},
	{"swap records with their hashes", func(l *testLog, rnd *rand.Rand) ([]byte, verdict) {
		i := rnd.IntN(len(l.rows) - 1)
		j := i + 1 + rnd.IntN(len(l.rows)-i-1)
		l.rows[i], l.rows[j] = l.rows[j], l.rows[i]
		l.renumber()
		return l.export(), between(l, int64(i))
	}},
	{"rewrite the header", func(l *testLog, rnd *rand.Rand) ([]byte, verdict) {
		switch size := int64(len(l.rows)); rnd.IntN(4) {
		case 0:
			l.origin = "stint/other"
		case 1:
			l.header = rnd.Int64N(size)
			return l.export(), exactly(l.header)
		case 2:
			l.header = size + 1 + rnd.Int64N(1<<40)
			return l.export(), exactly(size)
		case 3:
			t := textOf(l)
			t.lines[0] = bytes.Replace(t.lines[0], []byte(`"from":0`), []byte(`"from":`+strconv.Itoa(1+rnd.IntN(9))), 1)
			return t.bytes(), exactly(NoRecord)
		}
		return l.export(), exactly(NoRecord)
	}},
	{"another signer", func(l *testLog, rnd *rand.Rand) ([]byte, verdict) {
		l.signer, _ = testKey(l.tb, testOrigin, 77)
		sizes := l.sizes()
		l.sign(sizes[rnd.IntN(len(sizes))])
		return l.export(), exactly(NoRecord)
	}},
	{"another's history, signed by another", func(l *testLog, rnd *rand.Rand) ([]byte, verdict) {
		l.rewrite(rnd.Int64N(int64(len(l.rows))), forge(rnd))
		l.signer, _ = testKey(l.tb, testOrigin, 77)
		l.sign(l.sizes()...)
		return l.export(), somewhere()
	}},
}

// forge changes one thing about an event.
func forge(rnd *rand.Rand) func(*access.Event) {
	return func(e *access.Event) {
		switch rnd.IntN(6) {
		case 0:
			e.Actor.Person = "mara"
		case 1:
			e.Type = access.GrantExtended
		case 2:
			e.At = e.At.Add(1e6)
		case 3:
			e.Version += 1 + rnd.Int64N(4)
		case 4:
			e.Entity = "grt_other"
		case 5:
			e.Facts["reason"] = strings.Repeat("x", rnd.IntN(200))
		}
	}
}

// TestMutations makes 1,600 mutations of random logs, and every one must be
// found, at the right record where the mutation determines it.
func TestMutations(t *testing.T) {
	const rounds = 100
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			for seed := range uint64(rounds) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				l := randomLog(t, rnd)
				clean := l.export()
				if _, err := Verify(bytes.NewReader(clean), l.key, nil); err != nil {
					t.Fatalf("seed %d: before the mutation: %v", seed, err)
				}
				key := l.key
				out, want := m.make(l, rnd)
				if bytes.Equal(out, clean) {
					t.Fatalf("seed %d: nothing was mutated", seed)
				}
				d := damage(t, out, key, nil)
				if !want.agrees(d) {
					t.Errorf("seed %d: want %+v, got %v", seed, want, d)
				}
			}
		})
	}
}
