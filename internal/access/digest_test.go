package access

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"
)

// notAsked are the fields of a request that its digest does not cover, and why.
// A field that is in neither this list nor the digest fails the test below.
var notAsked = map[string]string{
	"ID":        "names the request; the nonce makes the digest unique",
	"Version":   "changes with every step",
	"State":     "what became of it",
	"Source":    "where from, an observation; the device is covered by itself",
	"Digest":    "is the digest",
	"Decision":  "policy's answer; decided again at activation",
	"Approvals": "each has a digest of its own that covers this one",
	"Escalated": "who is asked; policy's answer says who may be", "Reminders": "what became of it", "RemindedAt": "what became of it",
	"Remarks":   "said about it; what is approved is what was asked",
	"CreatedAt": "when, not what",
	"ExpiresAt": "when, not what",
	"DecidedAt": "what became of it",
	"Grant":     "what became of it",
}

// variants calls f with every value that differs from v in one place, however
// deep: each field, each element, one more element, one less.
func variants(v reflect.Value, path string, f func(path string)) {
	change := func(to reflect.Value, what string) {
		was := reflect.New(v.Type()).Elem()
		was.Set(v)
		v.Set(to)
		f(path + what)
		v.Set(was)
	}
	switch v.Kind() {
	case reflect.String:
		change(reflect.ValueOf(v.String()+"x").Convert(v.Type()), "")
		change(reflect.Zero(v.Type()), " emptied")
	case reflect.Bool:
		change(reflect.ValueOf(!v.Bool()).Convert(v.Type()), "")
	case reflect.Int, reflect.Int64:
		by := int64(1)
		if v.Type() == reflect.TypeFor[time.Duration]() {
			by = int64(time.Millisecond)
		}
		change(reflect.ValueOf(v.Int()+by).Convert(v.Type()), " +1")
		if v.Int() != 0 {
			change(reflect.ValueOf(-v.Int()).Convert(v.Type()), " negated")
		}
	case reflect.Uint8:
		change(reflect.ValueOf(uint8(v.Uint())^0x80).Convert(v.Type()), "")
	case reflect.Array:
		for i := range v.Len() {
			variants(v.Index(i), fmt.Sprintf("%s[%d]", path, i), f)
		}
	case reflect.Slice:
		clone := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(clone, v)
		v.Set(clone)
		change(reflect.Append(v, reflect.Zero(v.Type().Elem())), " one more")
		change(v.Slice(0, v.Len()-1), " one less")
		for i := range v.Len() {
			variants(v.Index(i), fmt.Sprintf("%s[%d]", path, i), f)
		}
	case reflect.Map: // of texts
		m := v.Interface().(map[string]string)
		change(reflect.ValueOf(map[string]string{}), " emptied")
		for k, x := range m {
			for what, other := range map[string][2]string{" key": {k + "x", x}, " value": {k, x + "x"}, " split": {k + x[:1], x[1:]}} {
				changed := map[string]string{other[0]: other[1]}
				for k2, x2 := range m {
					if k2 != k {
						changed[k2] = x2
					}
				}
				change(reflect.ValueOf(changed), "["+k+"]"+what)
			}
		}
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			change(reflect.ValueOf(t.Add(time.Millisecond)), " +1ms")
			change(reflect.ValueOf(time.Time{}), " emptied")
			return
		}
		for i := range v.NumField() {
			variants(v.Field(i), path+"."+v.Type().Field(i).Name, f)
		}
	default:
		panic("a kind of field this test cannot change: " + path + " " + v.Kind().String())
	}
}

// full is a request in which every field of what is asked has a value, so that
// each can be changed and emptied.
func full() Request {
	return draft(func(r *Request) {
		r.Start, r.Extends, r.Clock = t0.Add(time.Hour), "grt_before", FromApproval
		r.Permissions.Exclusive = true
		r.Bundle = Digest{1, 2, 3}
		second := r.Targets[0]
		second.Resource, second.Connection.Options = "stock", map[string]string{"database": "stock"}
		r.Targets = append(slices.Clone(r.Targets), second)
	})
}

// Any change of any field of what is asked changes the digest, and no two
// changes lead to the same one.
func TestRequestDigestCoversWhatIsAsked(t *testing.T) {
	seen := map[Digest]string{}
	for _, e := range []Emergency{NoEmergency, BreakGlass} {
		r := full()
		r.Emergency, r.Task = e, "OPS-1" // of which the digests of all others know nothing
		digestCovers(t, r, seen)
	}
}

