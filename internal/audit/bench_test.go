package audit

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
)

func BenchmarkEncode(b *testing.B) {
	r := aRecord()
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = Append(buf[:0], r); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecode(b *testing.B) {
	encoded, err := Encode(aRecord())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(encoded)))
	for b.Loop() {
		if _, err := Decode(encoded); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppend is the tree's part of sequencing, per record, in batches as a
// busy sequencer has them.
func BenchmarkAppend(b *testing.B) {
	leaves := make([]tlog.Hash, 1000)
	for i := range leaves {
		leaves[i] = leafOf(int64(i))
	}
	var tree Tree
	b.ReportAllocs()
	for b.Loop() {
		tree, _ = tree.Append(leaves...)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(tree.Size()), "ns/record")
}

// BenchmarkVerify is the whole of offline verification, per record, with a
// checkpoint every 100 records and three records to an entity.
func BenchmarkVerify(b *testing.B) {
	const n = 20_000
	l := newLog(b, 0)
	for i := range n {
		l.add(fmt.Sprintf("grt_01JQ%022d", i/3), int64(i%3+1))
	}
	var tree Tree
	for i, r := range l.rows {
		tree.add(nil, r.leaf)
		if (i+1)%100 == 0 {
			signed, err := SignCheckpoint(tree.Checkpoint(testOrigin), l.signer)
			if err != nil {
				b.Fatal(err)
			}
			l.points[int64(i+1)] = signed
		}
	}
	delete(l.points, 0)
	export := l.export()
	b.ReportAllocs()
	b.SetBytes(int64(len(export)))
	for b.Loop() {
		report, err := Verify(bytes.NewReader(export), l.key, nil)
		if err != nil || report.Types[access.GrantCreated] != n/4 {
			b.Fatal(report, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
}
