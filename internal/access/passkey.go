package access

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"stint/internal/moment"
)

// PasskeyID names a passkey by what it is: "pky_" and the first 32 hexadecimal
// digits of its digest.
type PasskeyID string

// PasskeyState is the state of a passkey. Stored: only append.
type PasskeyState string

// The states of a passkey. Removed is terminal.
const (
	PasskeyProposed PasskeyState = "proposed" // waits for others to vouch for it
	PasskeyActive   PasskeyState = "active"
	PasskeyRemoved  PasskeyState = "removed"
)

// Anchor says by what a passkey was believed to be its person's when it was
// enrolled. Stored: only append.
type Anchor string

// The anchors. All but the first lead to older passkeys, and so back to a first
// one, whose digest whoever verifies has pinned.
const (
	AnchorGenesis  Anchor = "genesis"  // the first of all, of an administrator
	AnchorOwn      Anchor = "own"      // an older passkey of the person signed it
	AnchorAdmins   Anchor = "admins"   // two administrators signed it
	AnchorOneAdmin Anchor = "admin"    // one did, for there was no second one with a passkey
	AnchorRecovery Anchor = "recovery" // nobody could: no administrator had a passkey left
)

// ClientOrigin is the origin of passkeys that only the approver's own client asks to
// sign, with a page that it serves on this machine on any port. ClientRPID is the
// name that these passkeys are scoped to.
const (
	ClientOrigin = "http://localhost"
	ClientRPID   = "localhost"
)

// Passkey is a public key of a person, whose private half an authenticator uses only
// with the person there and verified (WebAuthn Level 3). What it is never changes
// once it is made; State, Anchor, Vouchers, Counter and the times do.
type Passkey struct {
	ID        PasskeyID
	Version   int64
	State     PasskeyState
	Principal PrincipalID // the login that enrolled it
	Person    Person      // whose it is, by whatever login
	Name      string      // the person's own word for it
	RPID      string      // what the authenticator scopes it to: a host name
	// Origin is that of the pages that may ask it to sign: the console's, or
	// ClientOrigin for the person's own client.
	Origin     string
	Credential []byte // the authenticator's name for it, at most 1023 bytes
	Key        []byte // COSE_Key, as the authenticator wrote it

	Anchor    Anchor // empty while proposed
	Vouchers  []Voucher
	Counter   uint32 // the last that its authenticator told; 0 where it does not count
	CreatedAt time.Time
	ExpiresAt time.Time // of the proposed state
}

// Voucher is somebody's word that a passkey is its person's, signed.
type Voucher struct {
	By        PrincipalID
	Person    Person
	Assertion Assertion
	At        time.Time
}

// Assertion is what a passkey signed (WebAuthn Level 3, section 5.2.2): the
// signature is over AuthenticatorData and the SHA-256 of ClientData.
type Assertion struct {
	Passkey           PasskeyID
	ClientData        []byte // JSON, as the browser wrote it: type, challenge, origin
	AuthenticatorData []byte
	Signature         []byte
}

// IsZero reports whether there is no assertion.
func (a Assertion) IsZero() bool {
	return a.Passkey == "" && len(a.ClientData)+len(a.AuthenticatorData)+len(a.Signature) == 0
}

// Prover checks assertions. This package knows what must be signed; what a signature
// is it does not know.
type Prover interface {
	// Prove reports the level of a vote that the assertion makes, if an active
	// passkey of the person signed exactly this challenge. Where recount is true
	// the vote was accepted before, so that its counter is behind.
	Prove(by Person, challenge Digest, a Assertion, recount bool) (Level, error)
}

// The version words of what passkeys sign, and of what they are.
const (
	passkeyDigestV1 = "stint passkey 1"
	voucherDigestV1 = "stint voucher 1"
	voteDigestV1    = "stint vote 1"
	// voteDigestV2 is for votes that say when they were signed: what V1 covers, then that.
	voteDigestV2 = "stint vote 2"
)

