package envelope

import (
	"strings"
	"testing"

	"stint/internal/access"
)

func said() Word {
	return Word{Installation: "inst", Gateway: "edge", Nonce: strings.Repeat("0a", 16), About: AboutTrust, IssuedAt: noon, Content: []byte(`{"users":["a"]}`)}
}

// TestWord: what is said to a gateway counts for that gateway, that question and that
// matter, and only where the orders key signed it.
func TestWord(t *testing.T) {
	orders, other := signerOf(1), signerOf(2)
	w := said()
	text := must(w.Seal(orders))
	got, err := OpenWord(text, "inst", "edge", w.Nonce, AboutTrust, other.Public(), orders.Public())
	if err != nil || string(got.Content) != string(w.Content) {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, c := range map[string]struct {
		text                         Sealed
		installation, gateway, nonce string
		about                        About
		kind                         access.Kind
	}{
		"nothing signed":       {"", "inst", "edge", w.Nonce, AboutTrust, access.Denied},
		"another key":          {must(w.Seal(other)), "inst", "edge", w.Nonce, AboutTrust, access.Denied},
		"an earlier answer":    {text, "inst", "edge", strings.Repeat("0b", 16), AboutTrust, access.Denied},
		"about another matter": {text, "inst", "edge", w.Nonce, AboutPermit, access.Denied},
		"another gateway's":    {text, "inst", "west", w.Nonce, AboutTrust, access.Denied},
		"another installation": {text, "other", "edge", w.Nonce, AboutTrust, access.Denied},
		"signed as a call":     {forge(callHead, content(text), orders), "inst", "edge", w.Nonce, AboutTrust, access.Invalid},
		"what a host is told":  {must(trusted([]byte("l")).Seal(orders)), "inst", "edge", w.Nonce, AboutTrust, access.Invalid},
		"one more field":       {forge(wordHead, strings.Replace(content(text), `"v":1`, `"v":1,"w":1`, 1), orders), "inst", "edge", w.Nonce, AboutTrust, access.Invalid},
		"changed after":        {text[:len(text)-2] + "AA", "inst", "edge", w.Nonce, AboutTrust, access.Denied},
	} {
		if _, err := OpenWord(c.text, c.installation, c.gateway, c.nonce, c.about, orders.Public()); access.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bend := range map[string]func(*Word){
		"no nonce": func(w *Word) { w.Nonce = "" }, "no gateway": func(w *Word) { w.Gateway = "" }, "no installation": func(w *Word) { w.Installation = "" },
		"about nothing": func(w *Word) { w.About = "" }, "no JSON": func(w *Word) { w.Content = []byte("{") }, "nothing": func(w *Word) { w.Content = nil },
	} {
		w := said()
		bend(&w)
		if _, err := w.Seal(orders); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
}

// FuzzWord: whatever is taken encodes again to the very text.
func FuzzWord(f *testing.F) {
	key := signerOf(1)
	f.Add(content(must(said().Seal(key))))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := OpenWord(forge(wordHead, text, key), "inst", "edge", said().Nonce, AboutTrust, key.Public())
		if err != nil {
			return
		}
		if again, err := got.Seal(key); err != nil || content(again) != text {
			t.Errorf("%q became %q, %v", text, content(again), err)
		}
	})
}
