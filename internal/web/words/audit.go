package words

import (
	"strconv"
	"strings"
	"time"
)

// The page of the log.
const (
	AuditTitle          = "Audit"
	AuditLede           = "Every change, in the order in which it was written, and the proof that none was taken out."
	AuditOwnTitle       = "Your records"
	AuditOwnLede        = "What the log says of you: what you did, and what was done to you."
	AuditSearch         = "Search"
	AuditTime           = "Time"
	AuditConditions     = "Conditions"
	AuditDrop           = "Drop this condition"
	AuditMore           = "More conditions"
	AuditSince          = "From (UTC)"
	AuditUntil          = "Until (UTC)"
	AuditSinceExample   = "2026-03-01T17:30"
	AuditUntilExample   = "2026-03-01T18:00"
	AuditCSV            = "CSV"
	AuditJSONL          = "JSONL"
	AuditClear          = "Clear"
	AuditRecords        = "Records"
	AuditChart          = "Records by time"
	AuditWhen           = "When"
	AuditOlder          = "Older records"
	AuditNone           = "No record matches."
	AuditNoneNext       = "Take a longer time, or drop a condition."
	AuditNotYet         = "Nothing among the newest records."
	AuditNotYetNext     = "Older ones were not looked at yet: go on with the button below."
	AuditDenied         = "denied"
	AuditTrouble        = "trouble"
	AuditTake           = "Take it along"
	AuditTakeNote       = "All that this search finds, not only this page, the newest first. A file that breaks off is a failed download."
	AuditSaved          = "Your searches"
	AuditSavedNone      = "You keep none yet. A name is enough; only you see it."
	AuditSaveName       = "Name of this search"
	AuditSave           = "Keep"
	AuditVerifyYourself = "This server has checked that. To check it from outside:"
	AuditUnchecked      = "not verified yet"
	AuditUnreadable     = "a record that cannot be read"
	AuditBadFormat      = "there is no such format"
	AuditBadFormatNext  = "take csv or jsonl"
	AuditBadSearch      = "the search cannot be read"
	AuditBadSearchNext  = "make it again on the page"
	AuditNoRecord       = "there is no such record"
	AuditNoRecordNext   = "search for it at /audit"
	AuditDevice         = "Device"
	AuditEntity         = "What changed"
	AuditProof          = "Proof"
	AuditProvenNote     = "Its hash and the path below give the root that the log's key has signed. Whoever holds the public key can check that without this server."
	AuditNotProvenYet   = "No checkpoint covers it yet. That takes a second."
	AuditNotProven      = "This record is not proven"
	AuditLeaf           = "Hash"
	AuditCheckpoint     = "The signed checkpoint"
	AuditRaw            = "As it is written"
	AuditRawNote        = "These bytes are what the hash covers."
	AuditPrevious       = "The one before"
	AuditFollowing      = "The one after"
)

// AuditField is what a condition is called.
func AuditField(name string) string {
	switch name {
	case "actor":
		return "Who did it"
	case "type":
		return "What happened"
	case "resource":
		return "Resource"
	case "request":
		return "Request or grant"
	case "outcome":
		return "How it came out"
	case "agent":
		return "Agent"
	case "address":
		return "From address"
	case "text":
		return "With this text"
	}
	return name
}

// AuditExample is what stands in an empty field.
func AuditExample(name string) string {
	switch name {
	case "actor":
		return "mira, service:ci"
	case "type":
		return "grant, grant.ended"
	case "resource":
		return "orders-db"
	case "request":
		return "req_…"
	case "agent":
		return "deploy-bot, or *"
	case "address":
		return "192.0.2.7"
	case "text":
		return "INC-2207"
	}
	return ""
}

// AuditOutcome is what an outcome is called.
func AuditOutcome(o string) string {
	switch o {
	case "denied":
		return "Denied"
	case "trouble":
		return "Trouble: somebody may have to look"
	case "done":
		return "Done"
	}
	return "Any"
}

// AuditRange is a span up to now.
func AuditRange(span string) string {
	switch span {
	case "1h":
		return "Last hour"
	case "24h":
		return "24 hours"
	case "7d":
		return "7 days"
	case "30d":
		return "30 days"
	}
	return span
}