func digestCovers(t *testing.T, r Request, seen map[Digest]string) {
	t.Helper()
	seen[requestDigest(r)] = "unchanged"
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if why, ok := notAsked[name]; ok && why != "" {
			continue
		}
		if name == "Emergency" { // another version word: TestEmergencyIsInTheDigest, and below
			continue
		}
		if v.Field(i).IsZero() {
			t.Errorf("full() leaves %s empty", name)
		}
		n := 0
		variants(v.Field(i), name, func(path string) {
			n++
			d := requestDigest(r)
			if before, dup := seen[d]; dup {
				t.Errorf("%s: the same digest as %s", path, before)
			}
			seen[d] = path
		})
		if n == 0 {
			t.Errorf("%s was not changed", name)
		}
	}
	for name := range notAsked {
		if _, ok := reflect.TypeFor[Request]().FieldByName(name); !ok {
			t.Errorf("notAsked names %s, which a request does not have", name)
		}
	}
}

// What became of a request does not change its digest.
func TestRequestDigestIsStable(t *testing.T) {
	r := full()
	want := requestDigest(r)
	for name, bend := range map[string]func(*Request){
		"ID": func(r *Request) { r.ID = "req_2" }, "Version": func(r *Request) { r.Version = 9 }, "State": func(r *Request) { r.State = RequestIsGranted },
		"Source": func(r *Request) { r.Source.IP = netip.IPv6Loopback() }, "Digest": func(r *Request) { r.Digest[0]++ },
		"Decision": func(r *Request) { r.Decision = allow() }, "Approvals": func(r *Request) { r.Approvals = []Approval{{By: "user:ben"}} },
		"CreatedAt": func(r *Request) { r.CreatedAt = t0 }, "ExpiresAt": func(r *Request) { r.ExpiresAt = t0 },
		"DecidedAt": func(r *Request) { r.DecidedAt = t0 }, "Grant": func(r *Request) { r.Grant = "grt_1" },
	} {
		if _, ok := notAsked[name]; !ok {
			t.Errorf("%s is not in notAsked", name)
		}
		changed := r
		bend(&changed)
		if requestDigest(changed) != want {
			t.Errorf("%s changes the digest", name)
		}
	}
	r.Start = r.Start.In(time.FixedZone("elsewhere", 3600))
	if requestDigest(r) != want {
		t.Error("the zone in which a time is written changes the digest")
	}
}

// Fields that move into each other must not look alike.
func TestDigestFieldsDoNotRunTogether(t *testing.T) {
	pairs := [][2]func(*Request){
		{func(r *Request) { r.Reason, r.Ticket = "ab", "c" }, func(r *Request) { r.Reason, r.Ticket = "a", "bc" }},
		{func(r *Request) { r.Principal, r.Person = "user:a", "b" }, func(r *Request) { r.Principal, r.Person = "user:", "ab" }},
		{func(r *Request) { r.Permissions.Rights = []string{"a", "b"} }, func(r *Request) { r.Permissions.Rights = []string{"ab"} }},
		{func(r *Request) { r.Permissions.Rights = nil }, func(r *Request) { r.Permissions.Rights = []string{""} }},
		{func(r *Request) { r.Permissions.Options = map[string]string{"a": "b"} }, func(r *Request) { r.Permissions.Options = map[string]string{"ab": ""} }},
	}
	for i, p := range pairs {
		if requestDigest(draft(p[0])) == requestDigest(draft(p[1])) {
			t.Errorf("pair %d has one digest", i)
		}
	}
}

// The digest of an approval covers all of it but Meets, which is derived from
// the voter, and what the vote leaves of the permissions.
func TestApprovalDigestCoversTheVote(t *testing.T) {
	p := full().Permissions
	a := Approval{By: ben.ID, Person: ben.Person, Approve: true, Duration: time.Hour, Rights: []string{"orders_read"}, Note: "fine", At: t0, Request: requestDigest(full())}
	seen := map[Digest]string{approvalDigest(a, p): "unchanged", requestDigest(full()): "the request's"}
	check := func(path string) {
		d := approvalDigest(a, p)
		if before, dup := seen[d]; dup {
			t.Errorf("%s: the same digest as %s", path, before)
		}
		seen[d] = path
	}
	v := reflect.ValueOf(&a).Elem()
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "Digest" && name != "Meets" && name != "Assertion" && name != "Signed" && name != "For" && name != "ForPerson" {
			variants(v.Field(i), name, check)
		}
	}
	// With a passkey it is another version of the digest, which covers what was signed too.
	a.Level, a.Signed, a.Assertion = LevelPasskey, t0, Assertion{"pky_1", []byte("client"), []byte("data"), []byte("signature")}
	check("with a passkey")
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "Digest" && name != "Meets" && name != "For" && name != "ForPerson" {
			variants(v.Field(i), "with a passkey: "+name, check)
		}
	}
	// For somebody it is another one again.
	a.For, a.ForPerson = zoe.ID, zoe.Person
	check("for zoe")
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "Digest" && name != "Meets" {
			variants(v.Field(i), "for zoe: "+name, check)
		}
	}
	v = reflect.ValueOf(&p).Elem()
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "Rights" { // the vote's count
			variants(v.Field(i), "Permissions."+name, check)
		}
	}
	before := approvalDigest(a, p)
	a.Meets, a.Digest = []int{1}, Digest{1}
	if approvalDigest(a, p) != before {
		t.Error("Meets or Digest change the digest")
	}
}

