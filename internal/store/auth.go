package store

import (
	"net/netip"

	"stint/internal/access"
)

// authBody is how somebody signed in. It stands in columns of its own: a version
// from before reads bodies strictly, and would not understand a request of this one.
type authBody struct {
	Provider string   `json:"provider,omitempty"`
	At       stamp    `json:"at,omitempty"`
	Methods  []string `json:"methods,omitempty"`
	Class    string   `json:"class,omitempty"`
	MFA      bool     `json:"mfa,omitempty"`
}

func authBodyOf(a access.Auth) authBody {
	return authBody{a.Provider, stampOf(a.At), a.Methods, a.Class, a.MFA}
}

func (b authBody) auth() access.Auth {
	return access.Auth{Provider: b.Provider, At: b.At.time(), Methods: b.Methods, Class: b.Class, MFA: b.MFA}
}

func silent(a access.Auth) bool {
	return a.Provider == "" && a.At.IsZero() && len(a.Methods) == 0 && a.Class == "" && !a.MFA
}

// authText is empty for who did not say how they signed in.
func authText(a access.Auth) (string, error) {
	if silent(a) {
		return "", nil
	}
	return encode(authBodyOf(a))
}

func authOf(text, noun, id string) (access.Auth, error) {
	var b authBody
	if text != "" {
		if err := decode(text, noun, id, &b); err != nil {
			return access.Auth{}, err
		}
	}
	return b.auth(), nil
}

// loginBody is what else is known of a login.
type loginBody struct {
	Auth     authBody      `json:"auth,omitzero"`
	From     netip.Addr    `json:"from,omitzero"`
	Client   string        `json:"client,omitempty"`
	Exchange *exchangeBody `json:"exchange,omitempty"`
}

func loginText(l access.Login) (string, error) {
	if silent(l.Auth) && !l.From.IsValid() && l.Client == "" && l.Exchange == nil {
		return "", nil
	}
	return encode(loginBody{authBodyOf(l.Auth), l.From, l.Client, exchangeBodyOf(l.Exchange)})
}
