package provision_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"stint/internal/access"
	"stint/internal/directory"
	"stint/internal/provision"
)

// picture is written like "mira -noor platform(mira omar)": -noor is disabled.
func picture(text string) directory.Picture {
	var p directory.Picture
	for word := range strings.FieldsSeq(strings.NewReplacer("( ", "(", " )", ")").Replace(text)) {
		if name, members, ok := strings.Cut(word, "("); ok {
			g := directory.Group{Subject: "g-" + name, Name: name}
			if members = strings.TrimSuffix(members, ")"); members != "" {
				for m := range strings.SplitSeq(members, ",") {
					g.Members = append(g.Members, "s-"+m)
				}
			}
			slices.Sort(g.Members)
			p.Groups = append(p.Groups, g)
			continue
		}
		name, off := strings.CutPrefix(word, "-")
		p.Users = append(p.Users, directory.User{Subject: "s-" + name, Name: name, Active: !off})
	}
	slices.SortFunc(p.Users, func(a, b directory.User) int { return strings.Compare(a.Subject, b.Subject) })
	slices.SortFunc(p.Groups, func(a, b directory.Group) int { return strings.Compare(a.Subject, b.Subject) })
	return p
}

// mirror has a picture taken over.
func (w *world) mirror(text string, trust provision.Trust) provision.Outcome {
	w.t.Helper()
	out, err := w.Mirror(w.t.Context(), picture(text), trust)
	must(w.t, err)
	return out
}

