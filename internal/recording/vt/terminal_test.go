package vt

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// screen shows bytes on a terminal of 10 by 4 and gives its text, with | between lines.
func screen(s string) string {
	t := New(10, 4)
	_, _ = t.Write([]byte(s))
	return strings.TrimRight(strings.ReplaceAll(t.Frame().Text(), "\n", "|"), "|")
}

func TestScreen(t *testing.T) {
	for in, want := range map[string]string{
		"hello\r\nworld":                     "hello|world",
		"0123456789ab":                       "0123456789|ab",
		"0123456789\r\nab":                   "0123456789|ab",
		"\x1b[?7l0123456789ab":               "012345678b",
		"1\r\n2\r\n3\r\n4\r\n5":              "2|3|4|5",
		"ab\bc":                              "ac",
		"a\tb":                               "a       b",
		"\x1b[3g\x1b[4G\x1bH\ra\tb":          "a  b",
		"a\t\x1b[Zb":                         "b",
		"\x1b[2;3Hx\x1b[Ay\x1b[2Bz":          "   y|  x|    z",
		"\x1b[99;99Hx\x1b[99D\x1b[99Ay":      "y|||         x",
		"abc\x1b[2Dx\x1b[Cy":                 "axcy",
		"abcdef\x1b[4G\x1b[K":                "abc",
		"abcdef\x1b[4G\x1b[1K":               "    ef",
		"abcdef\x1b[2K":                      "",
		"a\r\nb\r\nc\x1b[2;1H\x1b[J":         "a",
		"a\r\nb\r\nc\x1b[2;1H\x1b[1J":        "||c",
		"a\r\nb\x1b[2Jc":                     "| c",
		"abcdef\x1b[2G\x1b[2P":               "adef",
		"abcdef\x1b[2G\x1b[2@":               "a  bcdef",
		"abcdef\x1b[2G\x1b[2X":               "a  def",
		"\x1b[4habc\rx":                      "xabc",
		"ab\x1b[3b":                          "abbbb",
		"1\r\n2\r\n3\x1b[2H\x1b[L":           "1||2|3",
		"1\r\n2\r\n3\x1b[2H\x1b[M":           "1|3",
		"1\r\n2\r\n3\r\n4\x1b[2S":            "3|4",
		"1\r\n2\r\n3\r\n4\x1b[2T":            "||1|2",
		"1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[3H\n": "1|3||4",
		"1\r\n2\x1b[H\x1bMx":                 "x|1|2",
		"1\x1bE2\x1bD3":                      "1|2| 3",
		"\x1b[2;3r\x1b[?6hx":                 "|x",
		"\x1b[2;3r\x1b[?6h\x1b[9Hx":          "||x",
		"a\x1b7\r\nb\x1b8c":                  "ac|b",
		"a\x1b[s\r\nb\x1b[uc":                "ac|b",
		"main\x1b[?1049hvi\x1b[?1049l!":      "main!",
		"main\x1b[?1049hvi":                  "    vi",
		"\x1b#8\x1b[2J":                      "",
		"\x1b(0lqk\x1b(Bx":                   "┌─┐x",
		"\x1b)0a\x0eq\x0fq":                  "a─q",
		"日本":                                 "日本",
		"日\x1b[2Gx":                          " x",
		"日\x1b[1Gx":                          "x",
		"12345678\x1b[9G日本":                  "12345678日|本",
		"e\u0301\u0302\u0303x":               "e\u0301\u0302x",
		"\u0301x":                            "x",
		"\x1bcx":                             "x",
		"\x1b[31mred\x1b[m":                  "red",
		// What hides, answers or reaches out of the screen.
		"a\x1b]0;title\x07b":                            "ab",
		"a\x1b]8;;http://evil/\x1b\\link\x1b]8;;\x1b\\": "alink",
		"a\x1b]52;c;aGk=\x07b":                          "ab",
		"a\x1bP$q\"p\x1b\\b":                            "ab",
		"a\x1b_x\x1b\\\x1b^y\x1b\\\x1bXz\x1b\\b":        "ab",
		"a\x1b]0;x\x1b[31mb":                            "ab", // broken off by another sequence
		"a\x1b]0;x\x18b":                                "ab",
		"a\x1b[c\x1b[6n\x1b[>c\x1b[8;50;50tb":           "ab",
		"a\x1b[31\x18b":                                 "ab",
		"a\x1b[3\x1b[31mb":                              "ab",
		"a\x1b[1 qb\x1b[?$pc":                           "abc",
		"a\u009b31mb":                                   "a\ufffd31mb",
		"a\x9b31mb":                                     "a\ufffd31mb",
		"a\u202eb\u2066c\u200ed":                        "a\ufffdb\ufffdc\ufffdd",
		"a\u200bb\ufeffc":                               "abc",
		"a\xffb\xe2\x82c":                               "a\ufffdb\ufffd\ufffdc",
		"\xe2\x82\x1b[31mx":                             "\ufffd\ufffdx",
		"a\U000e0041b\u2028c":                           "a\ufffdb\ufffdc",
		"a\x1b[99999999999999999999Cb":                  "a        b",
		"a\x1b[" + strings.Repeat("1;", 1000) + "mb":    "ab",
		"a\x1b[99999999999S\x1b[999999999bb":            " aaaaaaaaa|ab",
		"\x07\x00\x7fa":                                 "a",
	} {
		if got := screen(in); got != want {
			t.Errorf("%q:\n%q, want\n%q", in, got, want)
		}
	}
}

