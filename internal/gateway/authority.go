package gateway

import (
	"context"
	"net/netip"
	"time"

	"stint/internal/access"
	"stint/internal/gateway/statement"
)

// SessionID names one session: ses_ and more, given by the control plane.
type SessionID string

// Authority is the control plane as a gateway sees it. Errors are *access.Error where
// the control plane answered; their message, why and next are shown to the person.
type Authority interface {
	// Open asks whether whom the facts describe may have a session now. It MUST decide
	// anew at each call, and MUST have written the session down before it answers.
	Open(ctx context.Context, f Facts) (Permit, error)
	// Sign asks for the certificate by which this gateway logs in to the target of a
	// session that it has open, for a key that it made for this one session. The
	// certificate MUST NOT outlive the grant.
	Sign(ctx context.Context, id SessionID, publicKey []byte) (certificate []byte, err error)
	// Renew tells what is open and what has ended, and answers for every session of
	// Report.Live. A session that the answer leaves out is not known to the control
	// plane, and ends. A report that is answered is not sent again.
	Renew(ctx context.Context, r Report) (map[SessionID]Renewal, error)
	// Cuts calls cut for what is to end now, as it becomes known, and returns when the
	// stream ends. ready is called once the stream stands. cut and ready return soon.
	Cuts(ctx context.Context, ready func(), cut func(Cut)) error
}

// Facts are what a gateway knows of whoever is at its door. The key is the one that
// proved itself; what was merely offered stands nowhere in it.
type Facts struct {
	Protocol    string // "ssh", "postgres", "http", "tcp"
	Key         []byte // the public key that signed, in its protocol's form
	Certificate []byte // the whole certificate where one was used, and nil otherwise
	Resource    access.ResourceName
	Login       string // the account wanted on the target; "" where the role names one
	Source      netip.AddrPort
	// Ticket is what a browser brought from the control plane's sign-in, and Verifier what
	// only the browser has that was sent there (RFC 7636). A ticket is used once.
	Ticket, Verifier string
}

// Permit is the right to one session. Its zero value permits nothing.
type Permit struct {
	Session  SessionID
	Grant    access.GrantID
	Person   string // for people and records; decides nothing here
	Resource access.ResourceName

	// End is the grant's end by the control plane's clock, and bounds what is minted.
	End time.Time
	// Remaining is how long that was when the control plane answered, and is what this
	// process counts down.
	Remaining time.Duration
	// OnPartition is what becomes of the session when the control plane is silent.
	OnPartition OnPartition

	Target    Target
	Rules     Rules
	Recording Recording
	// Limits bound what a session with a database carries.
	Limits Limits
	// Web is what a session with a web application may do; nil where it is for none.
	Web *Web
	// Principal must stand in the certificate of whoever came with one.
	Principal string
}

// Target is where a session leads. What stands here is all that is believed of it.
type Target struct {
	Address string // host:port
	Name    string // what a certificate of the host must be for; of a database "": its authority is enough
	Login   string
	// HostKeys and HostAuthorities are public keys in the form of an authorized_keys
	// line. At least one of them there must be: a target that cannot be told from
	// another is not connected to.
	HostKeys        []string
	HostAuthorities []string // of a database: in PEM, or SystemAuthorities
	Database        string   // of a database: where a client leads that names none
	// Plain is a web application without TLS, which nothing tells from another: it is
	// reached at an address of the gateway's own host only.
	Plain bool
}

// SystemAuthorities stands for the certificate authorities of this machine.
const SystemAuthorities = "system"

// Limits bound how much a session with a database carries. They keep a mistake small, and
// tell who takes a whole table; what may be done is for the database role to say.
type Limits struct {
	Rows, Bytes uint64 // in one session; 0 is any number
	// Guard refuses statements by their words.
	Guard statement.Guard
	// ReadOnly begins the session with transactions that only read. Whoever may write can
	// say otherwise.
	ReadOnly bool
}

