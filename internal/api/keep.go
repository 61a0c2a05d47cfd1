package api

import (
	"context"
	"io"
	"net/http"
)

// Keeping an installation: backups, what comes after a restore, what is wrong.

// Backup writes a backup of the whole store to w. One that breaks off is an
// error, and does not check.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	return c.follow(ctx, []string{"admin", "backup"}, nil, func(s *stream) error {
		_, err := io.Copy(w, s)
		return err
	})
}

// Quarantine tells whether the installation is in quarantine, and what stands in
// the way of its end.
func (c *Client) Quarantine(ctx context.Context) (Quarantine, error) {
	return get[Quarantine](ctx, c, call{method: http.MethodGet, path: []string{"admin", "quarantine"}})
}

// AcceptQuarantine ends a quarantine.
func (c *Client) AcceptQuarantine(ctx context.Context, a QuarantineAccept) (QuarantineAccepted, error) {
	return get[QuarantineAccepted](ctx, c, call{method: http.MethodPost, path: []string{"admin", "quarantine", "accept"}, in: a})
}

// Doctor asks the server what is wrong with it.
func (c *Client) Doctor(ctx context.Context) (Doctor, error) {
	return get[Doctor](ctx, c, call{method: http.MethodGet, path: []string{"admin", "doctor"}})
}

// Witnessed reads the newest checkpoint that a witness has signed, with all
// cosignatures on it.
func (c *Client) Witnessed(ctx context.Context) (Checkpoint, error) {
	return get[Checkpoint](ctx, c, call{method: http.MethodGet, path: []string{"audit", "witnessed"}})
}

// Quarantine is the state after a restore, or when the data looks older than it
// was: nothing is granted, everything that ends access goes on.
type Quarantine struct {
	Quarantined bool              `json:"quarantined"`
	Kind        string            `json:"kind,omitempty" doc:"restored, looks-old or unreadable" example:"restored"`
	Why         string            `json:"why,omitempty"`
	Since       Time              `json:"since,omitzero" nullable:"true" format:"date-time"`
	BackupAt    Time              `json:"backup_at,omitzero" nullable:"true" format:"date-time" doc:"When the backup was made"`
	Kept        int64             `json:"kept" doc:"Records of the log in the restored data"`
	Witnessed   int64             `json:"witnessed" doc:"Records in the newest log that a witness knows and this one does not continue; 0: none is known"`
	Compared    bool              `json:"compared" doc:"Every witness was asked, and knows nothing newer"`
	NoWitness   bool              `json:"no_witness,omitempty" doc:"No witness is configured: none can be asked, and it does not end by itself"`
	Settled     bool              `json:"settled" doc:"What was live in the backup was ended"`
	Clean       bool              `json:"clean" doc:"Every target was compared, and nothing of ours is left there"`
	Live        int               `json:"live" doc:"Entitlements whose absence was not read back yet"`
	ComparedAt  Time              `json:"compared_at,omitzero" nullable:"true" format:"date-time"`
	Places      []QuarantinePlace `json:"places" nullable:"false"`
	First       string            `json:"first,omitempty" doc:"The administrator who accepted, and waits for a second one"`
}

// QuarantinePlace is what comparing one target has found.
type QuarantinePlace struct {
	Place    string `json:"place" example:"postgres://db1:5432"`
	Unwanted int    `json:"unwanted" doc:"Things of ours to remove"`
	Ordered  int    `json:"ordered" doc:"Of these, how many are being removed"`
	Foreign  int    `json:"foreign" doc:"What looks like ours and is not; never touched"`
	Standing int    `json:"standing" doc:"Privilege that nobody granted through Stint; never touched"`
	Problem  string `json:"problem,omitempty" doc:"Why it could not be compared"`
}

// QuarantineAccept ends a quarantine by the word of an administrator.
type QuarantineAccept struct {
	Why   string `json:"why" minLength:"1" maxLength:"2000"`
	Force bool   `json:"force,omitempty" doc:"Although not everything was found clean; takes two administrators where there are two"`
}

// QuarantineAccepted says whether it is over, or waits for a second administrator.
type QuarantineAccepted struct {
	Over bool `json:"over"`
}

// Results of a check of the doctor.
const (
	CheckOK   = "ok"
	CheckWarn = "warn"
	CheckFail = "fail"
)

// Doctor is what a server finds of itself.
type Doctor struct {
	OK     bool          `json:"ok" doc:"No check failed; some may warn"`
	Checks []DoctorCheck `json:"checks" nullable:"false"`
}

// DoctorCheck is one thing that was looked at.
type DoctorCheck struct {
	Name   string `json:"name" example:"witness https://witness1.example.org"`
	Result string `json:"result" enum:"ok,warn,fail"`
	Saw    string `json:"saw" doc:"What was found"`
	Why    string `json:"why,omitempty" doc:"Why it matters"`
	Fix    string `json:"fix,omitempty" doc:"How to mend it"`
}
