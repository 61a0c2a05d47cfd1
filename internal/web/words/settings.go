package words

import (
	"strconv"
	"strings"
	"time"
)

// Settings: what this server is connected to, what it signs with, and how it is.
const (
	Settings               = "Settings"
	SettingsLede           = "What this server is connected to, what it signs with, and how it is."
	SettingsTabMain        = "Overview"
	SettingsTabDoctor      = "Checks"
	SettingsTabs           = "Parts of the settings"
	SettingsServer         = "This server"
	SettingsVersion        = "Version"
	SettingsReplica        = "This replica"
	SettingsClock          = "Clock"
	SettingsTrusted        = "trusted"
	SettingsStopSwitch     = "Stop switch"
	SettingsRunning        = "Grants are given."
	SettingsStoppedNow     = "Nothing new is granted: "
	SettingsStopHow        = "To stop all new grants at once"
	SettingsResumeHow      = "To go on"
	SettingsHeld           = "Held back"
	SettingsNothing        = "nothing"
	SettingsReady          = "Ready"
	SettingsYes            = "yes"
	SettingsPublicURL      = "Address"
	SettingsKeys           = "Log and keys"
	SettingsOrigin         = "Log"
	SettingsKey            = "Checkpoints are signed by"
	SettingsFingerprint    = "Fingerprint"
	SettingsHead           = "Newest checkpoint"
	SettingsLag            = "Waiting for a number"
	SettingsWitness        = "Witnesses"
	SettingsNoWitness      = "none: if the store is taken back to an earlier state, only clients that verified since notice it"
	SettingsVerify         = "To verify the whole log yourself"
	SettingsRotate         = "To change the key, on the server's host while stintd is stopped"
	SettingsBackup         = "Backup"
	SettingsBackupLast     = "Last backup"
	SettingsBackupNever    = "Stint handed none out. That is well only if the database is backed up by its own means."
	SettingsDrillLast      = "Last restore"
	SettingsDrillNone      = "not known here: Stint does not see where you try a backup out"
	SettingsBackupHow      = "To make one"
	SettingsRestoreHow     = "To try one out, on another host"
	SettingsRotateCommand  = "stintd rotate-key log"
	SettingsRestoreCommand = "stintd restore FILE"

	SettingsOutside      = "Connections"
	SettingsOutsideNone  = "Nothing is connected"
	SettingsOutsideEmpty = "Describe a chat, a mailbox, a pager or an identity provider in a document of kind Integration, and apply it: stint apply -f FILE."
	SettingsAddress      = "Address"
	SettingsCredential   = "Credential"
	SettingsSource       = "Document"
	SettingsSend         = "Send a test"
	SettingsTry          = "Read it as a trial"
	SettingsTrialNext    = "Look whether the address answers from this server and whether its credential is right, and send another test."
	SettingsTestedNever  = "never tried from here"
	SettingsTested       = "Last test"
	SettingsTook         = "it was taken"
	SettingsOK           = "works"
	SettingsUnproven     = "not proven"
	SettingsTroubled     = "in trouble"
	SettingsNoTest       = "Nothing is sent there by itself: it is proven when it is used."
	SettingsSince        = "since"
	SettingsRead         = "Last read"

	SettingsChecks     = "Checks"
	SettingsChecksLede = "The same checks as stint admin doctor, as this replica sees it now."
	SettingsWhy        = "Why it matters"
	SettingsFix        = "What to do"
	SettingsNoChecks   = "This server offers no checks"
	SettingsNoKeep     = "Run stintd doctor on its host."
	SettingsAllWell    = "Nothing failed"
	SettingsOnly       = "settings are for administrators"
	SettingsOnlyNext   = "an administrator looks there; go back to /"
)

// SettingsKinds are the headings of kinds of integrations, and SettingsOther of all others.
var SettingsKinds = map[string]string{"oidc": "Identity providers", "scim": "Directories and provisioning", "directory": "Directories and provisioning",
	"signals": "Security signals", "slack": "Chat", "teams": "Chat", "mail": "Mail", "pagerduty": "Pagers", "webhook": "Webhooks and log sinks"}

// SettingsOther is the heading of all others: ticket systems and on-call schedules.
const SettingsOther = "Tickets and on-call"

// SettingsResults are what a check can say.
var SettingsResults = map[string]string{"ok": "ok", "warn": "look at it", "fail": "failed"}

// SettingsCount says what the checks came to.
func SettingsCount(failed, warned, all int) string {
	if failed == 0 && warned == 0 {
		return "All " + strconv.Itoa(all) + " checks are well."
	}
	var parts []string
	if failed > 0 {
		parts = append(parts, Count(failed, "check failed", "checks failed"))
	}
	if warned > 0 {
		parts = append(parts, Count(warned, "needs a look", "need a look"))
	}
	return strings.Join(parts, ", ") + ", of " + strconv.Itoa(all) + "."
}

// SettingsBehind says how far a reader of the log is behind.
func SettingsBehind(n int64) string {
	if n <= 0 {
		return "it has read the whole log"
	}
	return "it is " + Count(int(n), "record", "records") + " behind in the log"
}

// SettingsWitnessed says how many witnesses sign.
func SettingsWitnessed(signing, all int, tail int64) string {
	text := strconv.Itoa(signing) + " of " + strconv.Itoa(all) + " signed when asked last"
	if tail > 0 {
		text += "; " + Count(int(tail), "record is", "records are") + " not witnessed yet"
	}
	return text
}

// SettingsRecords counts what is in the log.
func SettingsRecords(n int64) string { return Count(int(n), "record", "records") }

// SettingsWaiting says how much of the log has no number yet.
func SettingsWaiting(n int64, oldest time.Duration) string {
	if n == 0 {
		return "nothing"
	}
	return Count(int(n), "record", "records") + ", the oldest for " + Lasted(oldest)
}

// SettingsOff says by how much the clock is off.
func SettingsOff(ahead time.Duration) string {
	switch {
	case ahead < 0:
		return Lasted(-ahead) + " behind Stint's time"
	case ahead > 0:
		return Lasted(ahead) + " ahead of Stint's time"
	}
	return "as Stint's time"
}

// SettingsBy says who tried something.
func SettingsBy(who string) string { return "by " + who }

// SettingsNotTaken says why a test failed.
func SettingsNotTaken(said string) string { return "it failed: " + said }

// SettingsPeople counts what a directory gave.
func SettingsPeople(users, groups int) string {
	return Count(users, "person", "people") + " in " + Count(groups, "group", "groups")
}

// SettingsTestCommand is the same on a command line.
func SettingsTestCommand(name string) string { return "stint admin integration test " + name }

// SettingsDirectoryCommand is that of a directory.
func SettingsDirectoryCommand(name string) string { return "stint admin directory test " + name }
