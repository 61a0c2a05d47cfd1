package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"

	"stint/internal/api"
)

// Step is one use of an authenticator, which the page's script does. The zero Step says
// that there is nothing to do.
type Step struct {
	RPID   string     `json:"rp_id,omitempty"`
	Create *Create    `json:"create,omitempty"`
	Get    *Get       `json:"get,omitempty"`
	Nonce  api.Secret `json:"nonce,omitempty"`  // goes back with the form
	Then   string     `json:"then,omitempty"`   // there is another step, and this is said before it
	Button string     `json:"button,omitempty"` // what the button is called for that
}

// Create has a passkey made.
type Create struct {
	Challenge  []byte   `json:"challenge"`
	User       string   `json:"user"`
	UserID     []byte   `json:"user_id"` // at most 64 bytes
	Algorithms []int    `json:"algorithms"`
	Exclude    [][]byte `json:"exclude"` // credentials that the authenticator must not have
}

// Get has a challenge signed by one of the credentials, or without any by whichever of
// the site's the person chooses.
type Get struct {
	Challenge []byte   `json:"challenge"`
	Allow     [][]byte `json:"allow"`
}

// Used is what the browser gives of a step.
type Used struct {
	Credential        []byte `json:"credential"`
	ClientData        []byte `json:"client_data"`
	Attestation       []byte `json:"attestation"`
	AuthenticatorData []byte `json:"authenticator_data"`
	Signature         []byte `json:"signature"`
}

// maxSteps is the most that one form takes: make a passkey, sign it with an older one.
const maxSteps = 2

// usedOf reads what the script put into the form.
func usedOf(form url.Values) ([]Used, error) {
	text := form.Get("proof")
	if text == "" {
		return nil, nil
	}
	var all []Used
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&all); err != nil || len(all) > maxSteps || d.More() {
		return nil, &api.Error{Kind: api.Invalid, Code: "bad-form", Message: "what the passkey did cannot be read", Next: "load the page again"}
	}
	return all, nil
}

// one is the only use; where there is none, no passkey was used, for which the page has
// no script or the browser no passkeys.
func one(all []Used) (Used, error) {
	if len(all) != 1 {
		return Used{}, &api.Error{Kind: api.PasskeyNeeded, Code: "passkey-needed", Message: "no passkey was used",
			Next: "press the button on the page, in a browser that runs the page's script"}
	}
	return all[0], nil
}

// answer answers the page's script.
func (v *visit) answer(status int, x any) error {
	b, err := json.Marshal(x)
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/json")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(b) // the browser may be gone
	return nil
}

// refused is what the script shows of an error.
type refused struct {
	Message string `json:"message"`
	Why     string `json:"why,omitempty"`
	Next    string `json:"next,omitempty"`
}

func (v *visit) refuse(e *api.Error) {
	if v.answer(e.Status, refused{e.Message, e.Why, e.Next}) != nil {
		http.Error(v.w, "internal error", http.StatusInternalServerError)
	}
}