// is says what became of principals: "mira(platform) -noor".
func (w *world) is(names ...string) string {
	w.t.Helper()
	var out []string
	for _, name := range names {
		p := w.principal(name)
		text := name
		if p.Disabled {
			text = "-" + name
		}
		if len(p.Groups) > 0 {
			var gs []string
			for _, g := range p.Groups {
				gs = append(gs, string(g))
			}
			text += "(" + strings.Join(gs, ",") + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func (w *world) want(what, want string, names ...string) {
	w.t.Helper()
	if got := w.is(names...); got != want {
		w.t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// crowd is many people, so that one of them is few.
func crowd(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("c%02d", i))
	}
	return strings.Join(all, " ")
}

// TestMirror: people come, change, leave and come back as a directory says, and keep who
// they are.
func TestMirror(t *testing.T) {
	w := newWorld(t)
	c := crowd(20)
	out := w.mirror(c+" mira noor -omar platform(mira,noor) empty()", provision.Trust{})
	if out.Made != 23 || out.Users != 22 || out.Groups != 1 || len(out.Problems) > 0 {
		t.Errorf("at first: %+v", out)
	}
	w.want("at first", "mira(platform) noor(platform)", "mira", "noor")
	if p := w.principal("mira"); p.Subject("corp") != "s-mira" || p.Subject("sso") != "s-mira" {
		t.Errorf("mira is %+v", p.Identities)
	}
	before := w.ender.again
	if out = w.mirror(c+" mira noor -omar platform(mira,noor) empty()", provision.Trust{}); out.Made+out.Changed+out.Left != 0 || w.ender.again != before {
		t.Errorf("nothing new: %+v", out)
	}
	out = w.mirror(c+" mira noor platform(noor)", provision.Trust{})
	w.want("out of the group", "mira noor(platform)", "mira", "noor")
	if out.Lost != 1 || w.ender.again == before {
		t.Errorf("out of the group: %+v, decided again: %v", out, w.ender.again > before)
	}
	out = w.mirror(c+" mira -noor platform(noor)", provision.Trust{})
	w.want("disabled", "mira -noor(platform)", "mira", "noor")
	if out.Left != 0 {
		t.Errorf("who is disabled counts as gone: %+v", out)
	}
	w.mirror(c+" mira noor platform(noor)", provision.Trust{})
	w.want("enabled", "mira noor(platform)", "mira", "noor")
	out = w.mirror(c+" mira platform()", provision.Trust{})
	w.want("gone", "mira -noor", "mira", "noor")
	if out.Left != 1 || out.Users != 21 {
		t.Errorf("gone: %+v", out)
	}
	w.mirror(c+" mira noor platform(noor)", provision.Trust{})
	w.want("back", "mira noor(platform)", "mira", "noor")
	p := picture(c + " mira noor staff(noor)")
	p.Groups[0].Subject = "g-platform" // the same one, with another name
	_, err := w.Mirror(t.Context(), p, provision.Trust{})
	must(t, err)
	w.want("the group renamed", "mira noor(staff)", "mira", "noor")
	w.mirror(c+" mira noor", provision.Trust{})
	w.want("the group gone", "mira noor", "mira", "noor")
}

// TestManyGone: more than a fifth who are gone without a word are not believed; whoever
// is called disabled leaves all the same, and with exactly them confirmed they leave.
func TestManyGone(t *testing.T) {
	c := crowd(20)
	for name, x := range map[string]struct {
		picture string
		trust   provision.Trust
		held    int
		left    int
	}{
		"a fifth":                  {crowd(16), provision.Trust{}, 0, 4},
		"more than a fifth":        {crowd(15), provision.Trust{}, 5, 0},
		"nobody there":             {"", provision.Trust{Leavers: 1000}, 20, 0},
		"all but one":              {"c00", provision.Trust{}, 19, 0},
		"all but one, and allowed": {"c00", provision.Trust{Leavers: 19}, 0, 19},
		"one, of an hour":          {crowd(19), provision.Trust{Recent: 4}, 5 - 4, 0},
		"one, and few before":      {crowd(19), provision.Trust{Recent: 3}, 0, 1},
		"one more than allowed":    {crowd(17), provision.Trust{Leavers: 2}, 3, 0},
		"all disabled":             {"-" + strings.ReplaceAll(c, " ", " -"), provision.Trust{}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mirror(c, provision.Trust{})
			out := w.mirror(x.picture, x.trust)
			held := 0
			if out.Held != nil {
				held = out.Held.Gone
			}
			if held != x.held || out.Left != x.left {
				t.Errorf("held %d, left %d; want %d, %d", held, out.Left, x.held, x.left)
			}
			want := x.left
			if name == "all disabled" {
				want = 20
			}
			if len(w.ender.left) != want {
				t.Errorf("%d left, want %d", len(w.ender.left), want)
			}
		})
	}
	w := newWorld(t)
	w.mirror(c+" g("+strings.ReplaceAll(c, " ", ",")+")", provision.Trust{})
	out := w.mirror(c+" g()", provision.Trust{}) // a right to see members that was taken
	if out.Held == nil || out.Held.Gone != 20 || w.is("c00") != "c00(g)" {
		t.Errorf("a group without anybody: %+v, %s", out.Held, w.is("c00"))
	}
	out = w.mirror("-c00 "+crowd(10)[4:]+" g()", provision.Trust{})
	if out.Held == nil || w.is("c00", "c11") != "-c00(g) c11(g)" {
		t.Errorf("disabled among many who are gone: %+v, %s", out.Held, w.is("c00", "c11"))
	}
	digest := out.Held.Digest
	if out = w.mirror(crowd(9)[4:]+" g()", provision.Trust{Confirmed: digest}); out.Held == nil {
		t.Error("others than were confirmed left")
	}
	if out = w.mirror("-c00 "+crowd(10)[4:]+" g()", provision.Trust{Confirmed: digest}); out.Held != nil || w.is("c05", "c11") != "c05 -c11" {
		t.Errorf("confirmed: %+v, %s", out.Held, w.is("c05", "c11"))
	}
}

// TestTroubledEntries: entries that cannot be taken over are named and stop no other,
// and nobody becomes somebody else.
func TestTroubledEntries(t *testing.T) {
	w := newWorld(t)
	w.change("root", func(p access.Principal) access.Principal { p.Admin = true; return p })
	p := picture("mira root DB.Admins(mira,root) ok(mira)")
	p.Users = append(p.Users, directory.User{Subject: "t1", Name: "Twin", Active: true}, directory.User{Subject: "t2", Name: "twin@other", Active: true},
		directory.User{Subject: "u1", Name: "用户", Active: true}, directory.User{Subject: "u2", Name: "../x", Active: true})
	p.Groups = append(p.Groups, directory.Group{Subject: "w1", Name: "DB ADMINS", Members: []string{"s-mira"}}, directory.Group{Subject: "w2", Name: "db  admins", Members: []string{"s-mira"}},
		directory.Group{Subject: "w3", Name: "a/b", Members: []string{"s-mira"}})
	out, err := w.Mirror(t.Context(), p, provision.Trust{})
	must(t, err)
	var bad []string
	for _, p := range out.Problems {
		bad = append(bad, p.Entry)
	}
	slices.Sort(bad)
	if got := strings.Join(bad, ","); got != ",../x,Twin,a/b,db  admins,root,twin@other" {
		t.Errorf("problems are %q", bad)
	}
	w.want("who is all right", "mira(db-admins,db.admins,ok) root", "mira", "root")
	if q := w.principal("root"); q.Subject("corp") != "" {
		t.Errorf("root became %+v", q.Identities)
	}
	// One who was there keeps the name when a twin comes; the twin is nobody.
	p = picture("mira")
	p.Users = append(p.Users, directory.User{Subject: "z", Name: "MIRA", Active: true})
	out, err = w.Mirror(t.Context(), p, provision.Trust{})
	must(t, err)
	if q := w.principal("mira"); q.Subject("corp") != "s-mira" || len(out.Problems) != 1 {
		t.Errorf("mira is %+v, problems %+v", q.Identities, out.Problems)
	}
}

// TestLeavingFailsOnce: when what ends access fails, nothing says that it is done, and
// the next pass does it.
func TestLeavingFailsOnce(t *testing.T) {
	for name, text := range map[string]string{"disabled": "-mira", "gone": ""} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mirror(crowd(20)+" mira", provision.Trust{})
			w.ender.fails = fmt.Errorf("the store is away")
			if _, err := w.Mirror(t.Context(), picture(crowd(20)+" "+text), provision.Trust{}); err == nil {
				t.Fatal("it is done, and nobody left")
			}
			w.ender.fails = nil
			w.mirror(crowd(20)+" "+text, provision.Trust{})
			w.want("again", "-mira", "mira")
		})
	}
}