// Recording says how a session is recorded. Its zero value keeps all of it.
type Recording struct {
	// Strict forwards nothing before it is durable.
	Strict bool
	// OmitTyped leaves out what is typed at a terminal, and so what is typed without an
	// echo. What the terminal shows is kept.
	OmitTyped bool
}

// OnPartition is what a session does when its lease is not renewed.
type OnPartition string

// The choices. Whichever it is, the session ends with its grant.
const (
	PartitionClose OnPartition = ""     // the session ends
	PartitionKeep  OnPartition = "keep" // what runs goes on, and nothing new starts
)

// Renewal is what the control plane says of one live session.
type Renewal struct {
	Remaining time.Duration // of the grant, when it answered
	Cut       *Cut          // it is to end now
	Paused    bool          // nothing of it passes until an answer says otherwise
}

// Report is what a gateway tells with each renewal.
type Report struct {
	Live    []SessionID
	Ended   []Ending
	Alarms  []Alarm
	LeftOut []LeftOut
}

// LeftOut says how many more alarms a session had than were told one by one.
type LeftOut struct {
	Session SessionID
	Alarms  int
}

// Ending says that no byte of a session passes any more.
type Ending struct {
	Session SessionID
	Reason  Reason
	Text    string
	At      time.Time     // by the gateway's wall clock
	Took    time.Duration // from when the gateway knew to when the last byte had passed
}

// Alarm says that a command rule with the effect alarm matched.
type Alarm struct {
	Session SessionID
	Pattern string
	Text    string // what matched
	At      time.Time
}

// Cut says what is to end now: one session, all of a grant, or everything.
type Cut struct {
	Session SessionID
	Grant   access.GrantID
	All     bool
	Reason  Reason
	Text    string // for the person
	// Look ends nothing: there is something new to be learned by a renewal.
	Look bool
}

func (c Cut) meets(p *Permit) bool {
	return c.All || (c.Session != "" && c.Session == p.Session) || (c.Grant != "" && c.Grant == p.Grant)
}

// Reason is why a session ended.
type Reason string

// The reasons. They are written into recordings: never rename one.
const (
	Expired     Reason = "expired"     // the grant's time is over
	Revoked     Reason = "revoked"     // somebody took the grant back
	Returned    Reason = "returned"    // its holder gave it back
	Killed      Reason = "killed"      // somebody ended this session
	Policy      Reason = "policy"      // the grant is not covered any more
	Partitioned Reason = "partitioned" // the control plane was silent for too long
	Unknown     Reason = "unknown"     // the control plane does not know the session
	Unrecorded  Reason = "unrecorded"  // what happens could not be recorded
	Refused     Reason = "refused"     // a peer broke the protocol
	TargetGone  Reason = "target-gone"
	ClientGone  Reason = "client-gone"
	Stopping    Reason = "stopping" // this gateway stops
)

var reasonTexts = map[Reason]string{
	Expired:     "its time is over",
	Revoked:     "the access was revoked",
	Returned:    "the access was given back",
	Killed:      "it was ended by an administrator",
	Policy:      "policy no longer allows it",
	Partitioned: "the control plane could not be reached, and the role does not let a session go on without it",
	Unknown:     "the control plane does not know it",
	Unrecorded:  "it could not be recorded",
	Refused:     "the connection broke the protocol",
	TargetGone:  "the target closed the connection",
	ClientGone:  "the client is gone",
	Stopping:    "the gateway is stopping",
}

// Sentence says the reason to a person.
func (r Reason) Sentence() string {
	if s, ok := reasonTexts[r]; ok {
		return s
	}
	return "it was ended (" + string(r) + ")"
}

// Ended is the cause with which a session's context is cancelled.
type Ended struct {
	Reason Reason
	Text   string // more, for the person; may be empty
}

func (e *Ended) Error() string {
	s := "the session has ended: " + e.Reason.Sentence()
	if e.Text != "" {
		s += " (" + e.Text + ")"
	}
	return s
}