// Digest covers what the passkey is: principal, person, name, RP ID, origin,
// credential and key.
func (p Passkey) Digest() Digest {
	f := fields{sha256.New()}
	f.text(passkeyDigestV1)
	f.text(string(p.Principal))
	f.text(string(p.Person))
	f.text(p.Name)
	f.text(p.RPID)
	f.text(p.Origin)
	f.bytes(p.Credential)
	f.bytes(p.Key)
	return f.sum()
}

// IDOf is the name of a passkey with the digest.
func IDOf(d Digest) PasskeyID { return PasskeyID("pky_" + hex.EncodeToString(d[:16])) }

// Level is that of a vote which the passkey signs.
func (p Passkey) Level() Level {
	if p.Origin == ClientOrigin {
		return LevelClient
	}
	return LevelPasskey
}

// VoucherDigest is what somebody signs to vouch for a passkey: who does, and the
// passkey's digest.
func VoucherDigest(passkey Digest, by PrincipalID, person Person) Digest {
	f := fields{sha256.New()}
	f.text(voucherDigestV1)
	f.bytes(passkey[:])
	f.text(string(by))
	f.text(string(person))
	return f.sum()
}

// Statement is a vote as its voter can know it before it is recorded: all but when.
type Statement struct {
	Request  Digest
	By       PrincipalID
	Person   Person
	Approve  bool
	Duration time.Duration // that the vote leaves; 0 in a no
	Rights   []string      // that it leaves, sorted; none in a no
	Note     string
	// At is when it was signed, by the clock of whoever had it signed. Without it a vote
	// counts here all the same; a host with a roster of its own cannot tell how old it is.
	At time.Time
}

// Digest is what a passkey signs to make the vote its own.
func (s Statement) Digest() Digest {
	f := fields{sha256.New()}
	if s.At.IsZero() {
		f.text(voteDigestV1)
	} else {
		f.text(voteDigestV2)
	}
	f.bytes(s.Request[:])
	f.text(string(s.By))
	f.text(string(s.Person))
	f.flag(s.Approve)
	f.number(s.Duration.Milliseconds())
	f.list(s.Rights)
	f.text(s.Note)
	if !s.At.IsZero() {
		f.time(s.At)
	}
	return f.sum()
}

// Statement is what the approval says.
func (a Approval) Statement() Statement {
	return Statement{a.Request, a.By, a.Person, a.Approve, a.Duration, a.Rights, a.Note, a.Signed}
}

// Says is the statement that the vote makes on the request, as the voter's own client
// works it out to have it signed.
func (r Request) Says(voter Principal, v Vote) (Statement, error) {
	a, err := r.leaves(Approval{By: voter.ID, Person: voter.Person, Approve: v.Approve, Note: v.Note, Request: r.Digest, Signed: v.Signed.UTC().Truncate(time.Millisecond)}, v)
	return a.Statement(), err
}

// proved sets the level of an approval: as the door knows it, or as its signature
// shows. A level that nothing shows is refused.
func (a Approval) proved(r Request, v Vote, now time.Time) (Approval, error) {
	switch {
	case v.Assertion.IsZero() && v.Level > LevelConsole:
		return a, Fail(Internal, "unproved-level", "a vote of level "+v.Level.String()+" comes without a signature")
	case v.Assertion.IsZero():
		a.Level = v.Level
	case v.Passkeys == nil:
		return a, Fail(Internal, "no-prover", "nobody can check the passkey's signature")
	default:
		if !v.Signed.IsZero() && (now.Sub(v.Signed) > MaxSigned || v.Signed.Sub(now) > MaxAheadVote) {
			return a, Fail(Invalid, "bad-vote-time", "the vote says another time than it is").
				Because("it was signed at " + stamp(v.Signed) + ", and here it is " + stamp(now)).Try("vote again, and take less than " + moment.Span(MaxSigned) + " for it; if you did, set the clock of your machine")
		}
		a.Signed = v.Signed.UTC().Truncate(time.Millisecond)
		l, err := v.Passkeys.Prove(a.Person, a.Statement().Digest(), v.Assertion, false)
		if err != nil {
			return a, err
		}
		a.Level, a.Assertion = l, v.Assertion
	}
	if a.Level < r.floor() {
		return a, Fail(Denied, "chat-too-weak", "a request for something of this criticality is not decided in a chat").
			Try("decide it with: stint approve " + string(r.ID) + ", or stint deny " + string(r.ID))
	}
	return a, nil
}

