package apiserver

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
)

// TestLeasesAreNotStarved: whatever else has used up what a gateway may call, and what its
// address may try, it renews and hears of cuts.
func TestLeasesAreNotStarved(t *testing.T) {
	w, admin, _ := withHost(t)
	edge := enrolledGateway(t, w, admin, "edge")
	renew := func() error {
		_, err := edge.RenewSessions(t.Context(), api.SessionReport{Live: []string{}, Ended: []api.SessionEnded{}, Alarms: []api.SessionAlarm{}})
		return err
	}
	for name, spent := range map[string]**rates{"the gateway's": &w.server.agents, "its address's": &w.server.strangers} {
		before := *spent
		*spent = newRates(0, 0, time.Now)
		if _, err := edge.OpenSession(t.Context(), api.SessionKnock{Protocol: "ssh"}); problemOf(err, "").Kind != api.TooMany {
			t.Errorf("%s measure is used up, and it opens: %v", name, err)
		}
		if err := renew(); err != nil {
			t.Errorf("%s measure is used up: %v", name, err)
		}
		listen(t, edge)
		*spent = before
	}
	w.server.renewals = newRates(0, 1, time.Now) // each has a measure all the same
	if err := renew(); err != nil {
		t.Error(err)
	}
	if err := renew(); problemOf(err, "").Kind != api.TooMany {
		t.Errorf("more than its measure: %v", err)
	}
}

// TestStrangersStarveNobody: those who knock at one kind of door of a gateway, and whom nobody
// knows, use up what it may ask for there, and nothing of what it may ask for elsewhere.
func TestStrangersStarveNobody(t *testing.T) {
	w, admin, _ := withHost(t)
	edge := enrolledGateway(t, w, admin, "edge", "ssh", "http", "postgres")
	full := func(p string) bool {
		_, err := edge.OpenSession(t.Context(), api.SessionKnock{Protocol: p})
		return problemOf(err, "").Kind == api.TooMany
	}
	for _, spent := range access.GatewayProtocols {
		before, agents := w.server.strange[spent], w.server.agents
		if spent == access.SSH {
			w.server.agents = newRates(0, 0, time.Now)
		} else {
			w.server.strange[spent] = newRates(0, 0, time.Now)
		}
		for _, p := range access.GatewayProtocols {
			if got := full(string(p)); got != (p == spent) {
				t.Errorf("what there is for %s is used up, and %s: %v", spent, p, got)
			}
		}
		w.server.strange[spent], w.server.agents = before, agents
	}
}

// TestEachGatewayHasItsOwnWaits: the streams of one are not counted with another's.
func TestEachGatewayHasItsOwnWaits(t *testing.T) {
	w, admin, _ := withHost(t)
	edge, west := enrolledGateway(t, w, admin, "edge"), enrolledGateway(t, w, admin, "west")
	w.server.own.most = 1
	listen(t, edge)
	listen(t, west)
	if err := edge.FollowCuts(t.Context(), func() {}, func(api.SessionCut) {}); problemOf(err, "").Code != "too-many-waits" {
		t.Errorf("a second stream: %v", err)
	}
}

// TestAlarmsThatAreTooMany: of those that are not told one by one, the log and the session
// say how many they were, whoever left them out.
func TestAlarmsThatAreTooMany(t *testing.T) {
	w, admin, mira := withHost(t)
	edge := enrolledGateway(t, w, admin, "edge")
	_, err := edge.RenewSessions(t.Context(), api.SessionReport{Live: []string{}, Ended: []api.SessionEnded{}, Alarms: []api.SessionAlarm{}}) // heard of
	check(t, err)
	p, err := edge.OpenSession(t.Context(), knocks(t, mira, "jump").knock())
	check(t, err)
	r := api.SessionReport{Live: []string{p.Session}, Ended: []api.SessionEnded{},
		LeftOut: []api.SessionLeftOut{{Session: p.Session, Alarms: 40}, {Session: "ses_01J8ZQ5T3M8W6Y2X4V9N7K1B5C", Alarms: 9}}}
	for i := range 103 {
		r.Alarms = append(r.Alarms, api.SessionAlarm{Session: p.Session, Pattern: "rm *", Text: fmt.Sprintf("rm %d", i), At: api.At(time.Now())})
	}
	_, err = edge.RenewSessions(t.Context(), r)
	check(t, err)
	if x, err := mira.Session(t.Context(), p.Session); err != nil || x.Alarms != 143 {
		t.Errorf("the session has %d alarms, %v", x.Alarms, err)
	}
	told := w.records(admin, api.AuditList{List: api.List{Limit: 1000}, Type: "session.alarmed"}, 101)
	last := told[len(told)-1].Record
	if len(told) != 101 || !bytes.Contains(last, []byte(`"left_out":"43"`)) {
		t.Errorf("%d records, the last %s", len(told), last)
	}
}
