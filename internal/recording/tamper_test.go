package recording

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// busy makes a recording of many chunks with seals in between.
func busy(t testing.TB, k keyring, name string) ([]byte, Anchor) {
	return sample(t, k, name, func(w *Writer) {
		put(t, w, 0, Start{[]Fact{{FactSession, name}}})
		for i := range 12 {
			put(t, w, 1, Output{fmt.Appendf(nil, "line %d of %s\r\n", i, name)})
			if i%4 == 3 {
				w.seal(t)
			}
		}
	})
}

// seal has a seal written now.
func (w *Writer) seal(t testing.TB) {
	t.Helper()
	asked := false
	for ctx := quick(t); ctx.Err() == nil; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		sealed := false
		if !w.busy { // else what follows is the loop's
			if sealed = w.unsealed.IsZero(); !sealed && !asked {
				w.unsealed, asked = time.Now().Add(-time.Hour), true
				w.wakeLoop()
			}
		}
		w.mu.Unlock()
		if sealed {
			return
		}
	}
	t.Fatal("no seal")
}

// spans are where the head and the frames stand.
func spans(t testing.TB, b []byte) (out [][2]int) {
	t.Helper()
	fs, err := newFrames(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	at := int(fs.offset)
	out = append(out, [2]int{0, at})
	for {
		if _, err := fs.next(); err != nil {
			break
		}
		out = append(out, [2]int{at, int(fs.offset)})
		at = int(fs.offset)
	}
	if at != len(b) {
		t.Fatalf("%d of %d bytes are frames", at, len(b))
	}
	return out
}

// relink makes the links of all frames right again, as whoever can write the file can.
func relink(b []byte) []byte {
	b = slices.Clone(b)
	h := headFixed + int(b[headFixed-1])
	link := headLink(b[:h])
	copy(b[h:], link[:])
	for at, n := h+linkSize, uint64(1); at+frameHead <= len(b); n++ {
		binary.BigEndian.PutUint64(b[at+1:], n)
		end := at + frameHead + int(binary.BigEndian.Uint32(b[at+9:]))
		if end+linkSize > len(b) {
			break
		}
		link = linkOf(link, b[at:end])
		copy(b[end:], link[:])
		at = end + linkSize
	}
	return b
}

// TestEveryTamperingIsFound: whatever is done to the bytes, they do not verify, with the key and,
// but for what only it can see, without.
func TestEveryTamperingIsFound(t *testing.T) {
	k := newKeyring(t)
	a, anchor := busy(t, k, "ses_a")
	b, _ := busy(t, k, "ses_b")
	sa, sb := spans(t, a), spans(t, b)
	if len(sa) < 16 {
		t.Fatalf("%d frames are too few", len(sa))
	}
	if _, err := Verify(t.Context(), bytes.NewReader(a), k.trust(), k.opener); err != nil {
		t.Fatal(err)
	}
	piece := func(i int) []byte { return a[sa[i][0]:sa[i][1]] }
	join := func(order ...[]byte) []byte { return bytes.Join(order, nil) }
	all := func(f func(i int) [][]byte) (out []byte) {
		for i := range sa {
			out = append(out, join(f(i)...)...)
		}
		return out
	}
	// Each says the first frame that is not right, or may be: seals find later what links were made right over.
	type tampered struct {
		bytes []byte
		frame int // -1: any
	}
	cases := map[string]tampered{}
	for i := range sa {
		flipped := slices.Clone(a)
		flipped[(sa[i][0]+sa[i][1])/2] ^= 1
		cases[fmt.Sprint("flip in ", i)] = tampered{flipped, i}
		cases[fmt.Sprint("flip in ", i, " linked")] = tampered{relink(flipped), -1}
		if i == 0 {
			continue
		}
		dropped := all(func(j int) [][]byte {
			if j == i {
				return nil
			}
			return [][]byte{piece(j)}
		})
		cases[fmt.Sprint("drop ", i)] = tampered{dropped, i}
		cases[fmt.Sprint("drop ", i, " linked")] = tampered{relink(dropped), -1}
		cases[fmt.Sprint("cut before ", i)] = tampered{a[:sa[i][0]], i}
		cases[fmt.Sprint("cut in ", i)] = tampered{a[:sa[i][1]-1], i}
		twice := all(func(j int) [][]byte {
			if j == i {
				return [][]byte{piece(j), piece(j)}
			}
			return [][]byte{piece(j)}
		})
		cases[fmt.Sprint("twice ", i)] = tampered{twice, i + 1}
		cases[fmt.Sprint("twice ", i, " linked")] = tampered{relink(twice), -1}
		if i+1 < len(sa) {
			swapped := all(func(j int) [][]byte {
				switch j {
				case i:
					return [][]byte{piece(i + 1)}
				case i + 1:
					return [][]byte{piece(i)}
				}
				return [][]byte{piece(j)}
			})
			cases[fmt.Sprint("swap ", i)] = tampered{swapped, i}
			cases[fmt.Sprint("swap ", i, " linked")] = tampered{relink(swapped), -1}
		}
		if i < len(sb) {
			foreign := all(func(j int) [][]byte {
				if j == i {
					return [][]byte{b[sb[i][0]:sb[i][1]]}
				}
				return [][]byte{piece(j)}
			})
			cases[fmt.Sprint("splice ", i)] = tampered{foreign, i}
			cases[fmt.Sprint("splice ", i, " linked")] = tampered{relink(foreign), -1}
		}
	}
	cases["another's head"] = tampered{join(b[:sb[0][1]], a[sa[0][1]:]), 1}
	cases["another's head linked"] = tampered{relink(join(b[:sb[0][1]], a[sa[0][1]:])), -1}
	cases["more behind it"] = tampered{join(a, []byte{0}), len(sa)}
	cases["a whole frame behind it"] = tampered{relink(join(a, piece(1))), len(sa)}
	cases["last chunk of another"] = tampered{relink(join(a[:sa[len(sa)-1][0]], b[sb[len(sb)-1][0]:])), -1}
	cases["nothing"] = tampered{nil, 0}
	for name, c := range cases {
		_, err := Verify(t.Context(), bytes.NewReader(c.bytes), k.trust(), k.opener)
		var d *Damage
		if !errors.As(err, &d) || c.frame >= 0 && d.Frame != uint64(c.frame) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Verify(t.Context(), bytes.NewReader(c.bytes), k.trust()); err == nil {
			t.Errorf("%s: it verifies without the key", name)
		}
		if err != nil && !strings.Contains(err.Error(), "chunk") && !strings.Contains(err.Error(), "head") {
			t.Errorf("%s: it does not say where: %v", name, err)
		}
	}
	t.Logf("%d ways of tampering found", len(cases))

	// Rolled back to a seal in between, and read as one that is being written: the audit log knows more.
	live := k.trust()
	live.Live, live.Anchor = true, &anchor
	for i := 1; i < len(sa); i++ {
		if _, err := Verify(t.Context(), bytes.NewReader(a[:sa[i][0]]), live); err == nil {
			t.Errorf("rolled back to %d: it verifies", i)
		}
	}
	// Replaced as a whole by who has the signing key.
	c, _ := sample(t, k, "ses_a", func(w *Writer) { put(t, w, 0, Note{"nothing", "happened"}) })
	for _, x := range [][]byte{c, b} {
		trust := k.trust()
		trust.Anchor = &anchor
		if _, err := Verify(t.Context(), bytes.NewReader(x), trust, k.opener); err == nil {
			t.Error("replaced as a whole: it verifies")
		}
	}
	trust := k.trust()
	trust.Name = "ses_a"
	if _, err := Verify(t.Context(), bytes.NewReader(b), trust, k.opener); err == nil {
		t.Error("it passes for another session's")
	}
}

// TestRandomTamperingIsFound: random changes of real files.
func TestRandomTamperingIsFound(t *testing.T) {
	k := newKeyring(t)
	a, _ := busy(t, k, "ses_a")
	other, _ := busy(t, k, "ses_b")
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		b := slices.Clone(a)
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
			n := rapid.IntRange(1, min(200, len(b)-at)).Draw(t, "length")
			from := rapid.IntRange(0, len(other)-n).Draw(t, "from")
			switch rapid.SampledFrom([]string{"flip", "drop", "copy", "insert", "zero", "cut"}).Draw(t, "how") {
			case "flip":
				b[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			case "drop":
				b = slices.Delete(b, at, at+n)
			case "copy":
				copy(b[at:], other[from:from+n])
			case "insert":
				b = slices.Insert(b, at, other[from:from+n]...)
			case "zero":
				clear(b[at : at+n])
			case "cut":
				b = b[:at]
			}
			if len(b) == 0 {
				break
			}
		}
		if rapid.Bool().Draw(t, "linked") && len(b) > headFixed && len(b) > headFixed+int(b[headFixed-1])+linkSize {
			b = relink(b)
		}
		if bytes.Equal(a, b) {
			return
		}
		found++
		for _, openers := range [][]*Opener{{k.opener}, nil} {
			if _, err := Verify(context.Background(), bytes.NewReader(b), k.trust(), openers...); err == nil {
				t.Fatalf("it verifies with %d keys", len(openers))
			}
		}
	})
	t.Logf("%d changed recordings, all found", found)
}

// TestDamageBeforeARestartStays: what is damaged in the middle is no work of a crash. Nothing of it is taken away,
// and it still shows after the gateway has sealed the recording.
func TestDamageBeforeARestartStays(t *testing.T) {
	k := newKeyring(t)
	a, _ := busy(t, k, "a")
	sp := spans(t, a)
	for range 20 {
		i := 1 + rand.IntN(len(sp)-3)
		b := slices.Clone(a[:sp[len(sp)-1][0]]) // without the final seal
		b[(sp[i][0]+sp[i][1])/2] ^= 1
		dir := t.TempDir()
		writeFile(t, dir, "a"+partSuffix, b)
		s, recovered := k.open(t, dir)
		if len(recovered) != 1 || recovered[0].Damaged != uint64(i) || recovered[0].Cut != 0 || recovered[0].Err != nil {
			t.Fatalf("%d: %+v", i, recovered)
		}
		var d *Damage
		if _, _, err := records(t, finished(t, s, "a"), k.trust(), k.opener); !errors.As(err, &d) || d.Frame != uint64(i) {
			t.Errorf("%d: %v", i, err)
		}
	}
}