// level is that of a recorded approval, its signature checked again.
func (a Approval) level(passkeys Prover) (Level, error) {
	switch {
	case a.Level <= LevelConsole && a.Assertion.IsZero():
		return a.Level, nil
	case passkeys == nil:
		return LevelChat, Fail(Denied, "unproved-level", "nobody can check the passkey's signature")
	}
	l, err := passkeys.Prove(a.Person, a.Statement().Digest(), a.Assertion, true)
	if err == nil && l != a.Level {
		err = Fail(Denied, "unproved-level", "the passkey's signature is of level "+l.String()+", not "+a.Level.String())
	}
	return l, err
}

// tooWeak says what a vote lacks whose voter is asked, at a higher level.
func (r Request) tooWeak(voter Principal, forOther bool, is Level) error {
	asked := LevelClient
	for _, q := range r.Asking() {
		if inAny(q, voter) {
			asked = min(asked, r.Wants(q))
		}
	}
	if forOther {
		return Fail(Denied, "not-delegable", "this approval is nobody else's to give").
			Because("it takes a passkey of " + string(voter.ID) + ", and a delegation lends none").Try("ask " + string(voter.ID) + ", or another one of those who are asked")
	}
	why := "it asks for a vote of level " + asked.String() + ", and this one is of level " + is.String()
	if asked < LevelPasskey {
		return Fail(Denied, "level-too-low", "this vote does not count").Because(why).Try("approve it with: stint approve " + string(r.ID))
	}
	return Fail(PasskeyNeeded, "passkey-needed", "this request is approved with a passkey").Because(why).
		Try("approve it where there is a browser, with: stint approve " + string(r.ID))
}

// levelFacts are the particulars of a vote that is not of the ordinary level: all
// that somebody needs who verifies its signature from the log alone.
func (a Approval) levelFacts() []string {
	if a.Level == LevelConsole && a.Assertion.IsZero() {
		return nil
	}
	kv := []string{"level", a.Level.String()}
	if !a.Assertion.IsZero() {
		kv = append(kv, "vote", EncodeStatement(a.Statement()), "assertion", EncodeAssertion(a.Assertion))
	}
	return kv
}

// assertion covers what a passkey signed.
func (f fields) assertion(a Assertion) {
	f.text(string(a.Passkey))
	f.bytes(a.ClientData)
	f.bytes(a.AuthenticatorData)
	f.bytes(a.Signature)
}

const (
	registerDigestV1 = "stint register 1"
	actDigestV1      = "stint act 1"
	signInDigestV1   = "stint sign-in 1"
)

// SignInDigest is what a passkey signs to sign in a browser at the pages of an origin,
// with a nonce of the server's that is good once. Whose passkey it will be is not
// known yet: a browser offers those that it has.
func SignInDigest(origin string, nonce []byte) Digest {
	f := fields{sha256.New()}
	f.text(signInDigestV1)
	f.text(origin)
	f.bytes(nonce)
	return f.sum()
}

// RegisterDigest is the challenge with which a passkey is made: for whom, and what whoever
// makes it chose at random. It proves nothing but that the browser was asked for this.
func RegisterDigest(by PrincipalID, person Person, nonce []byte) Digest {
	f := fields{sha256.New()}
	f.text(registerDigestV1)
	f.text(string(by))
	f.text(string(person))
	f.bytes(nonce)
	return f.sum()
}

// ActRecoveryCodes has recovery codes made.
const ActRecoveryCodes = "recovery codes"

// ActDigest is what a passkey signs to do something that is neither a vote nor a word
// for another passkey: what, to whom, and a nonce that is good once.
func ActDigest(what string, by PrincipalID, person Person, nonce []byte) Digest {
	f := fields{sha256.New()}
	f.text(actDigestV1)
	f.text(what)
	f.text(string(by))
	f.text(string(person))
	f.bytes(nonce)
	return f.sum()
}
