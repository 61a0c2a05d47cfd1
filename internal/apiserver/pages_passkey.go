package apiserver

import (
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/ident"
	"stint/internal/passkey"
	"stint/internal/web"
)

// site is where these pages are, as a passkey has it: as configured, and not as the
// browser says. A browser that came by another name is sent nowhere.
func (d doors) site(v web.Visitor) (ident.Site, error) {
	site, err := d.passkeySite()
	if err == nil && site.Origin != v.Base.Scheme+"://"+v.Base.Host {
		err = access.Fail(access.Conflict, "other-address", "passkeys of this server are for "+site.Origin).Try("open that address")
	}
	return site, err
}

// byPasskey reports whether somebody can sign in here with a passkey. Where one once
// could, the answer stays: the last of them may have been removed, and the page says so
// to who tries.
func (s *Server) byPasskey(ctx context.Context) (bool, error) {
	if s.keyed.Load() {
		return true, nil
	}
	site, err := s.passkeySite()
	if err != nil {
		return false, nil // nobody can
	}
	ok, err := s.ident.PasskeysAt(ctx, site)
	if ok {
		s.keyed.Store(true)
	}
	return ok, err
}

// BeginPasskey begins a sign-in with whichever passkey a browser has. No list of
// anybody's passkeys is given to who is not signed in: they are made so that the
// authenticator finds them by the site.
func (d doors) BeginPasskey(ctx context.Context, v web.Visitor) (web.Step, api.Secret, error) {
	site, err := d.site(v)
	if err != nil {
		return web.Step{}, "", err
	}
	nonce, cookie, err := d.ident.AskPasskey(ctx, secretOf(v.Trip), v.From)
	if err != nil {
		return web.Step{}, "", err
	}
	challenge := access.SignInDigest(site.Origin, nonce.Reveal())
	return web.Step{RPID: site.RPID, Get: &web.Get{Challenge: challenge[:]}, Nonce: api.Secret(nonce.Reveal())}, api.Secret(cookie.Reveal()), nil
}

// SignInWith finishes it.
func (d doors) SignInWith(ctx context.Context, v web.Visitor, nonce api.Secret, u web.Used, next string) (web.Arrival, error) {
	site, err := d.site(v)
	if err != nil {
		return web.Arrival{}, err
	}
	l, err := d.ident.SignInByPasskey(ctx, ident.ByPasskey{Site: site, Nonce: secretOf(nonce), Cookie: secretOf(v.Trip), Credential: u.Credential, Assertion: signedBy(u)},
		ident.Browser{From: v.From, Client: v.Agent})
	if err != nil {
		d.notSignedIn(frameOf(ctx).trace, err)
		return web.Arrival{}, err
	}
	return d.opened(ctx, v, l, next), nil
}

// signedBy is what the browser gave as an assertion; by which passkey is to be found out.
func signedBy(u web.Used) access.Assertion {
	return access.Assertion{ClientData: u.ClientData, AuthenticatorData: u.AuthenticatorData, Signature: u.Signature}
}

// Enrol opens a session for whoever has a one-time code.
func (d doors) Enrol(ctx context.Context, v web.Visitor, code api.Secret) (web.Arrival, error) {
	if err := d.codes.take(v.From.String()); err != nil { // as where a terminal brings one
		return web.Arrival{}, err
	}
	l, err := d.ident.EnrolBrowser(ctx, secretOf(code), ident.Browser{From: v.From, Client: v.Agent})
	if err != nil {
		d.notSignedIn(frameOf(ctx).trace, err)
		return web.Arrival{}, err
	}
	return d.opened(ctx, v, l, "/passkeys"), nil
}

// keyring are the caller's passkeys, and which of them these pages can ask.
type keyring struct {
	all  []access.Passkey
	site ident.Site
	cant error // why the pages can ask none
}

func (d doors) keyring(ctx context.Context, v web.Visitor, c ident.Caller) (k keyring, err error) {
	k.site, k.cant = d.site(v)
	k.all, err = d.ident.Passkeys(ctx, c, c.Principal.Person, false)
	return k, err
}

