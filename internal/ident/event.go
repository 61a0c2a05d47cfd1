package ident

import (
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// The events of this package. Stored: only append.
const (
	PrincipalCreated access.EventType = "principal.created"
	PrincipalUpdated access.EventType = "principal.updated" // a service renewed
	PrincipalChanged access.EventType = "principal.changed" // a user's groups, manager or rights

	PrincipalLinked   access.EventType = "principal.linked"   // to a subject of a provider
	PrincipalUnlinked access.EventType = "principal.unlinked" // from it

	TokenCreated access.EventType = "token.created" // of an integration
	TokenEnded   access.EventType = "token.ended"   // brought forward, or at once

	EnrolmentCreated access.EventType = "enrolment.created"
	EnrolmentUsed    access.EventType = "enrolment.used"

	LoginCreated access.EventType = "login.created"
	LoginEnded   access.EventType = "login.ended" // signed out
	// ExchangeReplayed says that a workload's token was shown again, and not by who had
	// shown it first.
	ExchangeReplayed access.EventType = "exchange.replayed"

	LoginRefused access.EventType = "login.refused" // a person said no to a device that asked to sign in as them
)

func principalEvent(t access.EventType, p access.Principal, by access.Actor, now time.Time, more ...string) access.Event {
	facts := facts(append(more, "name", p.ID.Name(), "kind", string(p.Kind()), "person", string(p.Person), "manager", string(p.Manager),
		"groups", groupsText(p.Groups), "admin", flag(p.Admin), "auditor", flag(p.Auditor), "author", flag(p.Author), "until", stamp(p.Until),
		"sponsor", string(p.Sponsor), "company", p.Company, "responsible", string(p.Responsible))...)
	return access.Event{Type: t, At: now, Entity: string(p.ID), Version: p.Version, Actor: by, Facts: facts}
}

func enrolmentEvent(t access.EventType, e access.Enrolment, version int64, by access.Actor, now time.Time) access.Event {
	return access.Event{Type: t, At: now, Entity: "enrolment:" + short(e.Code), Version: version, Actor: by,
		Facts: facts("principal", string(e.Principal), "expires_at", stamp(e.ExpiresAt))}
}

func loginEvent(t access.EventType, l access.Login, version int64, by access.Actor, now time.Time) access.Event {
	return access.Event{Type: t, At: now, Entity: "login:" + short(l.Token), Version: version, Actor: by,
		Facts: facts("principal", string(l.Principal), "device", string(l.Device), "expires_at", stamp(l.ExpiresAt), "kind", string(l.Kind),
			"provider", l.Auth.Provider, "methods", strings.Join(l.Auth.Methods, " "), "class", l.Auth.Class, "mfa", flag(l.Auth.MFA),
			"signed_in_at", stamp(l.Auth.At), "client", l.Client)}
}

// short names a code or a token in the log by 80 bits of its hash, from which
// nobody can go back to 256 random bits.
func short(d access.Digest) string { return hex.EncodeToString(d[:10]) }

func facts(kv ...string) map[string]string {
	m := make(map[string]string, len(kv)/2)
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			m[kv[i]] = kv[i+1]
		}
	}
	return m
}

func groupsText(gs []access.Group) string {
	var names []string
	for _, g := range gs {
		names = append(names, string(g))
	}
	return strings.Join(names, ",")
}

func attributesText(m map[string]string) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, name+"="+m[name])
	}
	return strings.Join(pairs, ",")
}

// flag writes true, and leaves false out.
func flag(b bool) string {
	if b {
		return strconv.FormatBool(b)
	}
	return ""
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(access.Stamp)
}
