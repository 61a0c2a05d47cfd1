package apiserver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/archive"
	"stint/internal/audit"
	"stint/internal/broker"
	"stint/internal/credential"
	"stint/internal/envelope"
	"stint/internal/hosts"
	"stint/internal/ident"
	"stint/internal/provision"
)

// AuditLog is what the doors show of the audit log: numbered records only.
type AuditLog interface {
	Records(ctx context.Context, q LogQuery) ([]LogRecord, error)
	// Search gives the newest first, and the Before of what is further back; 0 where it
	// looked at all. It looks at q.Look records, if that is set.
	Search(ctx context.Context, q LogQuery) (found []LogRecord, next int64, err error)
	// Tally counts what a query with a Since and an Until selects, in equal steps.
	Tally(ctx context.Context, q LogQuery, steps int) (LogTally, error)
	// Prove gives a record and what shows that it is in the newest checkpoint.
	Prove(ctx context.Context, seq int64) (LogProof, error)
	// Wait returns when there is a record with a greater number, or ctx is done.
	Wait(ctx context.Context, after int64) error
	// Settle returns when all that was committed before the call has its number.
	Settle(ctx context.Context) error
	// Head is the newest signed checkpoint, and how many records it covers.
	Head(ctx context.Context) (size int64, checkpoint []byte, err error)
	// Export writes the whole log up to the newest checkpoint.
	Export(ctx context.Context, w io.Writer) error
	// Lag is how many records wait for their number, and since when the oldest does.
	Lag(ctx context.Context) (waiting int64, oldest time.Duration, err error)
}

// LogQuery selects records in the order of their numbers. Zero fields do not select.
type LogQuery struct {
	After    int64 // only greater numbers; -1 for all
	Limit    int
	Type     access.EventType
	Entity   string
	Kind     string        // what the names of entities begin with, with the underscore
	Person   access.Person // who did it, or whom it is about
	Resource access.ResourceName
	Since    time.Time
	Until    time.Time
	Before   int64 // only smaller numbers, unless it is zero
	Look     int64 // at so many records at most, of a Search or Tally; 0: at all
	Where    audit.Filter
}

// LogTally is how many records there are of a query, by time.
type LogTally struct {
	Counts []int64
	Total  int64
	// Looked of Of records were looked at; of those that were, the oldest is of this time.
	Looked, Of int64
	Oldest     time.Time // zero where all were
}

// LogProof is a record and the proof of it; nil, where no checkpoint covers it yet.
type LogProof struct {
	Record     LogRecord
	Proof      tlog.RecordProof
	Checkpoint []byte // the signed note
}

// LogRecord is one numbered record in its canonical encoding.
type LogRecord struct {
	Seq     int64
	Encoded []byte
}

// Config is what a Server is made of. All fields without another word are required.
type Config struct {
	Broker  *broker.Broker
	Logins  *credential.Register // of connectors
	Ident   *ident.Ident
	Replays ident.Replays
	Audit   AuditLog
	LogKey  api.LogKey
	Ready   func(context.Context) error // nil error: can serve
	// Caution, if set, says what weakens what is promised while it serves; empty
	// when nothing does.
	Caution func() string
	Version string
	Log     *slog.Logger
	Limits  Limits
	Keep    Keep // nil: no backups, no doctor
	// Provisioned keeps what provisioning services say; nil: none is let in.
	Provisioned provision.Store
	// Directories are read from here; nil: none is.
	Directories *provision.Directories
	// Channels sends messages; nil: there is nothing to try out.
	Channels Channels
	// Chat takes what chats send to /chat/…; nil: nothing.
	Chat http.Handler

	// SSH signs certificates of people and hosts; nil authorities: none is made.
	SSH Authorities
	// Hosts are served by agents; a zero one: none is.
	Hosts Hosts

	// Archive keeps recordings of sessions; nil: none is taken.
	Archive *archive.Archive

	// Outside calls identity providers. nil: none can be reached.
	Outside *http.Client

	// PublicURL is how clients reach the server; nil: as the Host header and
	// the connection say.
	PublicURL *url.URL
	// Proxies are believed about whom they forward for; usually none.
	Proxies []netip.Prefix
}

