package web

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"time"

	"stint/internal/api"
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
	return s.render(v, http.StatusOK, "enroll", "Begin with a code", nil)
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

type keyringPage struct {
	Keyring
	Nonce string
}

// When is a time for people.
func (keyringPage) When(t api.Time) string { return when(t) }

func (s *Site) showPasskeys(v *visit) error {
	ring, err := s.doors.Passkeys(v.r.Context(), v.Visitor)
	if err != nil {
		return err
	}
	return s.renderSigning(v, "passkeys", "Your passkeys", keyringPage{ring, base64.StdEncoding.EncodeToString(newNonceBytes())})
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

type keyPage struct {
	Key
	Expires string
}

func (s *Site) showPasskey(v *visit) error {
	k, err := s.doors.Passkey(v.r.Context(), v.Visitor, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	return s.renderSigning(v, "passkey", "Passkey “"+k.Name+"” of "+k.Principal, keyPage{k, when(k.ExpiresAt)})
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

type recoveryPage struct {
	Nonce string
	Codes []api.Secret
}

func (s *Site) showRecovery(v *visit) error {
	return s.renderSigning(v, "recovery", "Recovery codes", recoveryPage{Nonce: base64.StdEncoding.EncodeToString(newNonceBytes())})
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
	return s.render(v, http.StatusOK, "recovery", "Your recovery codes", recoveryPage{Codes: codes})
}

// when is a time for people; empty where there is none.
func when(t api.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 Jan 15:04") + " UTC"
}