// TestNewline: what is written into a pipe has lines, too.
func TestNewline(t *testing.T) {
	x := New(10, 4)
	x.Newline(true)
	_, _ = x.Write([]byte("\x1bcone\ntwo\r\nthree\x1b[20l\nfour"))
	if got := x.Frame().Text(); got != "one\ntwo\nthree\nfour" && got != "one\ntwo\nthree\nfour\n" {
		t.Errorf("%q", got)
	}
	x.Newline(false)
	_, _ = x.Write([]byte("\x1bcone\ntwo"))
	if got := strings.TrimRight(x.Frame().Text(), "\n"); got != "one\n   two" {
		t.Errorf("%q", got)
	}
}

func TestStyle(t *testing.T) {
	for in, want := range map[string]Style{
		"\x1b[1;3;4;7;9;31;42mx":                {2, 3, Bold | Italic | Underline | Inverse | Struck},
		"\x1b[1;2;22mx":                         {},
		"\x1b[38;5;200;48;5;7mx":                {201, 8, 0},
		"\x1b[38;2;1;2;3mx":                     {rgb | 1<<16 | 2<<8 | 3, 0, 0},
		"\x1b[38:2::1:2:3mx":                    {rgb | 1<<16 | 2<<8 | 3, 0, 0},
		"\x1b[38:2:1:2:3;1mx":                   {rgb | 1<<16 | 2<<8 | 3, 0, Bold},
		"\x1b[38;5;300;1mx":                     {0, 0, Bold},
		"\x1b[38;2;300;1;1;1mx":                 {0, 0, Bold},
		"\x1b[91;104mx":                         {10, 13, 0},
		"\x1b[31;41m\x1b[39;49mx":               {},
		"\x1b[4:3mx":                            {0, 0, Underline},
		"\x1b[4m\x1b[4:0mx":                     {},
		"\x1b[58;5;1;1mx":                       {0, 0, Bold},
		"\x1b[31m\x1b[!px":                      {},
		"\x1b[38mx":                             {},
		"\x1b[1m\x1b[mx":                        {},
		"\x1b[999;5mx":                          {0, 0, Blink},
		"\x1b[>4;2m\x1b[?4mx":                   {},
		"\x1b[31m\x1b7\x1b[32m\x1b8\x1b[1mx":    {2, 0, Bold},
		"\x1b[31m\x1b[?1049h\x1b[?1049l\rx\x1b": {2, 0, 0},
	} {
		term := New(10, 4)
		_, _ = term.Write([]byte(in))
		line := term.Frame().Lines[0]
		if len(line) != 1 || line[0].Text != "x" || line[0].Style != want {
			t.Errorf("%q: %+v, want %+v", in, line, want)
		}
	}
	if r, g, b, ok := (rgb | 1<<16 | 2<<8 | 3).RGB(); r != 1 || g != 2 || b != 3 || !ok {
		t.Error(r, g, b, ok)
	}
	if n, ok := Color(1).Palette(); n != 0 || !ok {
		t.Error(n, ok)
	}
	if _, ok := Color(0).Palette(); ok {
		t.Error("the default is none of the palette")
	}
}

