package linux

import (
	"cmp"
	"slices"
)

// Fingerprint is what carries power on a host past a session, beside what Stint made. It
// is stored: fields are only added.
type Fingerprint struct {
	Lines []Trail `json:"lines"` // sorted
	// Rooted are the accounts that can be root by themselves, each with how.
	Rooted map[string]string `json:"rooted,omitempty"`
	Gaps   []string          `json:"gaps,omitempty"` // what could not be read
}

// Trail is one thing that carries power. Whatever makes a difference is part of the key.
type Trail struct {
	Kind string `json:"kind"`
	Path string `json:"path"`
	Key  string `json:"key"`
	UID  int    `json:"uid"`          // whose it is
	Of   string `json:"of,omitempty"` // the account in whose home it is
}

// The kinds of trails.
const (
	TrailSetuid  = "setuid"
	TrailCaps    = "capabilities"
	TrailKeys    = "authorized keys"
	TrailCron    = "cron"
	TrailAt      = "at"
	TrailUnit    = "systemd unit"
	TrailLinger  = "linger"
	TrailPAM     = "PAM"
	TrailSudo    = "sudoers"
	TrailSSHD    = "sshd"
	TrailStart   = "start-up file"
	TrailAccount = "account"
	TrailMember  = "membership"
	TrailProcess = "process"
)

// Sort puts the lines into the order in which two fingerprints are compared.
func (f *Fingerprint) Sort() {
	slices.SortFunc(f.Lines, compareTrails)
	f.Lines = slices.Compact(f.Lines)
	slices.Sort(f.Gaps)
}

func compareTrails(a, b Trail) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Key, b.Key), cmp.Compare(a.UID, b.UID), cmp.Compare(a.Of, b.Of))
}

// Powerful are the groups whose members are as good as root, or read what only root may,
// on the distributions there are.
var Powerful = []string{"root", "sudo", "wheel", "admin", "disk", "shadow", "docker", "lxd", "incus", "incus-admin", "libvirt"}
