package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/moment"
	"stint/internal/passkey"
	"stint/internal/signpage"
)

// What a passkey signs is worked out here, from what is shown here. The server is asked
// for facts, never for a challenge: it could show one request and have another one
// signed.

// signFor is how long a person may take.
const signFor = 10 * time.Minute

func (c *cli) browserFlag(cmd *cobra.Command, no *bool) {
	cmd.Flags().BoolVar(no, "no-browser", false, "print the address of the page for the passkey instead of opening it")
	timeout := ""
	cmd.Flags().StringVar(&timeout, "timeout", "", "stop waiting for the passkey after this long; "+moment.Span(signFor)+" if not given")
	cmd.PreRunE = func(*cobra.Command, []string) (err error) {
		c.patience, err = parseTimeout(timeout)
		return err
	}
}

// sign shows a page of ours and has it go through the steps.
func (c *cli) sign(ctx context.Context, p signpage.Page, open bool, first signpage.Step, next func(context.Context, signpage.Result) (signpage.Step, error)) error {
	patience := signFor
	if c.patience > 0 {
		patience = c.patience
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errNobodySigned)
	defer cancel()
	err := signpage.Run(ctx, p, first, func(address string) error {
		if open && !c.openPage(ctx, address) {
			return &api.Error{Kind: api.PasskeyNeeded, Code: "no-browser", Message: "a passkey is needed, and there is no browser here to ask for it",
				Next: "do it on a machine with a browser; or with --no-browser, and the port of the address forwarded to here (ssh -L PORT:localhost:PORT)"}
		}
		c.say("use your passkey at " + address)
		c.say("waiting for it until " + c.now().Add(patience).Local().Format("15:04:05") + ", which is " + moment.Span(patience) + " from now; --timeout says another time")
		return nil
	}, next)
	if errors.Is(err, errNobodySigned) {
		err = &api.Error{Kind: api.PasskeyNeeded, Code: "not-signed", Message: "nobody used a passkey within " + moment.Span(patience), Next: "begin again, and give it longer with --timeout"}
	}
	return err
}

var errNobodySigned = errors.New("nobody signed")

// ownKeys are the caller's passkeys that this program can ask, by credential.
type ownKeys map[string]access.Passkey

// ownPasskeys lists them.
func (c *cli) ownPasskeys(ctx context.Context, conn *connection) (ownKeys, error) {
	keys := ownKeys{}
	for p, err := range api.Each(func(cursor string) (api.Page[api.Passkey], error) {
		return conn.Passkeys(ctx, "", false, api.List{Cursor: cursor})
	}) {
		if err != nil {
			return nil, err
		}
		if p.State == string(access.PasskeyActive) && p.RPID == access.ClientRPID && p.Origin == access.ClientOrigin {
			k := passkeyOf(p)
			keys[string(k.Credential)] = k
		}
	}
	return keys, nil
}

// signer is who is signed in, and the passkeys that they can sign with here.
func (c *cli) signer(ctx context.Context, conn *connection) (api.Whoami, ownKeys, error) {
	me, err := conn.Whoami(ctx)
	if err != nil {
		return me, nil, err
	}
	keys, err := c.ownPasskeys(ctx, conn)
	return me, keys, err
}

// passkeyOf is the passkey as the server tells it, named by what it is.
func passkeyOf(p api.Passkey) access.Passkey {
	k := access.Passkey{State: access.PasskeyState(p.State), Principal: access.PrincipalID(p.Principal), Person: access.Person(p.Person), Name: p.Name,
		RPID: p.RPID, Origin: p.Origin, Credential: p.Credential, Key: p.Key}
	k.ID = access.IDOf(k.Digest())
	return k
}

func (k ownKeys) credentials() (ids [][]byte) {
	for _, p := range k {
		ids = append(ids, p.Credential)
	}
	return ids
}

// ask is the step that has a challenge signed by one of the keys.
func (k ownKeys) ask(challenge access.Digest) signpage.Step {
	return signpage.Step{Get: &signpage.Get{Challenge: challenge[:], Allow: k.credentials()}}
}

// assertion is what the browser gave, checked as the server will.
func (k ownKeys) assertion(r signpage.Result, challenge access.Digest) (*api.Assertion, error) {
	p, ok := k[string(r.Credential)]
	if !ok {
		return nil, &api.Error{Kind: api.Denied, Code: "other-passkey", Message: "the browser used a passkey that is not yours here", Next: "see stint passkey list"}
	}
	a := api.Assertion{Passkey: string(p.ID), ClientData: r.ClientData, AuthenticatorData: r.AuthenticatorData, Signature: r.Signature}
	_, err := passkey.Verify(access.Assertion{Passkey: p.ID, ClientData: a.ClientData, AuthenticatorData: a.AuthenticatorData, Signature: a.Signature}, p.Key,
		passkey.Expect{Challenge: challenge[:], RPID: p.RPID, Origin: p.Origin})
	return &a, err
}