// TestWideRuns: how many cells a run takes.
func TestWideRuns(t *testing.T) {
	term := New(10, 2)
	_, _ = term.Write([]byte("a日e\u0301"))
	if got := fmt.Sprint(term.Frame().Lines[0]); got != "[{a日e\u0301 4 {0 0 0}}]" {
		t.Error(got)
	}
}

func TestResize(t *testing.T) {
	term := New(10, 4)
	_, _ = term.Write([]byte("1\r\n2\r\n3\r\n日本語文字"))
	term.Resize(3, 2)
	if got := term.Frame().Text(); got != "3\n日" {
		t.Errorf("%q", got)
	}
	_, _ = term.Write([]byte("\x1b[?1049h"))
	term.Resize(1<<30, -5)
	if c, r := term.Size(); c != MaxColumns || r != 1 {
		t.Error(c, r)
	}
	_, _ = term.Write([]byte("日\x1b[?1049l日\n\n"))
	term.Resize(1, 1)
	_, _ = term.Write([]byte("日"))
	if got := term.Frame().Text(); got != "\ufffd" {
		t.Errorf("%q", got)
	}
}

// TestEndlessString: what does not end hides so much and no more.
func TestEndlessString(t *testing.T) {
	for _, begin := range []string{"\x1b]0;", "\x1bP", "\x1b_", "\x1b^", "\x1bX"} {
		term := New(80, 24)
		_, _ = term.Write([]byte(begin + strings.Repeat("x", maxText) + "\r\nrm -rf /"))
		if got := term.Frame().Text(); !strings.Contains(got, "rm -rf /") {
			t.Errorf("%q hides what follows", begin)
		}
	}
}

// harmless insists on invariant 1.
func harmless(t testing.TB, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Fatalf("%q is no UTF-8", text)
	}
	for _, r := range text {
		if r == '\n' || r == ' ' {
			continue
		}
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Cs) || noncharacter(r) {
			t.Fatalf("%U gets out", r)
		}
	}
}

// pieces shows the same bytes in one piece and in many, and insists on the same screen.
func pieces(t testing.TB, b []byte, columns, rows int, cuts uint64) {
	t.Helper()
	whole, cut := New(columns, rows), New(columns, rows)
	_, _ = whole.Write(b)
	r := rand.New(rand.NewPCG(cuts, 1))
	for rest := b; len(rest) > 0; {
		n := 1 + r.IntN(min(len(rest), 7))
		_, _ = cut.Write(rest[:n])
		rest = rest[n:]
	}
	// A character that is cut at the very end is not yet shown, whichever way.
	if a, b := fmt.Sprint(whole.Frame()), fmt.Sprint(cut.Frame()); a != b {
		t.Fatalf("in one piece\n%s\nand in many\n%s", a, b)
	}
	harmless(t, whole.Frame().Text())
	for y := range whole.rows {
		line := whole.lines[y].all()
		for x, c := range line {
			if c.r == behind && (x == 0 || line[x-1].r <= 0) {
				t.Fatalf("half of a wide character at %d, %d", x, y)
			}
		}
	}
	var lines []string
	s := Stripper{Line: func(l string) { lines = append(lines, l) }}
	_, _ = s.Write(b)
	s.Flush()
	for _, l := range lines {
		harmless(t, l)
		if strings.ContainsAny(l, "\n") || utf8.RuneCountInString(l) > maxLine+1 {
			t.Fatalf("%q is no line", l)
		}
	}
}

