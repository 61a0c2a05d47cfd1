package notify

import (
	"slices"
	"strings"
	"time"

	"stint/internal/access"
)

// troubles are the events that somebody should look at now, and what they say. Of
// those about an entitlement the message is closed when that is read back as gone.
var troubles = map[access.EventType]string{
	"removal.trouble":       "Access is not gone: a removal does not succeed",
	"foreign.found":         "Something foreign stands where access of ours should be",
	"sweep.stopped":         "A sweep stopped: it would have removed more than its budget",
	"claim.refused":         "A target belongs to another Stint",
	"claim.contested":       "A copy of this Stint works on a target",
	"log.gap":               "The audit log has lost records that a witness knows",
	"quarantine.began":      "Quarantine: nothing is granted",
	"installation.restored": "Data was restored from a backup: nothing is granted",
	"grants.stopped":        "All new grants are stopped",
	"clock.doubted":         "A replica does not trust its clock, and grants nothing",
}

// gone closes the trouble of an entitlement.
const gone = access.EntitlementGone

// subjectOfTrouble is what a record of trouble is about: the entitlement, so that it
// can be closed, or else the report itself.
func subjectOfTrouble(e access.Event) string {
	if id := e.Facts["entitlement"]; strings.HasPrefix(id, "ent_") {
		return id
	}
	return e.Entity
}

// OfTrouble renders a record of trouble, or of its end.
func OfTrouble(e access.Event) Message {
	m := Message{Subject: subjectOfTrouble(e), Stage: Open, Title: troubles[e.Type], Urgent: true, At: e.At, Command: "stint admin doctor"}
	if e.Type == gone {
		m.Subject, m.Stage, m.Title, m.Urgent, m.Command = e.Entity, Closed, "Gone: what could not be removed was read back as gone", false, ""
	}
	where := e.Facts["resource"]
	if where == "" {
		where = e.Facts["place"]
	}
	if where != "" {
		m.Title += ", on " + where
	}
	m.Title = oneLine(m.Title, maxLine)
	names := make([]string, 0, len(e.Facts))
	for n := range e.Facts {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		m.Facts = append(m.Facts, Fact{strings.ReplaceAll(n, "_", " "), oneLine(e.Facts[n], maxLine)})
	}
	m.Facts = append(m.Facts, Fact{"event", string(e.Type)}, Fact{"at", instant(e.At)})
	if e.Actor.Principal != access.System.Principal && e.Actor.Principal != "" {
		m.Facts = append(m.Facts, Fact{"by", string(e.Actor.Principal)})
	}
	return m
}

// OfTrial is what a channel says when somebody tries it out.
func OfTrial(site Site, by access.PrincipalID, channel string, at time.Time) Message {
	return Message{Subject: "trial", Stage: Trial, Title: "Stint can reach this channel", At: at, Command: "stint get integration " + channel,
		Facts: []Fact{{"integration", channel}, {"tried by", string(by)}, {"installation", site.Installation}, {"at", instant(at)}}}
}