// AuditCount says how many match.
func AuditCount(n int64) string {
	switch n {
	case 0:
		return "Nothing matches."
	case 1:
		return "1 record matches."
	}
	return strconv.FormatInt(n, 10) + " records match."
}

// AuditMost says when there were most.
func AuditMost(n int64, from time.Time) string {
	return "Most at once: " + strconv.FormatInt(n, 10) + ", from " + from.UTC().Format("2 Jan 15:04") + " UTC."
}

// AuditOnly says that not all was counted.
func AuditOnly(looked int64, oldest time.Time) string {
	return "Counted are the newest " + strconv.FormatInt(looked, 10) + " records of the log, back to " + oldest.UTC().Format("2 Jan 15:04") + " UTC."
}

// AuditBar is one bar in words.
func AuditBar(n int64, from, to time.Time) string {
	return Count(int(n), "record", "records") + ", " + from.UTC().Format("2 Jan 15:04") + " to " + to.UTC().Format("15:04") + " UTC"
}

// AuditNear says what a search would find without a condition.
func AuditNear(n int64, more bool, field, value string) string {
	at := "Nearest: "
	if more {
		at = "Nearest: at least "
	}
	return at + Count(int(n), "record", "records") + " if you drop “" + AuditField(field) + ": " + value + "”"
}

// AuditVerified says how far the log is proven: up to a record, and when that was written.
func AuditVerified(at time.Time, seq int64) string {
	return "verified to " + at.UTC().Format("15:04:05") + " UTC, record " + strconv.FormatInt(seq, 10)
}

// AuditPartly says that it is proven in part, so far.
func AuditPartly(signed, size int64) string {
	return "verified: " + strconv.FormatInt(signed, 10) + " of " + strconv.FormatInt(size, 10) + " records, so far"
}

// AuditDamaged says that the log is not what was signed.
func AuditDamaged(what string) string { return "damaged: " + what }

// AuditRecord is a record's number.
func AuditRecord(seq int64) string { return "Record " + strconv.FormatInt(seq, 10) }

// AuditVersion is the how manieth change of a thing a record is.
func AuditVersion(n int64) string { return "version " + strconv.FormatInt(n, 10) }

// AuditProven says that a record is in the log.
func AuditProven(seq, size int64) string {
	return "Record " + strconv.FormatInt(seq, 10) + " is in the log of " + strconv.FormatInt(size, 10) + " records that was signed"
}

// AuditPath is the way from a record to the root.
func AuditPath(n int) string { return "The path to the root: " + Count(n, "hash", "hashes") }

// AuditForget is the button that forgets a search.
func AuditForget(name string) string { return "Forget " + name }

// AuditEvent says in words what a record tells of. {x} is a fact, {actor} who did it and
// {entity} what it happened to; a part in brackets is left out where a fact in it is missing.
func AuditEvent(kind, actor, entity string, facts map[string]string) string {
	text, ok := auditEvents[kind]
	if !ok {
		text = "{actor}: " + kind + "[ {name}][ {resource}]"
	}
	var out strings.Builder
	for text != "" {
		before, rest, found := strings.Cut(text, "[")
		part, _ := fillIn(before, actor, entity, facts)
		out.WriteString(part)
		if !found {
			break
		}
		inner, after, _ := strings.Cut(rest, "]")
		if part, whole := fillIn(inner, actor, entity, facts); whole {
			out.WriteString(part)
		}
		text = after
	}
	return out.String()
}

// fillIn puts the facts in, and says whether all were there. A text of somebody's is cut.
func fillIn(text, actor, entity string, facts map[string]string) (string, bool) {
	const most = 160
	var out strings.Builder
	whole := true
	for {
		before, rest, found := strings.Cut(text, "{")
		out.WriteString(before)
		if !found {
			return out.String(), whole
		}
		name, after, _ := strings.Cut(rest, "}")
		text = after
		v := facts[name]
		switch name {
		case "actor":
			if v = strings.TrimPrefix(actor, "user:"); actor == "service:stint" {
				v = "Stint"
			}
		case "entity":
			v = strings.TrimPrefix(entity, "user:")
		}
		if r := []rune(v); len(r) > most {
			v = string(r[:most]) + "…"
		}
		if v == "" {
			whole = false
			v = "?"
		}
		out.WriteString(v)
	}
}