func FuzzTerminal(f *testing.F) {
	for _, s := range []string{"\x1b[31mred\x1b[0m\r\n", "\x1b[?1049h\x1b[2J\x1b[5;5H日本\x1b[K\x1b[?1049l", "\x1b]8;;x\x1b\\y\x1b]8;;\x07", "\x1b[2;3r\x1b[?6h\x1b[L\x1b[M\x1b[4h\x1b[@",
		"\xe2\x82\xe2\x82\xac\u202e\u009b", "\x1b[38:2::1:2:3m\x1b[58;5;1m", "\x1b(0lqqk\x0e\x0f", "\x1b[9999999;999999999H\x1b[99999b"} {
		f.Add([]byte(s), uint16(10), uint16(4), uint64(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, columns, rows uint16, cuts uint64) {
		if len(b) > 4096 {
			return
		}
		pieces(t, b, 1+int(columns)%40, 1+int(rows)%20, cuts)
	})
}

// TestHostileBytes: random streams of pieces that do something.
func TestHostileBytes(t *testing.T) {
	parts := []string{"\x1b", "[", "]", "P", "0", "1", "99", ";", ":", "?", "h", "l", "m", "H", "J", "K", "L", "M", "S", "T", "r", "@", "b", "日", "e", "\u0301", "\r", "\n", "\b", "\t",
		"\xe2", "\x82", "\xff", "\u202e", "\u009b", "\x07", "\x18", "1049", "\x1b[?1049h", "\x1b[?6h", "\x1b[4h", "\x1bc", "\x1b#8", "\x1b7", "\x1b8", "\x1bM", "\x0e", "(0", "X", "P", "u", "Z", "I"}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 7))
		var b []byte
		for range 60 {
			b = append(b, parts[r.IntN(len(parts))]...)
		}
		pieces(t, b, 1+r.IntN(12), 1+r.IntN(6), seed)
	}
}

func TestStripper(t *testing.T) {
	for in, want := range map[string]string{
		"\x1b[32mmira@web1\x1b[0m:~$ ls -l\r\nfile\r\n": "mira@web1:~$ ls -l|file",
		"$ lx\b \bs\r\n":                     "$ ls",
		"$ lx\b\x1b[Ks\r\n":                  "$ ls",
		"$ ax\x1b[2D\x1b[1Pb":                "$ b",
		"$ ab\x1b[2D\x1b[1@x":                "$ xab",
		"10%\r20%\r\n":                       "20%",
		"a\x1b[5;5Hb":                        "a|b",
		"\x1b]0;rm -rf\x07ls":                "ls",
		"a\tb":                               "a b",
		"pass\x1b[8mword":                    "password",
		"top\x1b[?1049hvi\x1b[?1049l\r\nend": "top|vi|end",
		"\x1b[65535Cx\x1b[65535@\x1b[65535P": "x",
	} {
		var lines []string
		s := Stripper{Line: func(l string) { lines = append(lines, l) }}
		_, _ = s.Write([]byte(in))
		s.Flush()
		if got := strings.Join(lines, "|"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestTimeIsBounded: what costs the most for each byte.
func TestTimeIsBounded(t *testing.T) {
	for _, s := range []string{"\x1b[2J", "\x1b[9999T", "x\x1b[9999b", "\x1b[9999@", "\x1bc", "\x1b#8", "\x1b[?1049h\x1b[?1049l"} {
		start := time.Now()
		term := New(MaxColumns, MaxRows)
		b := []byte(strings.Repeat(s, 20000/len(s)))
		_, _ = term.Write(b)
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%q: %v for %d bytes", s, d, len(b))
		} else {
			t.Logf("%q: %v for %d bytes", s, d, len(b))
		}
	}
}

func BenchmarkTerminal(b *testing.B) {
	text := []byte(strings.Repeat("\x1b[32m-rw-r--r--\x1b[0m 1 mira mira  4096 Nov 23 03:00 some-file.txt\r\n", 100))
	term := New(120, 40)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = term.Write(text)
	}
}
