package vault

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stint/internal/access"
)

var root = access.Actor{Principal: "user:root", Person: "root"}

func added(t interface{ Fatal(...any) }, sealed []byte, now time.Time) Entry {
	e, ev, err := Add(Entry{Name: "orders-dba", Resource: "orders-db", At: "postgres://db:5432", Account: "dba", Kind: Password, RotateEvery: 24 * time.Hour}, nil, Fresh{Sealed: sealed}, root, now)
	if err != nil || ev.Type != Added || ev.Version != 1 || ev.Entity != "vault:orders-dba" {
		t.Fatal(err, ev)
	}
	return e
}

// TestAccountAlwaysOpensWithWhatIsKept: a model of a target, to which any of the calls that
// an entry allows may get or not, beside an entry of which any record may be lost: the
// account opens with the current or the pending secret, always, unless somebody changed it
// by hand, or what it has is over; and a rotation that is gone on with ends that.
func TestAccountAlwaysOpensWithWhatIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_790_000_000, 0).UTC()
		e := added(t, []byte("s1"), now)
		target, byHand, made := "s1", false, 1
		ends := map[string]time.Time{} // of certificates
		over := func(s string) bool { return !ends[s].IsZero() && !now.Before(ends[s]) }
		kept := func() []string {
			var all []string
			for _, s := range e.Secrets {
				if s.State == Dead && s.Sealed != nil {
					t.Fatalf("%d is dead and kept", s.Number)
				}
				if s.State != Dead {
					all = append(all, string(s.Sealed))
				}
			}
			if len(all) > 2 {
				t.Fatalf("%d secrets at once", len(all))
			}
			return all
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Minute)
			version := e.Version
			var ev access.Event
			switch rapid.SampledFrom([]string{"begin", "set", "commit", "lend", "want", "drift", "by hand", "months"}).Draw(t, "step") {
			case "begin":
				made++
				next := Fresh{Sealed: fmt.Appendf(nil, "s%d", made)}
				if rapid.Bool().Draw(t, "ends") {
					next.NotAfter = now.Add(CertificateLife)
				}
				p, under := e.Pending()
				under = under && !over(string(p.Sealed))
				w, x, err := e.Begin(next, "test", now)
				if under != errors.Is(err, access.Conflict) {
					t.Fatalf("a second rotation: %v", err)
				}
				if err == nil {
					e, ev, ends[string(next.Sealed)] = w, x, next.NotAfter
				}
			case "set": // by whichever process, be it late
				if p, ok := e.Pending(); ok {
					target, byHand = string(p.Sealed), false
				}
			case "commit": // only what was seen to open is committed
				if p, ok := e.Pending(); ok && target == string(p.Sealed) && !over(target) {
					if e, ev, ok = e.Commit(p.Number, access.EntitlementID(rapid.SampledFrom([]string{"", "ent_1"}).Draw(t, "lent")), now); !ok {
						t.Fatal("not committed")
					}
					if _, _, again := e.Commit(p.Number, "", now); again {
						t.Fatal("committed twice")
					}
				}
			case "lend":
				e, ev, _ = e.Lend("ent_2", now)
			case "want":
				e, ev = e.Want("seen on a screen", root, now)
			case "drift":
				e, ev, _ = e.Drift(now)
			case "by hand":
				target, byHand = "theirs", true
			case "months":
				now = now.Add(CertificateLife / 2)
			}
			if e.Version != version && (e.Version != version+1 || ev.Version != e.Version || ev.Entity == "") {
				t.Fatalf("version %d after %d, event %+v", e.Version, version, ev)
			}
			if all := kept(); !byHand && !over(target) && !slices.Contains(all, target) {
				t.Fatalf("the account opens with %s, and kept are %v", target, all)
			}
			if c, ok := e.Current(); ok && over(string(c.Sealed)) && e.RotateAt().After(now) {
				t.Fatalf("%s is over, and to be rotated at %s", c.Sealed, e.RotateAt())
			}
			for i, s := range e.Secrets {
				if i > 0 && s.Number != e.Secrets[i-1].Number+1 {
					t.Fatalf("numbers %v", e.Secrets)
				}
			}
			if len(e.Secrets) > Kept {
				t.Fatal("the history grows")
			}
		}
	})
}

