package web

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"time"

	"stint/internal/api"
	"stint/internal/web/ui"
	"stint/internal/web/views"
	"stint/internal/web/words"
)

// Keys is what the pages of passkeys need of the control plane.
type Keys interface {
	// BeginPasskey begins a sign-in with whichever passkey a browser has. trip is what
	// it must bring back.
	BeginPasskey(ctx context.Context, v Visitor) (s Step, trip api.Secret, err error)
	// SignInWith finishes it.
	SignInWith(ctx context.Context, v Visitor, nonce api.Secret, u Used, next string) (Arrival, error)
	// Enrol opens a session for whoever has a one-time code.
	Enrol(ctx context.Context, v Visitor, code api.Secret) (Arrival, error)

	// Passkeys are the visitor's, and those that they could vouch for.
	Passkeys(ctx context.Context, v Visitor) (Keyring, error)
	Passkey(ctx context.Context, v Visitor, id string) (Key, error)
	// AskPasskey says what is to be done to make one.
	AskPasskey(ctx context.Context, v Visitor, n NewKey) (Step, error)
	AddPasskey(ctx context.Context, v Visitor, n NewKey) (api.Passkey, error)
	// AskVouch has the visitor's passkey sign for one, whose digest they were told.
	AskVouch(ctx context.Context, v Visitor, id, digest string) (Step, error)
	Vouch(ctx context.Context, v Visitor, id, digest string, u Used) (api.Passkey, error)
	RemovePasskey(ctx context.Context, v Visitor, id, note string) (api.Passkey, error)

	// AskRecovery has the visitor's passkey sign for fresh recovery codes, if they have one.
	AskRecovery(ctx context.Context, v Visitor, nonce []byte) (Step, error)
	RecoveryCodes(ctx context.Context, v Visitor, nonce []byte, us []Used) ([]api.Secret, error)
}

// Keyring is what somebody has to do with passkeys.
type Keyring struct {
	Own     []api.Passkey // not removed, the newest first
	Waiting []api.Passkey // proposed by others, for administrators
	Pages   int           // of Own, active, for these pages
	Client  int           // of Own, active, for stint approve
	// Cannot says why these pages can make none here; empty where they can.
	Cannot string
	// Last says that a recovery code vouches: no administrator has a passkey left.
	Last bool
}

// Key is a passkey, and what the visitor can do with it.
type Key struct {
	api.Passkey
	Mine   bool
	Vouch  bool // the visitor may vouch for it, with a passkey for these pages
	Client bool // the visitor may vouch for it, with one for stint passkey vouch only
}

// NewKey is a passkey to make.
type NewKey struct {
	Name     string
	Nonce    []byte
	Recovery api.Secret
	Used     []Used // that it was made, and that an older one signed for it
}

const nonceBytes = 32

func newNonceBytes() []byte {
	b := make([]byte, nonceBytes)
	rand.Read(b) // never fails
	return b
}

// nonceOf reads the nonce that a page of ours chose; the doors look at its length.
func nonceOf(text string) []byte {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return b
}

// askSignIn begins a sign-in with a passkey.
func (s *Site) askSignIn(v *visit) error {
	step, trip, err := s.doors.BeginPasskey(v.r.Context(), v.Visitor)
	if err != nil {
		return err
	}
	v.setCookie(tripCookie, trip, time.Now().Add(tripFor))
	return v.answer(http.StatusOK, step)
}

func (s *Site) signInWith(v *visit) error {
	all, err := usedOf(v.r.PostForm)
	if err != nil {
		return err
	}
	u, err := one(all)
	if err != nil {
		return err
	}
	a, err := s.doors.SignInWith(v.r.Context(), v.Visitor, api.Secret(v.r.PostForm.Get("nonce")), u, localPath(v.r.PostForm.Get("next")))
	if err != nil {
		return err
	}
	v.setCookie(sessionCookie, a.Session, a.Until.Time)
	v.redirect(a.Next)
	return nil
}

// askEnrol asks for a one-time code. It is typed or pasted, and in no address: those are
// kept in histories and logs.
func (s *Site) askEnrol(v *visit) error {
	return s.show(v, sheet{title: words.TitleEnrol}, views.Enroll())
}

func (s *Site) enrol(v *visit) error {
	a, err := s.doors.Enrol(v.r.Context(), v.Visitor, api.Secret(v.r.PostForm.Get("code")))
	if err != nil {
		return err
	}
	v.setCookie(sessionCookie, a.Session, a.Until.Time)
	v.redirect(a.Next)
	return nil
}