// signOne has one challenge signed.
func (c *cli) signOne(ctx context.Context, p signpage.Page, open bool, keys ownKeys, challenge access.Digest) (a *api.Assertion, err error) {
	err = c.sign(ctx, p, open, keys.ask(challenge), func(_ context.Context, r signpage.Result) (signpage.Step, error) {
		var bad error
		a, bad = keys.assertion(r, challenge)
		return signpage.Step{}, bad
	})
	return a, err
}

// trueTo is the request as its digest has it: what the server says beside it is replaced
// by what the digest covers, so that what is shown is what is voted on. A server that
// names another digest is not gone along with.
func trueTo(r api.Request) (api.Request, error) {
	if r.Ask == "" { // an older server; its votes are of no passkey
		return r, nil
	}
	a, err := access.DecodeAsk(r.Ask)
	if err != nil || a.Digest.String() != r.Digest {
		return r, &api.Error{Kind: api.Internal, Code: "request-not-true", Message: "the server's digest is not that of the request it shows",
			Why: "it says " + r.Digest + ", and what it shows has " + a.Digest.String(), Next: "do not vote; tell the administrators over another way"}
	}
	r.Principal, r.Person, r.Role, r.Reason, r.Ticket, r.Extends = string(a.Principal), string(a.Person), string(a.Role), a.Reason, a.Ticket, string(a.Extends)
	r.Bundle, r.Task = a.BundleText(), string(a.Task)
	r.Resource, r.Duration, r.Start = resourcesOf(a), api.FormatDuration(a.Duration), api.At(a.Start)
	return r, nil
}

func resourcesOf(r access.Request) string {
	var names []string
	for _, t := range r.Targets {
		names = append(names, string(t.Resource))
	}
	return strings.Join(names, ",")
}

// signVote has a yes signed, where a passkey is asked for and the caller has one.
func (c *cli) signVote(ctx context.Context, conn *connection, r api.Request, v *api.VoteAsk, open bool) error {
	asked := false
	for _, q := range r.Decision.Approvals {
		if l, err := access.ParseLevel(q.Level); err == nil && l >= access.LevelPasskey {
			asked = true
		}
	}
	if !asked || r.Ask == "" || r.State != api.RequestPending {
		return nil
	}
	me, keys, err := c.signer(ctx, conn)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return &api.Error{Kind: api.PasskeyNeeded, Code: "no-passkey", Message: "this request is approved with a passkey, and you have none for stint approve",
			Next: "make one with stint passkey add, and have it vouched for"}
	}
	what, err := access.DecodeAsk(r.Ask)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	vote := access.Vote{Approve: true, Note: v.Note, Signed: now}
	if v.For != "" {
		if vote.Duration, err = api.ParseDuration(v.For); err != nil {
			return err
		}
	}
	says, err := what.Says(access.Principal{ID: access.PrincipalID(me.Principal), Person: access.Person(me.Person)}, vote)
	if err != nil {
		return err
	}
	p := signpage.Page{Title: "Approve this request?", Button: "Approve with a passkey",
		Text: "This page is by the stint command on this machine. Your passkey signs exactly what is written here.",
		Facts: compact([]signpage.Fact{{Name: "who", Value: me.Principal + " approves for " + r.Principal}, {Name: "what", Value: r.Role + " on " + r.Resource}, {Name: "where", Value: places(what)},
			{Name: "rights", Value: strings.Join(says.Rights, ", ")}, {Name: "how long", Value: moment.Span(says.Duration)}, {Name: "from", Value: startOf(what)},
			{Name: "task", Value: string(what.Task)}, {Name: "why", Value: r.Reason}, {Name: "ticket", Value: r.Ticket}, {Name: "part of bundle", Value: r.Bundle}, {Name: "your note", Value: v.Note}, {Name: "digest", Value: says.Digest().String()}})}
	c.say("your passkey signs " + says.Digest().String())
	signed := api.At(now)
	v.Signed = &signed
	v.Assertion, err = c.signOne(ctx, p, open, keys, says.Digest())
	return err
}

// places is where the targets are: what is approved stays bound to that.
func places(r access.Request) string {
	var at []string
	for _, t := range r.Targets {
		at = append(at, t.Connection.Type+" "+t.Connection.Address)
	}
	return strings.Join(at, ", ")
}

func startOf(r access.Request) string {
	if r.Start.IsZero() {
		return ""
	}
	return r.Start.UTC().Format(time.RFC3339)
}

// compact leaves out what is empty, and makes the rest safe to show.
func compact(facts []signpage.Fact) (out []signpage.Fact) {
	for _, f := range facts {
		if f.Value != "" {
			out = append(out, signpage.Fact{Name: f.Name, Value: printable(f.Value)})
		}
	}
	return out
}