// TestT55PlacesAreDistinct: no two versions of any two entries have one place, so that no
// ciphertext opens in the place of another.
func TestT55PlacesAreDistinct(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"a", "ab"} {
		for _, at := range []access.Place{"postgres://b:1", "postgres://bb:1"} {
			for _, account := range []string{"c", "cc"} {
				for _, kind := range []Kind{Password, Token, Key, Certificate} {
					for n := int64(1); n < 12; n++ {
						what := fmt.Sprint(name, at, account, kind, n)
						p := Entry{Name: name, At: at, Account: account, Kind: kind}.Place(n)
						if other, twice := seen[p]; twice {
							t.Errorf("%s and %s have one place", what, other)
						}
						seen[p] = what
					}
				}
			}
		}
	}
}

func TestRemoveAndAddAgain(t *testing.T) {
	now := time.Unix(1_790_000_000, 0).UTC()
	e := added(t, []byte("s1"), now)
	lent, _, _ := e.Lend("ent_1", now)
	if _, _, err := lent.Remove(root, now); !errors.Is(err, access.Conflict) {
		t.Errorf("what is lent was removed: %v", err)
	}
	under, _, _ := e.Begin(Fresh{Sealed: []byte("s2")}, "x", now)
	if _, _, err := under.Remove(root, now); !errors.Is(err, access.Conflict) {
		t.Errorf("what is rotated was removed: %v", err)
	}
	gone, ev, err := e.Remove(root, now)
	if err != nil || !gone.Gone() || ev.Type != Removed || gone.Secrets[0].Sealed != nil || gone.Secrets[0].State != Dead {
		t.Fatalf("%+v %v", gone, err)
	}
	if !gone.RotateAt().IsZero() {
		t.Error("what is removed is rotated")
	}
	if _, _, err := Add(e, &e, Fresh{}, root, now); !errors.Is(err, access.Conflict) {
		t.Errorf("a name that is taken: %v", err)
	}
	again, _, err := Add(e, &gone, Fresh{}, root, now)
	if err != nil || again.Version != gone.Version+1 || again.Next() != 2 {
		t.Errorf("%+v %v", again, err)
	}
	if at := again.RotateAt(); !at.Equal(now) || again.Stand() != Turning {
		t.Errorf("an entry without a secret is rotated at %v, and %s", at, again.Stand())
	}
}

func TestRotateAt(t *testing.T) {
	now := time.Unix(1_790_000_000, 0).UTC()
	e := added(t, []byte("s1"), now)
	if at := e.RotateAt(); !at.Equal(now.Add(24*time.Hour)) || e.Stand() != Ready {
		t.Errorf("at %v, %s", at, e.Stand())
	}
	if e.RotateEvery = 0; !e.RotateAt().IsZero() {
		t.Error("rotated by itself")
	}
	e.Secrets[0].NotAfter = now.Add(90 * time.Hour)
	if at := e.RotateAt(); !at.Equal(now.Add(60 * time.Hour)) {
		t.Errorf("what is good for 90 hours is rotated at %v", at)
	}
	if e.RotateEvery = 30 * time.Hour; !e.RotateAt().Equal(now.Add(30 * time.Hour)) {
		t.Error("the sooner of two is not taken")
	}
	w, _ := e.Want("why", root, now)
	if !w.RotateAt().Equal(now) {
		t.Error("not at once")
	}
	if d := w.Defer("no resource", now.Add(time.Hour)); !d.RotateAt().Equal(now.Add(time.Hour)) || d.Version != w.Version {
		t.Error("not put off")
	}
	if d, _, _ := e.Drift(now); !d.RotateAt().Equal(now) || d.Stand() != Drift {
		t.Error("a drift is not healed")
	}
	for _, bad := range []time.Duration{time.Minute, -time.Hour, 1000 * 24 * time.Hour} {
		x := e
		x.RotateEvery = bad
		if _, _, err := Add(x, nil, Fresh{}, root, now); !errors.Is(err, access.Invalid) {
			t.Errorf("every %s: %v", bad, err)
		}
	}
}

