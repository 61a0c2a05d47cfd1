package api

import (
	"context"
	"net/http"
	"strings"
)

// SignIn says how people sign in to a server.
type SignIn struct {
	Browser   bool     `json:"browser" doc:"A browser can sign in, and let command lines and devices sign in"`
	Providers []string `json:"providers" nullable:"false" doc:"The identity providers, by the names of their integrations" example:"corp-sso"`
	Passkeys  bool     `json:"passkeys,omitempty" doc:"Passkeys for the server's pages are another way"`
}

// TerminalRedeem exchanges the code that a browser brought to a command line for a
// login of its device. The call is signed by the device's key.
type TerminalRedeem struct {
	Code     Secret `json:"code" minLength:"1" maxLength:"256" doc:"What the browser brought"`
	Verifier Secret `json:"code_verifier" minLength:"43" maxLength:"128" doc:"Of the challenge that the browser was opened with, RFC 7636"`
	SealKey  []byte `json:"seal_key" maxLength:"44" doc:"The device's X25519 public key, 32 bytes, that credentials are sealed to"`
}

// DeviceAsk begins the sign-in of a device without a browser, RFC 8628 section 3.1.
type DeviceAsk struct {
	Client string `json:"client,omitempty" maxLength:"120" doc:"What the device calls itself, for the person to see" example:"stint on build-7"`
}

// DeviceCode is how it goes on, RFC 8628 section 3.2.
type DeviceCode struct {
	DeviceCode              Secret `json:"device_code" doc:"To poll with; good only with proofs by this device"`
	UserCode                string `json:"user_code" doc:"For the person to type" example:"WDJB-MJHT"`
	VerificationURI         string `json:"verification_uri" doc:"Where the person types it" example:"https://stint.example.com/device"`
	VerificationURIComplete string `json:"verification_uri_complete" doc:"The same with the code in it"`
	ExpiresIn               int    `json:"expires_in" doc:"Seconds" example:"600"`
	Interval                int    `json:"interval" doc:"Seconds between two polls" example:"5"`
}

// DeviceRedeem polls for the login, RFC 8628 section 3.4.
type DeviceRedeem struct {
	DeviceCode Secret `json:"device_code" minLength:"1" maxLength:"256"`
	SealKey    []byte `json:"seal_key" maxLength:"44" doc:"The device's X25519 public key, 32 bytes, that credentials are sealed to"`
}

// Codes of RFC 8628 section 3.5, which a polling device acts on.
const (
	CodePending  = "authorization_pending"
	CodeSlowDown = "slow_down"
)

// Login is where the caller, or somebody else, is signed in.
type Login struct {
	ID        string   `json:"id" doc:"Names it; not secret" example:"3f9c0e2ab174d5e60891"`
	Kind      string   `json:"kind" enum:"device,browser,service" doc:"What it is used by"`
	This      bool     `json:"this" doc:"It makes this very call"`
	Client    string   `json:"client,omitempty" doc:"What made it called itself" example:"stint on mira-laptop"`
	Device    string   `json:"device,omitempty" doc:"The thumbprint of the device's key"`
	Address   string   `json:"address,omitempty" doc:"Where it was made" example:"10.0.0.7"`
	Provider  string   `json:"provider,omitempty" doc:"Who vouched for the person: an integration, code or passkey" example:"corp-sso"`
	Methods   []string `json:"amr" nullable:"false" doc:"How they proved who they are, RFC 8176" example:"pwd"`
	Class     string   `json:"acr,omitempty" doc:"The provider's class of that"`
	MFA       bool     `json:"mfa" doc:"Two kinds of factor were proven"`
	AuthTime  Time     `json:"auth_time,omitzero" format:"date-time" doc:"When they did, if it is known"`
	CreatedAt Time     `json:"created_at" format:"date-time"`
	SeenAt    Time     `json:"seen_at,omitzero" format:"date-time" doc:"Of a browser: when it was last used, to the minute"`
	ExpiresAt Time     `json:"expires_at" format:"date-time"`

	BreakGlass bool `json:"break_glass,omitempty" doc:"One-time codes made it, and it is good for break-glass access alone"`
}

// DeviceMark is a device's thumbprint as people compare it: the first letters.
func DeviceMark(thumbprint string) string {
	letters := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' {
			return -1
		}
		return r
	}, thumbprint)
	if len(letters) < 8 {
		return letters
	}
	return letters[:4] + " " + letters[4:8]
}

// SignIn says how people sign in to the server.
func (c *Client) SignIn(ctx context.Context) (SignIn, error) {
	return get[SignIn](ctx, c, call{method: http.MethodGet, path: []string{"sign-in"}, noToken: true})
}

// RedeemTerminal exchanges what a browser brought for a login. As with Enroll, Token
// is not set by it.
func (c *Client) RedeemTerminal(ctx context.Context, code, verifier Secret) (LoginResult, error) {
	if c.Device == nil {
		return LoginResult{}, errNoDevice
	}
	in := TerminalRedeem{Code: code, Verifier: verifier, SealKey: c.Device.SealKey()}
	return get[LoginResult](ctx, c, call{method: http.MethodPost, path: []string{"login", "terminal"}, in: in, noToken: true})
}

// AskDevice begins the sign-in of this device by a person at a browser elsewhere.
func (c *Client) AskDevice(ctx context.Context, name string) (DeviceCode, error) {
	return get[DeviceCode](ctx, c, call{method: http.MethodPost, path: []string{"login", "device"}, in: DeviceAsk{Client: name}, noToken: true})
}

// RedeemDevice polls once. Until the person has answered it is an *Error with
// CodePending, or CodeSlowDown.
func (c *Client) RedeemDevice(ctx context.Context, code Secret) (LoginResult, error) {
	if c.Device == nil {
		return LoginResult{}, errNoDevice
	}
	in := DeviceRedeem{DeviceCode: code, SealKey: c.Device.SealKey()}
	return get[LoginResult](ctx, c, call{method: http.MethodPost, path: []string{"login", "device", "token"}, in: in, noToken: true})
}

// Logins lists the caller's logins, the newest first.
func (c *Client) Logins(ctx context.Context) (Page[Login], error) {
	return get[Page[Login]](ctx, c, call{method: http.MethodGet, path: []string{"logins"}})
}

// LoginsOf lists where somebody else is signed in.
func (c *Client) LoginsOf(ctx context.Context, name string) (Page[Login], error) {
	return get[Page[Login]](ctx, c, call{method: http.MethodGet, path: []string{"users", name, "logins"}})
}

// EndLogin ends one of the caller's logins.
func (c *Client) EndLogin(ctx context.Context, id string) (Login, error) {
	return get[Login](ctx, c, call{method: http.MethodDelete, path: []string{"logins", id}})
}
