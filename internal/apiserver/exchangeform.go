package apiserver

import (
	"net/http"
	"net/url"
	"strings"

	"stint/internal/access"
	"stint/internal/oidc"
)

// What RFC 8693 and RFC 6749 call things.
const (
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	grantClient   = "client_credentials" // with a certificate, RFC 8705 section 2.1

	tokenJWT    = "urn:ietf:params:oauth:token-type:jwt"
	tokenID     = "urn:ietf:params:oauth:token-type:id_token"
	tokenAccess = "urn:ietf:params:oauth:token-type:access_token"

	maxExchange = oidc.MaxMachineToken + 8<<10
)

// exchangeAsk is a call of the token endpoint.
type exchangeAsk struct {
	subject string             // the token; empty where a certificate stands for it
	service access.PrincipalID // which service is wanted; empty: the only one that fits
}

// oauthProblem is a refusal in the words of RFC 6749 section 5.2. What it describes is
// the same whatever was wrong with a token.
type oauthProblem struct {
	Status      int    `json:"-"`
	Word        string `json:"error"`
	Description string `json:"error_description"`
	Code        string `json:"code"`
	Trace       string `json:"trace,omitempty"`
}

func (p *oauthProblem) Error() string { return p.Word + ": " + p.Description }

func badExchange(word, description string) error {
	return &oauthProblem{Status: http.StatusBadRequest, Word: word, Description: description, Code: "bad-exchange"}
}

// notTaken is the answer to everybody who is not let in: RFC 8693 section 2.2.2 wants
// invalid_request where a token is not valid, or not acceptable by policy.
func notTaken() *oauthProblem {
	return &oauthProblem{Status: http.StatusBadRequest, Word: "invalid_request", Code: "bad-workload-token",
		Description: "what was shown is not accepted; the server's log says why, under the trace"}
}

// readExchange reads a form. Parameters that nobody knows are ignored, those that would
// change what is meant are refused, and none stands twice (RFC 6749 section 3.2).
func readExchange(body []byte) (ask exchangeAsk, err error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return ask, badExchange("invalid_request", "the body is no form")
	}
	for name, values := range form {
		if len(values) != 1 {
			return ask, badExchange("invalid_request", "a parameter stands twice")
		}
		if values[0] == "" { // as if it were not there
			delete(form, name)
		}
	}
	for _, name := range []string{"actor_token", "actor_token_type", "client_secret", "client_assertion", "client_assertion_type"} {
		if form.Has(name) {
			return ask, badExchange("invalid_request", name+" is not accepted here")
		}
	}
	for _, name := range []string{"audience", "resource"} {
		if form.Has(name) {
			return ask, badExchange("invalid_target", "the login is for this server alone; leave "+name+" out")
		}
	}
	if wanted := form.Get("requested_token_type"); wanted != "" && wanted != tokenAccess {
		return ask, badExchange("invalid_request", "only "+tokenAccess+" is given")
	}
	scope, ok := strings.CutPrefix(form.Get("scope"), "service:")
	if form.Has("scope") && (!ok || !access.ValidName(scope)) {
		return ask, badExchange("invalid_scope", "a scope is service:NAME")
	}
	if ok {
		ask.service = access.NewPrincipalID(access.Service, scope)
	}
	switch form.Get("grant_type") {
	case grantExchange:
		if t := form.Get("subject_token_type"); t != tokenJWT && t != tokenID {
			return ask, badExchange("invalid_request", "subject_token_type is "+tokenJWT+" or "+tokenID)
		}
		if ask.subject = form.Get("subject_token"); ask.subject == "" {
			return ask, badExchange("invalid_request", "subject_token is missing")
		}
	case grantClient:
		if form.Has("subject_token") {
			return ask, badExchange("invalid_request", "a client certificate stands for itself; leave subject_token out")
		}
		if id := form.Get("client_id"); id != "" {
			name := strings.TrimPrefix(id, "service:")
			if !access.ValidName(name) || ask.service != "" && ask.service.Name() != name {
				return ask, badExchange("invalid_request", "client_id is the name of a service")
			}
			ask.service = access.NewPrincipalID(access.Service, name)
		}
	case "":
		return ask, badExchange("invalid_request", "grant_type is missing")
	default:
		return ask, badExchange("unsupported_grant_type", "grant_type is "+grantExchange+", or "+grantClient+" with a client certificate")
	}
	return ask, nil
}