// ours are those that these pages can ask.
func (k keyring) ours() (found []access.Passkey) {
	for _, p := range k.all {
		if k.cant == nil && p.State == access.PasskeyActive && p.RPID == k.site.RPID && p.Origin == k.site.Origin {
			found = append(found, p)
		}
	}
	return found
}

// client is how many only the person's own stint can ask.
func (k keyring) client() (n int) {
	for _, p := range k.all {
		if p.State == access.PasskeyActive && p.Level() == access.LevelClient {
			n++
		}
	}
	return n
}

// ask has one of them sign.
func (k keyring) ask(challenge access.Digest) web.Step {
	g := web.Get{Challenge: challenge[:]}
	for _, p := range k.ours() {
		g.Allow = append(g.Allow, p.Credential)
	}
	return web.Step{RPID: k.site.RPID, Get: &g}
}

// signed names the passkey that the browser used.
func (k keyring) signed(u web.Used) (access.Assertion, error) {
	a := signedBy(u)
	for _, p := range k.ours() {
		if string(p.Credential) == string(u.Credential) {
			a.Passkey = p.ID
			return a, nil
		}
	}
	return a, access.Fail(access.Denied, "no-such-passkey", "this is not a passkey of yours for these pages").Try("see them at /passkeys")
}

// usable says why nobody can sign on these pages, if so.
func (k keyring) usable() error {
	switch {
	case k.cant != nil:
		return k.cant
	case len(k.ours()) == 0:
		return access.Fail(access.PasskeyNeeded, "no-passkey", "this takes a passkey for these pages, and you have none that is active").Try("make one at /passkeys, and have it vouched for")
	}
	return nil
}

// Passkeys are the visitor's, and those that they could vouch for.
func (d doors) Passkeys(ctx context.Context, v web.Visitor) (out web.Keyring, err error) {
	c, err := d.enroller(ctx, v)
	if err != nil {
		return out, err
	}
	k, err := d.keyring(ctx, v, c)
	if err != nil {
		return out, err
	}
	for _, p := range k.all {
		if d.openPasskey(p) {
			out.Own = append(out.Own, toPasskey(p))
		}
	}
	out.Pages, out.Client = len(k.ours()), k.client()
	if k.cant != nil {
		out.Cannot = "Passkeys for this page cannot be made: " + problemOf(k.cant, "").Message + "."
	}
	newestFirst(out.Own)
	if out.Last, err = d.lastAdmin(ctx, c, k); err != nil || !c.Principal.Admin || c.Enrols {
		return out, err
	}
	all, err := d.ident.Passkeys(ctx, c, "", true)
	for _, p := range all {
		if p.Person != c.Principal.Person && p.State == access.PasskeyProposed && d.openPasskey(p) {
			out.Waiting = append(out.Waiting, toPasskey(p))
		}
	}
	newestFirst(out.Waiting)
	return out, err
}

func newestFirst(ps []api.Passkey) {
	slices.SortFunc(ps, func(a, b api.Passkey) int { return b.CreatedAt.Compare(a.CreatedAt.Time) })
}

// openPasskey reports whether a passkey is in use, or may come to be.
func (d doors) openPasskey(p access.Passkey) bool {
	return p.State == access.PasskeyActive || p.State == access.PasskeyProposed && d.now().Before(p.ExpiresAt)
}

// lastAdmin reports whether a recovery code would vouch for the caller's next passkey.
func (d doors) lastAdmin(ctx context.Context, c ident.Caller, k keyring) (bool, error) {
	if !c.Principal.Admin || c.Enrols || k.client()+len(k.ours()) > 0 {
		return false, nil
	}
	return d.ident.NobodyVouches(ctx, c)
}