// Hosts is what the doors need for the agents of hosts.
type Hosts struct {
	Register     *hosts.Register
	Desk         *hosts.Desk
	Installation string
	Orders       envelope.Signer // of calls, and of what hosts shall believe
	Recordings   []byte          // the public key that recordings are sealed to
	Rolls        []string        // the words of earlier orders keys about those that followed
}

// Channels are the integrations that messages go to.
type Channels interface {
	// Try sends one that says who tries.
	Try(ctx context.Context, by access.PrincipalID, integration string) error
	// Troubles are those that take no messages, by name.
	Troubles(ctx context.Context) (map[string]Trouble, error)
	// Serves reports whether messages are sent to a type of integration.
	Serves(typ string) bool
	// Behind is how many records of the log those that read it have not read yet, by name.
	Behind(ctx context.Context) (map[string]int64, error)
}

// Trouble is what is the matter with a channel, and since when.
type Trouble struct {
	Why   string
	Since time.Time
}

// Limits bound what one caller and all together can ask for. Zero fields take
// the defaults.
type Limits struct {
	ReadsPerSecond  float64 // of one principal
	WritesPerSecond float64 // of one principal
	Burst           int     // of either
	Concurrent      int     // calls in work at a time, of all; waits do not count
	Waits           int     // held answers and streams at a time, of all; one principal has a quarter at most
}

// DefaultLimits are generous for people and tight for loops.
var DefaultLimits = Limits{ReadsPerSecond: 100, WritesPerSecond: 20, Burst: 100, Concurrent: 256, Waits: 4096}

func (l Limits) orDefault() Limits {
	d := DefaultLimits
	if l.ReadsPerSecond > 0 {
		d.ReadsPerSecond = l.ReadsPerSecond
	}
	if l.WritesPerSecond > 0 {
		d.WritesPerSecond = l.WritesPerSecond
	}
	if l.Burst > 0 {
		d.Burst = l.Burst
	}
	if l.Concurrent > 0 {
		d.Concurrent = l.Concurrent
	}
	if l.Waits > 0 {
		d.Waits = l.Waits
	}
	return d
}

func (c Config) check() error {
	if c.Broker == nil || c.Logins == nil || c.Ident == nil || c.Replays == nil || c.Audit == nil || c.Ready == nil || c.Log == nil ||
		c.LogKey.Key == "" || c.Version == "" {
		return errors.New("apiserver: the configuration is incomplete")
	}
	return nil
}

// Times that bound a call.
const (
	proofWindow   = 60 * time.Second // RFC 9449 section 11.1: how far a proof's time may be off
	headersWithin = 10 * time.Second
	readWithin    = 30 * time.Second // headers and body
	writeWithin   = 30 * time.Second // beyond a wait
	idleFor       = 2 * time.Minute
	longestWait   = 60 * time.Second
	heartbeat     = 15 * time.Second       // of streams
	finishWithin  = 5 * time.Second        // at shutdown
	silentFor     = 500 * time.Millisecond // at shutdown, before a connection that has said nothing is closed

	maxHeader = 32 << 10
	maxBody   = 1 << 20
	maxCode   = 16 << 10 // of enrolment, whose callers nobody knows yet
	// maxAnswers bounds what the agent of a host brings at once: an answer of any size
	// that one may have, as a JSON text.
	maxAnswers  = 6 << 20
	maxCommands = 256 << 10 // of a host's report
	maxTrustAsk = 256 << 10 // of what a host tells of itself when it asks what ended early
	// maxDocuments bounds the body of apply: several files, each bounded by policy.
	maxDocuments = 8 << 20
)

// ProofWindow is how far a proof's time may be off; replay guards keep proofs
// for as long as that makes them acceptable.
const ProofWindow = proofWindow
