package notify

import (
	"maps"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
)

// trouble is what an event says that somebody should look at now, and what to do.
type trouble struct{ title, next string }

// troubles are those events.
var troubles = map[access.EventType]trouble{
	"removal.trouble":       {"Access is not gone: a removal does not succeed", "stint admin doctor"},
	"foreign.found":         {"Something foreign stands where access of ours should be", "stint admin doctor"},
	"sweep.stopped":         {"A sweep stopped: it would have removed more than its budget", "stint admin doctor"},
	"claim.refused":         {"A target belongs to another Stint", "stint admin doctor"},
	"claim.contested":       {"A copy of this Stint works on a target", "stint admin doctor"},
	"log.gap":               {"The audit log has lost records that a witness knows", "stint audit verify"},
	"quarantine.began":      {"Quarantine: nothing is granted", "stint admin restore status"},
	"installation.restored": {"Data was restored from a backup: nothing is granted", "stint admin restore status"},
	"grants.stopped":        {"All new grants are stopped", "stint admin resume"},
	"clock.doubted":         {"A replica does not trust its clock, and grants nothing", "stint admin clock"},
	"breakglass.opened":     {"Break-glass: somebody has taken access", "stint status"},
	"directory.held":        {"A directory says that more people are gone than is believed: nobody loses anything until an administrator confirms", "stint admin directory show"},
	"directory.stale":       {"A directory cannot be read: who left there is not known here", "stint admin directory show"},
	"vault.unreadable":      {"A password in the vault does not open with the seal key: it is set anew, unless it is lent; then the account stays locked", "stint admin vault ls"},
	"vault.drifted":         {"The password of a vaulted account was changed by hand: it is set anew", "stint admin vault ls"},
	"vault.emptied":         {"A vaulted account is left without a password: its host has a roster now, and takes none", "stint admin vault ls"},
	"gateway.rekeyed":       {"A gateway shows clients of databases another certificate than before: somebody may have its key", "stint admin gateway list"},
	"session.doubted":       {"The login of a session was asked for by a second key, and refused: somebody may have its gateway's key", "stint session ls"},
	"review.overdue":        {"The review of a break-glass access is overdue", "stint status"},
	"code.used":             {"A one-time code for break-glass was used", "stint audit search --type code.used"},
}

// ends are the events that close a trouble of the same entity, and what they say.
var ends = map[access.EventType]string{
	access.EntitlementGone: "Gone: what could not be removed was read back as gone",
	"vault.rotated":        "Healed: only Stint knows the vaulted password again",
	"vault.removed":        "Taken out of the vault: Stint sets no password of the account any more",
	"review.closed":        "Reviewed: the break-glass access has its finding",
	"grants.resumed":       "New grants are possible again",
}

// subjectOfTrouble is what a record of trouble is about: the entitlement, so that it
// can be closed, or else the entity of the report.
func subjectOfTrouble(e access.Event) string {
	if id := e.Facts["entitlement"]; strings.HasPrefix(id, "ent_") {
		return id
	}
	return e.Entity
}

// OfTrouble renders a record of trouble, or of its end.
func OfTrouble(e access.Event) Message {
	m := Message{Subject: subjectOfTrouble(e), Stage: Open, Title: troubles[e.Type].title, Urgent: true, At: e.At, Command: troubles[e.Type].next}
	if end, over := ends[e.Type]; over {
		m.Subject, m.Stage, m.Title, m.Urgent, m.Command = e.Entity, Closed, end, false, ""
	}
	where := e.Facts["resource"]
	if where == "" {
		where = e.Facts["place"]
	}
	m.Topic = "Trouble (" + m.Subject + ")"
	if where != "" {
		m.Title += ", on " + where
		m.Topic = oneLine("Trouble on "+where, maxLine-40) + " (" + m.Subject + ")"
	}
	if who := e.Facts["principal"]; who != "" && strings.HasPrefix(string(e.Type), "breakglass.") {
		m.Title += ", by " + who
		m.Reason = e.Facts["reason"]
	}
	if e.Facts["drill"] == "true" {
		m.Title, m.Drill, m.Urgent = "DRILL: "+m.Title, true, false
	}
	m.Title = oneLine(m.Title, maxLine)
	for _, n := range slices.Sorted(maps.Keys(e.Facts)) {
		if n != "reason" || m.Reason == "" {
			m.Facts = append(m.Facts, Fact{strings.ReplaceAll(n, "_", " "), oneLine(e.Facts[n], maxLine)})
		}
	}
	m.Facts = append(m.Facts, Fact{"event", string(e.Type)}, Fact{"at", instant(e.At)})
	if e.Actor.Principal != access.System.Principal && e.Actor.Principal != "" {
		m.Facts = append(m.Facts, Fact{"by", string(e.Actor.Principal)})
	}
	return m
}

// OfTrial is what a channel says when somebody tries it out.
func OfTrial(site Site, by access.PrincipalID, channel string, at time.Time) Message {
	return Message{Subject: "trial", Stage: Trial, Topic: "Stint can reach this channel", Title: "Stint can reach this channel", At: at, Command: "stint get integration " + channel,
		Facts: []Fact{{"integration", channel}, {"tried by", string(by)}, {"installation", site.Installation}, {"at", instant(at)}}}
}