var auditEvents = map[string]string{
	"request.submitted":  "{actor} asked for {role} on {resource}[ for {duration}][: {state}][ by {policy}]",
	"request.voted":      "{actor} said yes to {entity}; more votes are needed[: {note}]",
	"request.approved":   "{actor} approved {entity} of {person}[: {note}]",
	"request.denied":     "{actor} denied {entity} of {person}[: {note}]",
	"request.cancelled":  "{actor} withdrew {entity}",
	"request.expired":    "Nobody answered {entity} of {person} in time",
	"request.reminded":   "Those who are asked about {entity} were reminded[: {asked}]",
	"request.escalated":  "{entity} of {person} was passed on[ to {to}]",
	"request.questioned": "{actor} asked about {entity}[: {text}]",
	"request.answered":   "{actor} answered about {entity}[: {text}]",
	"delegation.made":    "{actor} handed the approvals of {person} to {to_person}[: {why}]",
	"delegation.ended":   "{actor} ended the delegation of {person} to {to_person}",
	"favourite.saved":    "{actor} keeps {role} on {resource} as {name}",
	"favourite.deleted":  "{actor} forgot the favourite {name}",
	"search.saved":       "{actor} keeps a search of the log as {name}",
	"search.deleted":     "{actor} forgot the search {name}",

	"grant.created":    "{person} was granted {role} on {resource}[ for {duration}]",
	"grant.started":    "The time of {person} for {role} on {resource} has come",
	"grant.active":     "{person} has {role} on {resource}[ until {expires_at}]",
	"grant.shortened":  "{role} on {resource} of {person} ends earlier[: {why}]",
	"grant.extended":   "{role} on {resource} of {person} lasts longer[, until {expires_at}]",
	"grant.ending":     "{role} on {resource} of {person} is over[ ({end_reason})][: {note}]; removal begins",
	"grant.ended":      "{role} on {resource} of {person} is gone[ ({state})][, {lag} after its end]",
	"grant.residue":    "What {person} left behind[ on {place}]: {residue}",
	"credential.shown": "{actor} saw the credential of {role} on {resource}",
	"sessions.cut":     "{actor} ended the open sessions of {person} on {resource}[: {why}]",

	"oncall.changed":    "Somebody else is on call for {integration}[: {on_call}]",
	"oncall.lost":       "It cannot be found out who is on call by {integration}[: {why}]",
	"breakglass.opened": "{person} opened break-glass access to {resource} as {role}[: {reason}]",
	"review.overdue":    "Nobody has reviewed the break-glass access of {person} to {resource}",
	"review.closed":     "{actor} reviewed the break-glass access of {person} to {resource}: {finding}",
	"code.made":         "{actor} made a break-glass code[ for {principal}]",
	"code.used":         "A break-glass code was used[ by {principal}]",
	"code.revoked":      "{actor} made a break-glass code worthless",

	"entitlement.intended":   "Stint is about to make {mechanism} {account} on {resource}",
	"entitlement.observed":   "Stint read what was on {resource} before",
	"entitlement.present":    "{account} is on {resource}, read back",
	"entitlement.refreshing": "{account} on {resource} is being made anew",
	"entitlement.removing":   "{account} is being removed from {resource}",
	"entitlement.gone":       "{account} was read back as gone from {resource}",

	"access.revoked":        "{actor} revoked {what}[: {why}]",
	"grants.stopped":        "{actor} stopped all new grants[: {why}]",
	"grants.resumed":        "{actor} allowed new grants again[: {why}]",
	"journal.removing":      "While the store was away, {account} on {resource} was about to be removed",
	"journal.removed":       "While the store was away, {account} was removed from {resource}",
	"journal.spoilt":        "While the store was away, the shared credential {account} on {resource} was made useless",
	"journal.trouble":       "While the store was away, {account} on {resource} could not be removed[: {said}]",
	"clock.doubted":         "Stint does not trust its clock[: {why}]",
	"clock.trusted":         "Stint trusts its clock again",
	"clock.vouched":         "{actor} says that a clock which is far away is right[: {why}]",
	"clock.accepted":        "{actor} accepted a clock as the second one[: {why}]",
	"removal.trouble":       "{account} on {resource} cannot be removed; it is tried on[: {said}]",
	"foreign.found":         "Something stands in the place of {account} on {resource} that Stint did not make[: {said}]",
	"sweep.found":           "{account} had no live grant[ on {place}] and is being removed",
	"standing.found":        "Standing privileges on {resource} were looked for: {found} found[, new: {new}][, gone: {gone}]",
	"sweep.allowed":         "{actor} let a sweep of {resource} remove {remove}[: {why}]",
	"sweep.stopped":         "A sweep[ of {place}] wanted to remove too much and stopped[: {said}]",
	"log.gap":               "A witness knows records that the log has lost[: {said}]",
	"quarantine.accepted":   "{actor} accepted the quarantine as the first of two[: {why}]",
	"backup.taken":          "{actor} took a backup[ of {records} records]",
	"claim.refused":         "[{place}: ]a target belongs to another Stint[: {said}]",
	"claim.contested":       "[{place}: ]a copy of this Stint works on the target too[: {said}]",
	"integration.tested":    "{actor} sent a test to {integration}[: {said}]",
	"resource.checked":      "{actor} checked {resource}[: {ok}]",
	"documents.applied":     "{actor} changed the documents[: {changes}]",
	"proposal.made":         "{actor} proposed a change[: {summary}]",
	"proposal.approved":     "{actor} approved {entity} of {person}[: {note}]",
	"proposal.applied":      "{entity} of {person} was carried out",
	"proposal.denied":       "{actor} denied {entity} of {person}[: {note}]",
	"proposal.withdrawn":    "{actor} took {entity} back",
	"twopersons.set":        "{actor} changed when two persons are needed: {mode}[: {why}]",
	"credential.set":        "{actor} registered {entity}[ for {address}]",
	"credential.deleted":    "{actor} deleted {entity}",
	"vault.added":           "{actor} put {account} of {resource} into the vault",
	"vault.rotating":        "A fresh password for {account} of {resource} is made[: {why}]",
	"vault.rotated":         "{account} of {resource} has another password, and the one before is dead[: {why}]",
	"vault.lent":            "The password of {account} of {resource} is lent",
	"vault.drifted":         "The password of {account} of {resource} was changed by hand; it is set anew",
	"vault.emptied":         "{account} of {resource} is left without a password: its host takes none by orders any more",
	"vault.unreadable":      "What the vault has for {account} of {resource} does not open with the seal key",
	"vault.suspected":       "{actor} asked for another password of {account} of {resource}[: {why}]",
	"vault.removed":         "{actor} took {account} of {resource} out of the vault",
	"host.invited":          "{actor} had a code made for the agent of {entity}",
	"host.enrolled":         "The agent of {entity} enrolled[, {program}]",
	"host.revoked":          "{actor} revoked the agent of {entity}",
	"host.keys":             "{entity} shows other keys: {keys}",
	"host.ceiling":          "{entity} lets other things be done than before, by its own roster",
	"host.certified":        "{entity} has certificates for its keys, for {names}[, until {until}]",
	"host.ended":            "The agent of {host} took away {account} of {person} by its own clock[, at {ended_at}]",
	"host.doubted":          "The agent of {entity} gave an answer that an honest one does not[: {why}]",
	"gateway.invited":       "{actor} had a code made for {entity}[ at {address}]",
	"gateway.enrolled":      "{entity} enrolled[, {program}]",
	"gateway.carries":       "{actor} said that {entity} carries {carries}",
	"gateway.rekeyed":       "{entity} takes connections by another certificate than before[: {doors}]",
	"gateway.revoked":       "{actor} revoked {entity}",
	"session.opened":        "{person} connected to {resource} as {account}[ from {source}]",
	"gateway.doors":         "{entity} takes connections[: {doors}]",
	"session.login":         "The gateway {gateway} got the login of {account} on {resource}, for {person}",
	"session.doubted":       "A second key asked for the login of {account} on {resource}, for {person}, and was refused",
	"session.ending":        "{actor} ended the session of {person} on {resource}[: {why}]",
	"session.alarmed":       "A command of {person} on {resource} set off an alarm[: {text}]",
	"session.closed":        "The session of {person} on {resource} closed[: {reason}]",
	"command.began":         "{account} runs {command} as {run_as} on {host}",
	"command.ended":         "{command} ended on {host}[ with {status}][: {cut}]",
	"session.paused":        "{actor} paused the session of {person} on {resource}[: {why}]",
	"session.resumed":       "{actor} let the session of {person} on {resource} go on",
	"recording.begun":       "The recording of {session} comes from {gateway}",
	"recording.kept":        "The recording of {session} is kept[, {frames} chunks]",
	"recording.opened":      "{actor} opened the recording of {session}[ to {what}]",
	"recording.closed":      "{actor} closed the recording of {session}[, seen {from} to {to}]",
	"recording.removed":     "The recording of {session} was removed[: {why}]",
	"recording.held":        "{actor} holds the recording of {session}[: {why}]",
	"recording.freed":       "{actor} let the recording of {session} go[: {why}]",
	"key.rotated":           "The key “{which}” was replaced",
	"installation.restored": "The data came from a backup[ of {backup_at}]",
	"quarantine.began":      "Nothing is granted: the data is not what it was[: {why}]",
	"quarantine.lifted":     "New access is granted again[: {why}]",

	"principal.created":   "{actor} made {entity}",
	"principal.updated":   "{actor} renewed {entity}",
	"principal.changed":   "{actor} changed {entity}[: {changed}]",
	"contract.changed":    "{actor} changed the contract of {entity}[: {why}]",
	"principal.promoted":  "{actor} gave {entity} a right in Stint, as {proposer} proposed",
	"task.opened":         "{actor} began the task {task}",
	"task.ended":          "{actor} ended the task {task}[: {why}]",
	"principal.linked":    "{actor} linked {entity} to {subject} of {provider}",
	"principal.unlinked":  "{actor} took {subject} of {provider} away from {entity}",
	"principal.disabled":  "{actor} disabled {entity}[: {why}]",
	"principal.locked":    "{actor} locked {entity}[: {why}]",
	"principal.unlocked":  "{actor} unlocked {entity}[: {why}]",
	"principal.kept":      "{entity} left, and is the last administrator[: {why}]",
	"principal.ended":     "What {entity} had was ended[: {why}]",
	"directory.stale":     "The directory {integration} cannot be read[: {why}]",
	"directory.read":      "The directory {integration} can be read again",
	"directory.held":      "The directory {integration} says that {gone} of {of} people are gone; somebody has to confirm it",
	"directory.confirmed": "{actor} confirmed that people of {integration} are gone",
	"token.created":       "{actor} made a token for {provider}",
	"token.ended":         "{actor} ended a token for {provider}",
	"enrolment.created":   "{actor} made a one-time code for {principal}",
	"enrolment.used":      "{principal} used a one-time code",
	"login.created":       "{principal} signed in[ with {provider}][ on {client}]",
	"login.ended":         "A sign-in of {principal} ended[: {why}]",
	"exchange.replayed":   "A token of {principal} was shown twice; nobody was let in",
	"login.refused":       "{actor} refused to sign in a device[ from {asked_from}]",
	"recovery.created":    "{actor} made recovery codes",
	"recovery.used":       "{actor} used a recovery code",

	"passkey.proposed": "{actor} made the passkey {name}; others have to vouch for it",
	"passkey.vouched":  "{actor} vouched for the passkey {name} of {person}",
	"passkey.enrolled": "The passkey {name} of {person} is active",
	"passkey.removed":  "{actor} ended the passkey {name} of {person}",
	"passkey.refused":  "The passkey {name} of {person} was refused: there may be a copy of it",
}