// Passkey is one, and what the visitor can do with it.
func (d doors) Passkey(ctx context.Context, v web.Visitor, id string) (out web.Key, err error) {
	c, err := d.enroller(ctx, v)
	if err != nil {
		return out, err
	}
	p, err := d.ident.Passkey(ctx, c, access.PasskeyID(id))
	if err != nil {
		return out, err
	}
	k, err := d.keyring(ctx, v, c)
	if err != nil {
		return out, err
	}
	out = web.Key{Passkey: toPasskey(p), Mine: p.Person == c.Principal.Person}
	if p.State == access.PasskeyProposed && d.openPasskey(p) && !c.Enrols && (out.Mine || c.Principal.Admin) {
		out.Vouch = len(k.ours()) > 0
		out.Client = !out.Vouch && k.client() > 0
	}
	return out, nil
}

// newPasskey is what the form says, for these pages.
func newPasskey(n web.NewKey, site ident.Site) ident.NewPasskey {
	out := ident.NewPasskey{Name: n.Name, Site: site, Nonce: n.Nonce}
	if n.Recovery != "" {
		out.Recovery = secretOf(n.Recovery)
	}
	if len(n.Used) > 0 {
		out.Registration = passkey.Registration{ClientData: n.Used[0].ClientData, Attestation: n.Used[0].Attestation}
	}
	return out
}

// AskPasskey says what is to be done to make one: make it, and where there is an older
// one for these pages, sign for it.
func (d doors) AskPasskey(ctx context.Context, v web.Visitor, n web.NewKey) (web.Step, error) {
	c, err := d.enroller(ctx, v)
	if err != nil {
		return web.Step{}, err
	}
	k, err := d.keyring(ctx, v, c)
	if err == nil {
		err = k.cant
	}
	if err != nil {
		return web.Step{}, err
	}
	p := c.Principal
	if len(n.Used) > 0 {
		made, err := newPasskey(n, k.site).Draft(p)
		if err != nil {
			return web.Step{}, err
		}
		return k.ask(access.VoucherDigest(made.Digest(), p.ID, p.Person)), nil
	}
	challenge := access.RegisterDigest(p.ID, p.Person, n.Nonce)
	id := sha256.Sum256([]byte(k.site.Origin + "\n" + string(p.ID)))
	s := web.Step{RPID: k.site.RPID, Create: &web.Create{Challenge: challenge[:], User: p.ID.Name(), UserID: id[:], Algorithms: passkey.Algorithms}}
	for _, p := range k.all {
		if p.RPID == k.site.RPID && d.openPasskey(p) {
			s.Create.Exclude = append(s.Create.Exclude, p.Credential)
		}
	}
	if len(k.ours()) > 0 {
		s.Then, s.Button = "It is made. Now an older passkey of yours signs for it: have it at hand, and go on.", "Sign with an older passkey"
	}
	return s, nil
}

// AddPasskey enrols or proposes it.
func (d doors) AddPasskey(ctx context.Context, v web.Visitor, n web.NewKey) (api.Passkey, error) {
	c, err := d.enroller(ctx, v)
	if err != nil {
		return api.Passkey{}, err
	}
	k, err := d.keyring(ctx, v, c)
	if err == nil {
		err = k.cant
	}
	if err == nil {
		err = d.writes.take(string(c.Principal.ID))
	}
	if err != nil {
		return api.Passkey{}, err
	}
	if len(n.Used) == 0 {
		return api.Passkey{}, access.Fail(access.PasskeyNeeded, "passkey-needed", "no passkey was made").Try("press the button on the page, in a browser that runs the page's script")
	}
	made := newPasskey(n, k.site)
	if len(n.Used) > 1 {
		if made.Own, err = k.signed(n.Used[1]); err != nil {
			return api.Passkey{}, err
		}
	}
	p, err := d.ident.AddPasskey(ctx, c, made)
	if err != nil {
		return api.Passkey{}, err
	}
	return toPasskey(p), nil
}

