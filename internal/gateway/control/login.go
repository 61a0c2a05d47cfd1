package control

import (
	"context"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/json"
	"errors"
	"fmt"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/envelope"
	"stint/internal/gateway"
)

// Password asks for the password of a session's login at its database.
func (p Plane) Password(ctx context.Context, id gateway.SessionID) ([]byte, error) {
	plain, err := p.login(ctx, id)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	var login struct {
		Password string `json:"password"`
	}
	if json.Unmarshal(plain, &login) != nil || login.Password == "" { // its error could quote it
		return nil, errLogin
	}
	return []byte(login.Password), nil
}

// WebLogin is the login of a session at its web application.
type WebLogin struct {
	Kind   string   `json:"kind"` // basic, bearer, header, certificate, form; "" where there is none
	Header string   `json:"header"`
	User   string   `json:"user"`
	Secret string   `json:"secret"`
	Form   *WebForm `json:"form"` // of form
}

// WebForm is how a login by form is sent.
type WebForm struct {
	Path     string   `json:"path"`
	Post     string   `json:"post"`
	User     string   `json:"user"`
	Password string   `json:"password"`
	Token    string   `json:"token"`
	Fields   []string `json:"fields"` // NAME=VALUE
	Cookie   string   `json:"cookie"`
	Shown    []string `json:"shown"`
	Logout   string   `json:"logout"`
}

// Format hides it.
func (l WebLogin) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[login]")) }

// WebLogin asks for the login of a session at its web application, if it has one.
func (p Plane) WebLogin(ctx context.Context, id gateway.SessionID) (WebLogin, error) {
	plain, err := p.login(ctx, id)
	var no *access.Error
	if errors.As(err, &no) && no.Code == "no-login" {
		return WebLogin{}, nil
	}
	if err != nil {
		return WebLogin{}, err
	}
	defer clear(plain)
	var l WebLogin
	if json.Unmarshal(plain, &l) != nil || l.Kind == "" || l.Secret == "" { // its error could quote it
		return WebLogin{}, errLogin
	}
	return l, nil
}

var errLogin = access.Fail(access.Internal, "bad-login", "the login that the control plane gave cannot be used")

// login asks for the login of a session. It comes sealed to a key that is made here for this
// one question and forgotten with it: nobody else opens it, whatever they recorded on the way,
// and neither does this process a second time.
func (p Plane) login(ctx context.Context, id gateway.SessionID) ([]byte, error) {
	key, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	if err != nil {
		return nil, access.Fail(access.Internal, "no-key", "make a key for a login").Wrap(err)
	}
	nonce := envelope.NewID()
	said, err := p.Client.SessionLogin(ctx, api.SessionLoginAsk{Session: string(id), Key: key.PublicKey().Bytes(), Nonce: nonce})
	if err != nil {
		return nil, told(err)
	}
	var got api.SealedLogin
	if err := p.Voice.Hear(said.Word, nonce, envelope.AboutLogin, &got); err != nil {
		return nil, err
	}
	if got.Session != string(id) {
		return nil, errLogin
	}
	plain, err := hpke.Open(key, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(api.SessionLoginInfo(string(id))), got.Sealed)
	if err != nil {
		return nil, errLogin
	}
	return plain, nil
}
