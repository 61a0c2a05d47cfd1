package access

import (
	"strconv"
	"strings"
	"time"
)

// EventType names what happened: "noun.verb", past tense. Stored: only append.
type EventType string

// The events of the core. Doors and broker add those of configuration and
// sign-in; the whole catalogue stands in docs/reference/events.md.
const (
	RequestSubmitted EventType = "request.submitted"
	RequestVoted     EventType = "request.voted" // a vote that does not decide yet
	RequestApproved  EventType = "request.approved"
	RequestDenied    EventType = "request.denied"
	RequestCancelled EventType = "request.cancelled"
	RequestExpired   EventType = "request.expired"

	RequestReminded   EventType = "request.reminded"   // nobody has answered for a while
	RequestEscalated  EventType = "request.escalated"  // others are asked for the same places too
	RequestQuestioned EventType = "request.questioned" // somebody who is asked wants to know more
	RequestAnswered   EventType = "request.answered"   // and who asks for access says it

	GrantCreated   EventType = "grant.created" // scheduled or provisioning
	GrantStarted   EventType = "grant.started" // scheduled -> provisioning
	GrantActive    EventType = "grant.active"
	GrantExtended  EventType = "grant.extended"
	GrantShortened EventType = "grant.shortened" // its end was lowered to that of a contract or a task
	GrantEnding    EventType = "grant.ending"
	GrantEnded     EventType = "grant.ended" // or failed; removal was read back

	CredentialShown EventType = "credential.shown"

	EntitlementIntended   EventType = "entitlement.intended"
	EntitlementObserved   EventType = "entitlement.observed" // the state before us
	EntitlementPresent    EventType = "entitlement.present"
	EntitlementRefreshing EventType = "entitlement.refreshing"
	EntitlementRemoving   EventType = "entitlement.removing"
	EntitlementGone       EventType = "entitlement.gone"
)

// Event reports one change of one entity. It never holds a secret. The broker
// appends it to the audit log in the transaction that makes the change.
type Event struct {
	Type    EventType
	At      time.Time // UTC, milliseconds
	Entity  string    // the id of what changed: "grt_…", "user:mira", "documents"
	Version int64     // the entity's version after the change; 1 for the first, dense
	Actor   Actor
	// Facts are the particulars, by name. Values are text for people and
	// machines; names are those of the JSON API.
	Facts map[string]string
}

func fact(kv ...string) map[string]string {
	m := make(map[string]string, len(kv)/2)
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			m[kv[i]] = strings.ToValidUTF8(kv[i+1], "\uFFFD") // a target's words must not keep a record out of the log
		}
	}
	return m
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// Stamp is the time format of Stint: RFC 3339 UTC with milliseconds.
const Stamp = "2006-01-02T15:04:05.000Z"

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(Stamp)
}