// The golden vectors pin the encodings: a change of them needs a new version word.
func TestGoldenDigests(t *testing.T) {
	got := map[string]string{"request, empty": requestDigest(Request{}).String()}
	extend := full()
	extend.Bundle = Digest{} // as it was before there were bundles
	simple := draft()
	unicode := draft(func(r *Request) { r.Reason = "Größe prüfen – 修正" })
	service := draft(func(r *Request) {
		r.Principal, r.Person, r.Permissions = "service:ci", "zoe", Permissions{Mechanism: Account, Rights: []string{"orders_read"}}
		r.Endings, r.Clock, r.Targets[0].Account = Endings{}, FromRequest, ""
	})
	glass := draft(emergency)
	drill := draft(emergency, func(r *Request) { r.Emergency = Drill })
	got["request, part of a bundle"] = requestDigest(draft(func(r *Request) { r.Bundle = Digest{1} })).String()
	got["bundle"] = BundleDigest([]Request{simple, unicode}).String()
	got["request, break-glass"], got["request, drill"] = requestDigest(glass).String(), requestDigest(drill).String()
	for name, r := range map[string]Request{"simple": simple, "every field": extend, "unicode": unicode, "service": service} {
		got["request, "+name] = requestDigest(r).String()
		yes := Approval{By: ben.ID, Person: ben.Person, Approve: true, Duration: 30 * time.Minute, Rights: []string{"orders_read"}, At: t0, Request: requestDigest(r)}
		no := Approval{By: zoe.ID, Person: zoe.Person, Note: "not now", At: t0.Add(time.Millisecond), Request: requestDigest(r)}
		got["approval, yes to "+name], got["approval, no to "+name] = approvalDigest(yes, r.Permissions).String(), approvalDigest(no, r.Permissions).String()
	}
	golden(t, "digests.json", got)
}

func TestGoldenForms(t *testing.T) {
	last := Entropy{255, 255, 255, 255, 255, 255, 255, 255, 255, 255}
	member := grantIn(t, Provisioning)
	account := grantIn(t, Provisioning, func(r *Request) { r.Permissions.Mechanism, r.Targets[0].Account = Account, "" })
	enable := grantIn(t, Provisioning, func(r *Request) { r.Permissions = Permissions{Mechanism: Enable}; r.Targets[0].Account = "dba_admin" })
	got := map[string]string{
		"request id":           string(NewRequestID(t0.UnixMilli(), Entropy{1, 2, 3})),
		"grant id":             string(NewGrantID(t0.UnixMilli(), Entropy{1, 2, 3})),
		"entitlement id":       string(NewEntitlementID(t0.UnixMilli(), Entropy{1, 2, 3})),
		"first id":             string(NewRequestID(0, Entropy{})),
		"last id":              string(NewRequestID(1<<48-1, last)),
		"principal":            string(NewPrincipalID(Service, "ci")),
		"digest":               Digest{0xab, 31: 0xcd}.String(),
		"stamp":                stamp(t0.In(time.FixedZone("elsewhere", 7200)).Add(1234567 * time.Nanosecond)),
		"place":                string(member.Targets[0].Connection.Place()),
		"key of a membership":  member.Plan()[0].Key,
		"key of an account":    account.Plan()[0].Key,
		"key of an enablement": enable.Plan()[0].Key,
	}
	golden(t, "forms.json", got)
}

func golden(t *testing.T, name string, got map[string]string) {
	t.Helper()
	file := "testdata/" + name
	if *update {
		b, err := json.MarshalIndent(got, "", "\t")
		if err == nil {
			err = os.WriteFile(file, append(b, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		for _, k := range keysOf(got) {
			if got[k] != want[k] {
				t.Errorf("%s: %s, want %s", k, got[k], want[k])
			}
		}
		t.Errorf("%s has %d vectors, the test %d; see the version words in digest.go before running with -update", file, len(want), len(got))
	}
}
