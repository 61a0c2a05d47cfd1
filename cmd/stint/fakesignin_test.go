package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"stint/internal/api"
)

// signIn are the calls of signing in with a browser. Whoever is there is noor.
func (f *fake) signIn(mux *http.ServeMux) {
	f.route(mux, "GET /v1/sign-in", func(fakeLogin, *http.Request, []byte) (any, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return api.SignIn{Browser: f.provider, Providers: []string{}}, nil
	})
	f.route(mux, "POST /v1/login/terminal", func(who fakeLogin, _ *http.Request, body []byte) (any, error) {
		var in api.TerminalRedeem
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		sum := sha256.Sum256([]byte(in.Verifier.Reveal()))
		if in.Code.Reveal() != "code-for-"+who.thumbprint+"-"+base64.RawURLEncoding.EncodeToString(sum[:]) {
			return nil, &api.Error{Kind: api.Unauthenticated, Code: "bad-code", Message: "the code is not valid"}
		}
		return f.login(who, in.SealKey), nil
	})
	f.route(mux, "POST /v1/login/device", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		at := "http://" + r.Host + "/device"
		return api.DeviceCode{DeviceCode: "device-code", UserCode: "BCDF-GHJK", VerificationURI: at, VerificationURIComplete: at + "?code=BCDF-GHJK", ExpiresIn: 600, Interval: 1}, nil
	})
	f.route(mux, "POST /v1/login/device/token", func(who fakeLogin, _ *http.Request, body []byte) (any, error) {
		var in api.DeviceRedeem
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		f.mu.Lock()
		said := ""
		if len(f.polls) > 0 {
			said, f.polls = f.polls[0], f.polls[1:]
		}
		f.mu.Unlock()
		switch said {
		case "":
			return f.login(who, in.SealKey), nil
		case api.CodePending, api.CodeSlowDown:
			return nil, &api.Error{Kind: api.Pending, Code: said, Message: "nobody has confirmed this device yet"}
		case "expired_token":
			return nil, &api.Error{Kind: api.Expired, Code: said, Message: "nobody confirmed this device in time"}
		}
		return nil, &api.Error{Kind: api.Denied, Code: said, Message: "the person refused this device"}
	})
	f.route(mux, "GET /v1/logins", func(fakeLogin, *http.Request, []byte) (any, error) {
		at := api.At(time.Now())
		return api.Page[api.Login]{Items: []api.Login{
			{ID: "3f9c0e2ab174d5e60891", Kind: "device", This: true, Client: "stint on laptop", Address: "10.0.0.7", Provider: "corp-sso", MFA: true, Methods: []string{}, CreatedAt: at, ExpiresAt: at},
			{ID: "77aa0e2ab174d5e60891", Kind: "browser", Client: "Mozilla\x1b[2J", Provider: "corp-sso", Methods: []string{}, CreatedAt: at, ExpiresAt: at},
		}}, nil
	})
	f.route(mux, "DELETE /v1/logins/{id}", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		if r.PathValue("id") != "77aa" {
			return nil, &api.Error{Kind: api.NotFound, Code: "no-such-session", Message: "you have no such session"}
		}
		return api.Login{ID: "77aa0e2ab174d5e60891", Kind: "browser", Methods: []string{}}, nil
	})
}

func (f *fake) login(who fakeLogin, sealKey []byte) api.LoginResult {
	f.change(func() {
		f.logins["stint_noor"] = fakeLogin{principal: "user:noor", thumbprint: who.thumbprint, sealKey: sealKey}
	})
	key := f.log.key()
	return api.LoginResult{Token: "stint_noor", Principal: "user:noor", Person: "noor", ExpiresAt: api.At(time.Now().Add(time.Hour)),
		LogOrigin: key.Origin, LogKey: key.Key, ServerTime: api.At(time.Now())}
}
