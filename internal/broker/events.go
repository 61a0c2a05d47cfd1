package broker

import (
	"strings"
	"time"

	"stint/internal/access"
)

// The broker's own events: configuration, and what it found.
const (
	DocumentsApplied access.EventType = "documents.applied"
	CredentialSet    access.EventType = "credential.set"
	// KeyRotated is appended by the command that replaces a key of the installation.
	KeyRotated access.EventType = "key.rotated"
	// InstallationRestored is appended by the command that raises the epoch.
	InstallationRestored access.EventType = "installation.restored"

	QuarantineBegan    access.EventType = "quarantine.began"    // the data looks old; nothing is granted
	QuarantineAccepted access.EventType = "quarantine.accepted" // by the first of two administrators
	QuarantineLifted   access.EventType = "quarantine.lifted"
	LogGapFound        access.EventType = "log.gap" // a witness knows records that are lost
	// BackupTaken is appended by the door that hands a backup out.
	BackupTaken access.EventType = "backup.taken"

	GrantsStopped     access.EventType = "grants.stopped"
	GrantsResumed     access.EventType = "grants.resumed"
	PrincipalDisabled access.EventType = "principal.disabled"
	PrincipalKept     access.EventType = "principal.kept"  // the last administrator, who left
	PrincipalEnded    access.EventType = "principal.ended" // what it held, and not itself
	ResourceChecked   access.EventType = "resource.checked"
	// IntegrationTested says that somebody had a test message sent.
	IntegrationTested access.EventType = "integration.tested"
	// What people keep for themselves of what they often ask for.
	FavouriteSaved   access.EventType = "favourite.saved"
	FavouriteDeleted access.EventType = "favourite.deleted"

	AccessRevoked  access.EventType = "access.revoked"  // a panic revocation, whatever it met
	RemovalTrouble access.EventType = "removal.trouble" // a removal does not succeed
	ForeignFound   access.EventType = "foreign.found"   // not what we made where ours should be
	SweepFound     access.EventType = "sweep.found"     // of ours, without a live grant; removed
	SweepAllowed   access.EventType = "sweep.allowed"   // an administrator lets it remove more
	GrantResidue   access.EventType = "grant.residue"   // what an ended grant left behind, or that it is nothing
	ClaimRefused   access.EventType = "claim.refused"   // a target is another's, or somebody wrote our name on it
	ClaimContested access.EventType = "claim.contested" // a copy of this installation works on a target
	SweepStopped   access.EventType = "sweep.stopped"   // it wanted to remove more than its budget
	// What was done while the store took no changes, brought into the log after.
	JournalRemoving access.EventType = "journal.removing" // was about to be removed
	JournalRemoved  access.EventType = "journal.removed"  // was read back as gone
	JournalSpoilt   access.EventType = "journal.spoilt"   // a shared credential was made useless
	JournalTrouble  access.EventType = "journal.trouble"  // did not succeed then
)

// What records are about, for those who look for them: what is no change of a lasting
// entity is a note, and the installation is one entity.
const (
	NoteKind     = "note_"
	Installation = "installation"
)

// alarmEvent reports something that is no change of a lasting entity; each such
// report is an entity of its own, at version 1.
func (b *Broker) alarmEvent(t access.EventType, now time.Time, actor access.Actor, kv ...string) access.Event {
	facts := map[string]string{}
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			facts[kv[i]] = strings.ToValidUTF8(kv[i+1], "\uFFFD")
		}
	}
	id := string(access.NewRequestID(now.UnixMilli(), b.entropy()))[len("req_"):]
	return access.Event{Type: t, At: now, Entity: NoteKind + id, Version: 1, Actor: actor, Facts: facts}
}