func (s *Site) showPasskeys(v *visit) error {
	ring, err := s.doors.Passkeys(v.r.Context(), v.Visitor)
	if err != nil {
		return err
	}
	m := views.Keyring{Own: keyLines(ring.Own), Waiting: keyLines(ring.Waiting), Pages: ring.Pages, Clients: ring.Client, Cannot: ring.Cannot, Last: ring.Last,
		Enrols: v.person.Enrols, Nonce: base64.StdEncoding.EncodeToString(newNonceBytes())}
	return s.show(v, sheet{title: words.TitlePasskeys, nav: "passkeys", signing: true}, views.Passkeys(m))
}

func keyLines(all []api.Passkey) (out []views.KeyLine) {
	for _, p := range all {
		out = append(out, views.KeyLine{ID: p.ID, Name: p.Name, Principal: p.Principal, State: p.State, Client: p.Client, Made: p.CreatedAt.Time})
	}
	return out
}

func newKeyOf(v *visit) (NewKey, error) {
	f := v.r.PostForm
	used, err := usedOf(f)
	return NewKey{Name: f.Get("name"), Nonce: nonceOf(f.Get("nonce")), Recovery: api.Secret(f.Get("recovery")), Used: used}, err
}

func (s *Site) askPasskey(v *visit) error {
	n, err := newKeyOf(v)
	if err != nil {
		return err
	}
	step, err := s.doors.AskPasskey(v.r.Context(), v.Visitor, n)
	if err != nil {
		return err
	}
	return v.answer(http.StatusOK, step)
}

func (s *Site) addPasskey(v *visit) error {
	n, err := newKeyOf(v)
	if err != nil {
		return err
	}
	p, err := s.doors.AddPasskey(v.r.Context(), v.Visitor, n)
	if err != nil {
		return err
	}
	v.redirect("/passkeys/" + p.ID)
	return nil
}

func (s *Site) showPasskey(v *visit) error {
	k, err := s.doors.Passkey(v.r.Context(), v.Visitor, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	m := views.Key{ID: k.ID, Principal: k.Principal, Person: k.Person, State: k.State, Origin: k.Origin, Anchor: k.Anchor, Digest: k.Digest,
		Expires: k.ExpiresAt.Time, Mine: k.Mine, Vouch: k.Vouch, MayClient: k.Client, Client: k.Passkey.Client}
	return s.show(v, sheet{title: words.TitlePasskey(k.Name, words.Subject(k.Principal)), nav: "passkeys", up: []ui.Crumb{{Href: "/passkeys", Label: words.TitlePasskeys}}, signing: true}, views.Passkey(m))
}

func (s *Site) askVouch(v *visit) error {
	step, err := s.doors.AskVouch(v.r.Context(), v.Visitor, v.r.PathValue("id"), v.r.PostForm.Get("digest"))
	if err != nil {
		return err
	}
	return v.answer(http.StatusOK, step)
}

func (s *Site) vouch(v *visit) error {
	all, err := usedOf(v.r.PostForm)
	if err != nil {
		return err
	}
	u, err := one(all)
	if err != nil {
		return err
	}
	p, err := s.doors.Vouch(v.r.Context(), v.Visitor, v.r.PathValue("id"), v.r.PostForm.Get("digest"), u)
	if err != nil {
		return err
	}
	v.redirect("/passkeys/" + p.ID)
	return nil
}

func (s *Site) removePasskey(v *visit) error {
	if _, err := s.doors.RemovePasskey(v.r.Context(), v.Visitor, v.r.PathValue("id"), v.r.PostForm.Get("note")); err != nil {
		return err
	}
	v.redirect("/passkeys")
	return nil
}

func (s *Site) showRecovery(v *visit) error {
	return s.show(v, sheet{title: words.TitleRecovery, nav: "passkeys", up: []ui.Crumb{{Href: "/passkeys", Label: words.TitlePasskeys}}, signing: true},
		views.AskRecovery(base64.StdEncoding.EncodeToString(newNonceBytes())))
}

func (s *Site) askRecovery(v *visit) error {
	step, err := s.doors.AskRecovery(v.r.Context(), v.Visitor, nonceOf(v.r.PostForm.Get("nonce")))
	if err != nil {
		return err
	}
	return v.answer(http.StatusOK, step)
}

// makeRecovery shows the codes as the answer to the form, this once: a page that could be
// loaded again would have to keep them.
func (s *Site) makeRecovery(v *visit) error {
	all, err := usedOf(v.r.PostForm)
	if err != nil {
		return err
	}
	codes, err := s.doors.RecoveryCodes(v.r.Context(), v.Visitor, nonceOf(v.r.PostForm.Get("nonce")), all)
	if err != nil {
		return err
	}
	var texts []string
	for _, c := range codes {
		texts = append(texts, c.Reveal())
	}
	return s.show(v, sheet{title: words.TitleCodes, nav: "passkeys", still: true}, views.Recovery(texts))
}