// TestUnreadableIsToldOnce: however often a rotation is put off meanwhile, and whatever it is
// put off for, until another secret is there.
func TestUnreadableIsToldOnce(t *testing.T) {
	now := time.Unix(1_790_000_000, 0).UTC()
	e, ev, first := added(t, []byte("s1"), now).Unreadable(now)
	if !first || ev.Type != Unread || e.Trouble == "" || !e.UnreadAt.Equal(now) {
		t.Fatalf("first: %v, %+v, %+v", first, ev, e)
	}
	asked, _ := e.Want("why", root, now)
	for what, x := range map[string]Entry{"": e, "put off": e.Defer("no resource", now.Add(time.Hour)), "asked for": asked} {
		if again, _, told := x.Unreadable(now.Add(time.Minute)); told || again.Version != x.Version {
			t.Errorf("told again, %s", what)
		}
	}
	e, _, err := e.Begin(Fresh{Sealed: []byte("s2")}, "why", now)
	if err != nil {
		t.Fatal(err)
	}
	e, _, _ = e.Commit(e.Secrets[1].Number, "", now)
	if _, _, told := e.Unreadable(now); !told {
		t.Error("the next secret's is not told")
	}
}

func TestReadKV(t *testing.T) {
	v2 := `{"request_id":"x","data":{"data":{"username":"dba","password":"s3cr3t\"ü","note":7},"metadata":{"version":3}},"warnings":null}`
	for name, c := range map[string]struct{ text, field, account, secret, why string }{
		"version 2":     {text: v2, account: "dba", secret: "s3cr3t\"ü"},
		"version 1":     {text: `{"data":{"user":"dba","pw":"x"}}`, field: "pw", account: "dba", secret: "x"},
		"no user":       {text: `{"data":{"password":"x"}}`, secret: "x"},
		"no field":      {text: v2, field: "token", why: "no field token"},
		"not a text":    {text: v2, field: "note", why: "not a text"},
		"deleted":       {text: `{"data":{"data":null,"metadata":{}}}`, why: "deleted"},
		"empty":         {text: `{"data":{"password":""}}`, why: "empty"},
		"two lines":     {text: `{"data":{"key":"x\ny"}}`, field: "key", secret: "x\ny"},
		"two fields":    {text: `{"data":{"c":"x\n","k":"y","user":"dba"}}`, field: "c,k", account: "dba", secret: "x\ny"},
		"no newline":    {text: `{"data":{"c":"x","k":"y"}}`, field: "c,k", secret: "x\ny"},
		"a comma":       {text: `{"data":{"c,k":"x"}}`, field: "c,k", secret: "x"},
		"half of two":   {text: v2, field: "password,key", why: "no field key"},
		"a NUL":         {text: `{"data":{"password":"x\u0000y"}}`, why: "NUL"},
		"no JSON":       {text: "s3cr3t", why: "not one JSON object"},
		"two":           {text: `{"data":{"password":"x"}} {}`, why: "not one JSON object"},
		"an array":      {text: `[]`, why: "not one JSON object"},
		"too large":     {text: `{"data":{"password":"` + strings.Repeat("x", maxExport) + `"}}`, why: "larger"},
		"a long secret": {text: `{"data":{"password":"` + strings.Repeat("x", MaxKey+1) + `"}}`, why: "16384"},
	} {
		account, secret, err := ReadKV(strings.NewReader(c.text), c.field)
		if c.why != "" {
			if !errors.Is(err, access.Invalid) || !strings.Contains(err.Error(), c.why) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("%s: %v, want %s", name, err, c.why)
			}
			continue
		}
		if err != nil || account != c.account || string(secret.Reveal()) != c.secret {
			t.Errorf("%s: %q %q %v", name, account, secret.Reveal(), err)
		}
	}
}

func FuzzReadKV(f *testing.F) {
	f.Add([]byte(`{"data":{"data":{"username":"dba","password":"x"},"metadata":{}}}`), "password")
	f.Add([]byte(`{"data":{"password":"x"}}`), "")
	f.Fuzz(func(t *testing.T, text []byte, field string) {
		_, secret, err := ReadKV(bytes.NewReader(text), field)
		if err == nil && (len(secret.Reveal()) == 0 || len(secret.Reveal()) > MaxKey) {
			t.Errorf("took a secret of %d bytes", len(secret.Reveal()))
		}
	})
}

// TestNeverAgain: a target that takes no secrets by orders is asked ever more rarely.
func TestNeverAgain(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	if got := (Entry{}).NeverAgain(now); got != time.Hour {
		t.Errorf("not known yet: %s", got)
	}
	for since, want := range map[time.Duration]time.Duration{-time.Hour: time.Hour, 0: time.Hour, time.Hour: time.Hour, 5 * time.Hour: 5 * time.Hour, 100 * time.Hour: 24 * time.Hour} {
		if got := (Entry{NeverAt: now.Add(-since)}).NeverAgain(now); got != want {
			t.Errorf("known for %s: after %s, not %s", since, got, want)
		}
	}
}
