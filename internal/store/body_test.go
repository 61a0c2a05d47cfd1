package store

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stint/internal/access"
	"stint/internal/vault"
)

// fill sets every field of a value, and of all within, to something that is not
// zero, so that a field which the store forgets shows.
func fill(t *testing.T, v reflect.Value, n *int64) {
	*n++
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.UnixMilli(1_790_000_000_000 + *n).UTC()
		return
	case *netip.Addr:
		*x = netip.AddrFrom4([4]byte{10, 0, 0, byte(*n)})
		return
	case *access.Effect:
		*x = access.Approve
		return
	case *access.Level:
		*x = access.LevelPasskey
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.Map:
		if v.Type() == reflect.TypeFor[map[string][]access.Group]() {
			v.Set(reflect.ValueOf(map[string][]access.Group{fmt.Sprint("k", *n): {"g"}}))
			return
		}
		v.Set(reflect.ValueOf(map[string]string{fmt.Sprint("k", *n): "v"}))
	case reflect.String:
		v.SetString(fmt.Sprint("text <&> “", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(*n)
	case reflect.Uint8:
		v.SetUint(uint64(*n%3 + 1))
	case reflect.Uint32:
		v.SetUint(uint64(*n))
	default:
		t.Fatalf("a field of kind %v is new here", v.Kind())
	}
}

// rowOf answers a scan with what a save would have written.
type rowOf struct {
	table   *table
	values  write
	columns []string
}

func (r rowOf) Scan(dest ...any) error {
	if len(dest) != len(r.columns) {
		return fmt.Errorf("%d destinations for %d columns", len(dest), len(r.columns))
	}
	for i, name := range r.columns {
		for n, c := range r.table.columns {
			if c.name != name {
				continue
			}
			to := reflect.ValueOf(dest[i]).Elem()
			from := reflect.ValueOf(r.values[n])
			if to.Kind() == reflect.Pointer {
				to.Set(reflect.New(to.Type().Elem()))
				to = to.Elem()
			}
			to.Set(from.Convert(to.Type()))
		}
	}
	return nil
}

// TestNoFieldIsForgotten: what is written to a row comes back whole.
func TestNoFieldIsForgotten(t *testing.T) {
	n := int64(0)
	same := func(name string, got, want any, err error) {
		t.Helper()
		if d := cmp.Diff(got, want, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" || err != nil {
			t.Errorf("%s: %v, got (-) differs from want (+):\n%s", name, err, d)
		}
	}

	var r access.Request
	fill(t, reflect.ValueOf(&r).Elem(), &n)
	w, err := requestRow(r)
	if err != nil {
		t.Fatal(err)
	}
	gotR, err := scanRequest(rowOf{requestTable, w, []string{"id", "version", "state", "principal", "person", "role", "duration", "extends", "digest", "grant_id", "created_at", "expires_at", "body", "auth", "task"}})
	gotR.Approvals = r.Approvals // have a table of their own
	same("request", gotR.Request, r, err)

	r.Version = 1
	votes, err := appendVotes(nil, r)
	if err != nil || len(votes) != 2 {
		t.Fatalf("%d votes, %v", len(votes), err)
	}
	for i, w := range votes {
		v, err := scanVote(rowOf{voteTable, w, []string{"request_id", "n", "voter", "person", "approve", "duration", "at", "request", "digest", "body", "for_person"}})
		same("vote", v.Approval, r.Approvals[i], err)
	}

	var g access.Grant
	fill(t, reflect.ValueOf(&g).Elem(), &n)
	if w, err = grantRow(g); err != nil {
		t.Fatal(err)
	}
	gotG, err := scanGrant(rowOf{grantTable, w, []string{"id", "version", "state", "request_id", "principal", "person", "role", "duration", "conditional", "created_at", "setup_by", "expires_at", "body", "auth"}})
	same("grant", gotG, g, err)

	var e access.Entitlement
	fill(t, reflect.ValueOf(&e).Elem(), &n)
	if w, err = entitlementRow(e); err != nil {
		t.Fatal(err)
	}
	gotE, err := scanEntitlement(rowOf{entitlementTable, w, []string{"id", "version", "state", "key", "created_at", "expires_at", "next_at", "body"}})
	same("entitlement", gotE, e, err)

	var p access.Principal
	fill(t, reflect.ValueOf(&p).Elem(), &n)
	p.OnCall, p.Delegators = nil, nil // are found out, and not stored
	if w, err = principalRow(p); err != nil {
		t.Fatal(err)
	}
	gotP, err := scanPrincipal(rowOf{principalTable, w, []string{"id", "version", "person", "body", "linked", "party"}})
	same("principal", gotP, p, err)

	var task access.Task
	fill(t, reflect.ValueOf(&task).Elem(), &n)
	gotTask, err := scanTask(rowOf{taskTable, taskRow(task), []string{"version", "agent", "task", "opened_at", "ends_at", "ended_at", "why"}})
	same("task", gotTask, task, err)

	var c access.Credential
	fill(t, reflect.ValueOf(&c).Elem(), &n)
	if w, err = credentialRow(c); err != nil {
		t.Fatal(err)
	}
	gotC, err := scanCredential(rowOf{credentialTable, w, []string{"name", "version", "body", "sealed", "set_at"}})
	same("credential", gotC, c, err)

	var key access.Passkey
	fill(t, reflect.ValueOf(&key).Elem(), &n)
	if w, err = passkeyRow(key); err != nil {
		t.Fatal(err)
	}
	gotKey, err := scanPasskey(rowOf{passkeyTable, w, []string{"id", "version", "state", "principal", "person", "credential", "anchor", "counter", "created_at", "body"}})
	same("passkey", gotKey, key, err)

	var prop access.Proposal
	fill(t, reflect.ValueOf(&prop).Elem(), &n)
	if w, err = proposalRow(prop); err != nil {
		t.Fatal(err)
	}
	gotProposal, err := scanProposal(rowOf{proposalTable, w, []string{"id", "version", "state", "principal", "person", "base", "content", "digest", "created_at", "expires_at", "decided_person", "body"}})
	same("proposal", gotProposal, prop, err)

	var del access.Delegation
	fill(t, reflect.ValueOf(&del).Elem(), &n)
	if w, err = delegationRow(del); err != nil {
		t.Fatal(err)
	}
	gotDel, err := scanDelegation(rowOf{delegationTable, w, []string{"id", "version", "principal", "person", "delegate", "delegate_person", "starts_at", "ends_at", "ended_at", "body"}})
	same("delegation", gotDel, del, err)

	var kept vault.Entry
	fill(t, reflect.ValueOf(&kept).Elem(), &n)
	if w, err = vaultRow(kept); err != nil {
		t.Fatal(err)
	}
	gotKept, err := scanVault(rowOf{vaultTable, w, []string{"name", "version", "place", "account", "lent", "removed_at", "body"}})
	same("vault entry", gotKept, kept, err)

	var left access.Residue
	fill(t, reflect.ValueOf(&left).Elem(), &n)
	if w, err = residueRow(left); err != nil {
		t.Fatal(err)
	}
	gotLeft, err := scanResidue(rowOf{residueTable, w, []string{"grant_id", "place", "state", "due_at", "body"}})
	same("residue", gotLeft, left, err)

	var rev access.Review
	fill(t, reflect.ValueOf(&rev).Elem(), &n)
	if w, err = reviewRow(rev); err != nil {
		t.Fatal(err)
	}
	gotRev, err := scanReview(rowOf{reviewTable, w, []string{"id", "version", "state", "request_id", "grant_id", "person", "resource", "closer", "finding", "opened_at", "remind_at", "body"}})
	same("review", gotRev, rev, err)

	var fav access.Favourite
	fill(t, reflect.ValueOf(&fav).Elem(), &n)
	gotFav, err := scanFavourite(rowOf{favouriteTable, favouriteRow(fav), []string{"person", "name", "resource", "role", "duration", "saved_at"}})
	same("favourite", gotFav, fav, err)

	var watch access.TicketWatch
	fill(t, reflect.ValueOf(&watch).Elem(), &n)
	if w, err = ticketWatchRow(watch); err != nil {
		t.Fatal(err)
	}
	gotWatch, err := scanTicketWatch(rowOf{ticketWatchTable, w, []string{"grant_id", "next_at", "body"}})
	same("watched ticket", gotWatch, watch, err)

	var stands access.Standing
	fill(t, reflect.ValueOf(&stands).Elem(), &n)
	if w, err = standingRow(stands); err != nil {
		t.Fatal(err)
	}
	gotStands, err := scanStanding(rowOf{standingTable, w, []string{"resource", "account", "privilege", "first_seen", "last_seen", "gone_at", "body"}})
	same("standing privilege", gotStands, stands, err)

	var survey access.Survey
	fill(t, reflect.ValueOf(&survey).Elem(), &n)
	if w, err = surveyRow(survey); err != nil {
		t.Fatal(err)
	}
	gotSurvey, err := scanSurvey(rowOf{surveyTable, w, []string{"resource", "tried_at", "at", "edges", "accounts", "body"}})
	same("survey", gotSurvey, survey, err)

	var probe access.Probe
	fill(t, reflect.ValueOf(&probe).Elem(), &n)
	if w, err = probeRow(probe); err != nil {
		t.Fatal(err)
	}
	gotProbe, err := scanProbe(rowOf{probeTable, w, []string{"resource", "at", "principal", "ok", "said", "body"}})
	same("probe", gotProbe, probe, err)
}

// TestDecodeIsStrict: what this program does not know is never passed over.
func TestDecodeIsStrict(t *testing.T) {
	for _, text := range []string{``, `{`, `null x`, `{"type":"a"} {}`, `{"type":"a","more":1}`, `[]`} {
		var b credentialBody
		if err := decode(text, "credential", "x", &b); err == nil {
			t.Errorf("decode(%q) passed", text)
		}
	}
}

// FuzzDecode: no text in a body may do more than fail.
func FuzzDecode(f *testing.F) {
	f.Add(`{"targets":[{"resource":"orders-db"}],"permissions":{"mechanism":"account"},"reason":"","nonce":"AA==","decision":{"effect":"allow"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var r requestBody
		var g grantBody
		var e entitlementBody
		_ = decode(text, "request", "x", &r)
		_ = decode(text, "grant", "x", &g)
		_ = decode(text, "entitlement", "x", &e)
	})
}