// toldOf is a passkey, if it has the digest that its person has told the visitor.
func (d doors) toldOf(ctx context.Context, c ident.Caller, id, digest string) (access.Passkey, error) {
	p, err := d.ident.Passkey(ctx, c, access.PasskeyID(id))
	if err != nil {
		return p, err
	}
	if told, err := access.ParseDigest(digest); err != nil || told != p.Digest() {
		return p, access.Fail(access.Denied, "digest-differs", "this is not the passkey that the person has told you of").
			Because("its digest is another one").Try("ask them again; if it stays so, somebody else has made this one: remove it")
	}
	return p, nil
}

// AskVouch has the visitor's passkey sign for one.
func (d doors) AskVouch(ctx context.Context, v web.Visitor, id, digest string) (web.Step, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return web.Step{}, err
	}
	p, err := d.toldOf(ctx, c, id, digest)
	if err != nil {
		return web.Step{}, err
	}
	k, err := d.keyring(ctx, v, c)
	if err == nil {
		err = k.usable()
	}
	if err != nil {
		return web.Step{}, err
	}
	return k.ask(access.VoucherDigest(p.Digest(), c.Principal.ID, c.Principal.Person)), nil
}

// Vouch gives the visitor's word.
func (d doors) Vouch(ctx context.Context, v web.Visitor, id, digest string, u web.Used) (api.Passkey, error) {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.writes.take(string(c.Principal.ID))
	}
	if err != nil {
		return api.Passkey{}, err
	}
	p, err := d.toldOf(ctx, c, id, digest)
	if err != nil {
		return api.Passkey{}, err
	}
	k, err := d.keyring(ctx, v, c)
	if err != nil {
		return api.Passkey{}, err
	}
	a, err := k.signed(u)
	if err != nil {
		return api.Passkey{}, err
	}
	if p, err = d.ident.VouchPasskey(ctx, c, p.ID, a); err != nil {
		return api.Passkey{}, err
	}
	return toPasskey(p), nil
}

// RemovePasskey ends one.
func (d doors) RemovePasskey(ctx context.Context, v web.Visitor, id, note string) (api.Passkey, error) {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.urgent.take(string(c.Principal.ID))
	}
	if err != nil {
		return api.Passkey{}, err
	}
	p, err := d.ident.RemovePasskey(ctx, c, access.PasskeyID(id), access.Label(note))
	if err != nil {
		return api.Passkey{}, err
	}
	return toPasskey(p), nil
}

// AskRecovery has the visitor's passkey sign for fresh recovery codes, if they have one.
func (d doors) AskRecovery(ctx context.Context, v web.Visitor, nonce []byte) (web.Step, error) {
	c, err := d.caller(ctx, v)
	if err != nil {
		return web.Step{}, err
	}
	k, err := d.keyring(ctx, v, c)
	if err != nil {
		return web.Step{}, err
	}
	if len(k.ours())+k.client() == 0 {
		return web.Step{}, nil
	}
	if len(k.ours()) == 0 {
		return web.Step{}, access.Fail(access.PasskeyNeeded, "no-passkey", "your passkey is for the command line, and signs there").Try("make the codes with: stint passkey recovery")
	}
	return k.ask(ident.RecoveryChallenge(c.Principal.ID, c.Principal.Person, nonce)), nil
}

// RecoveryCodes makes them.
func (d doors) RecoveryCodes(ctx context.Context, v web.Visitor, nonce []byte, us []web.Used) (out []api.Secret, err error) {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.writes.take(string(c.Principal.ID))
	}
	if err != nil {
		return nil, err
	}
	k, err := d.keyring(ctx, v, c)
	if err != nil {
		return nil, err
	}
	var a access.Assertion
	if len(us) > 0 {
		if a, err = k.signed(us[0]); err != nil {
			return nil, err
		}
	}
	codes, err := d.ident.NewRecoveryCodes(ctx, c, nonce, a)
	for _, code := range codes {
		out = append(out, api.Secret(code.Reveal()))
	}
	return out, err
}

// freshFor is how long a session may make other logins, less what a person takes to
// read a page.
const freshFor = ident.ConfirmFor - 5*time.Minute
