package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// Workloads and Services are lists of documents and of principals.
const (
	Workloads = "workloads"
	Services  = "services"
)

// Workload says which programs a service is, as its document does.
type Workload struct {
	Name        string              `json:"name" example:"orders-pipeline"`
	Description string              `json:"description,omitempty"`
	Service     string              `json:"service" example:"ci"`
	Integration string              `json:"integration,omitempty" doc:"Who vouches; absent where a certificate is asked" example:"github"`
	Claims      map[string][]string `json:"claims" nullable:"false" doc:"What each claim has to be, one of the texts"`
	Like        map[string][]string `json:"like" nullable:"false" doc:"What each claim has to be like, one of the patterns"`
	URI         string              `json:"uri,omitempty" doc:"The only URI in the certificate" example:"spiffe://corp.example/batch"`
	DNS         string              `json:"dns,omitempty" doc:"A host name in the certificate"`
	Source      string              `json:"source" doc:"File and line it was applied from" example:"workloads.yaml:1"`
}

// Service is a service with the ways it gets in.
type Service struct {
	Name      string         `json:"name" example:"ci"`
	Owner     string         `json:"owner" doc:"The person who answers for it" example:"mira"`
	Groups    []string       `json:"groups" nullable:"false"`
	Disabled  bool           `json:"disabled"`
	CreatedAt Time           `json:"created_at" format:"date-time"`
	Until     Time           `json:"until" format:"date-time" doc:"When the service itself ends"`
	LastUsed  Time           `json:"last_used,omitzero" format:"date-time" doc:"To the minute; absent: never, as far as is known"`
	Tokens    []ServiceToken `json:"tokens" nullable:"false" doc:"Static tokens that are good"`
	Workloads []string       `json:"workloads" nullable:"false" doc:"The documents by which programs are this service"`
	Logins    int            `json:"logins" doc:"Logins of workloads that are good"`
	Remarks   []string       `json:"remarks" nullable:"false" doc:"What is worth looking at: static, unused, about to end"`
}

// ServiceToken is a static token of a service, without its secret.
type ServiceToken struct {
	Name      string `json:"name" doc:"What the log calls it" example:"9f86d081884c7d659a2f"`
	CreatedAt Time   `json:"created_at" format:"date-time"`
	LastUsed  Time   `json:"last_used,omitzero" format:"date-time" doc:"To the minute; absent: never, as far as is known"`
	ExpiresAt Time   `json:"expires_at" format:"date-time"`
}

// Exchanged is the answer of the token endpoint, RFC 8693 section 2.2.1.
type Exchanged struct {
	Token     Secret `json:"access_token"`
	Issued    string `json:"issued_token_type"`
	Type      string `json:"token_type"` // DPoP or Bearer
	ExpiresIn int    `json:"expires_in"` // seconds
	Scope     string `json:"scope"`      // the service: service:ci
}

// Exchange shows a token of the platform that the program runs on, and is given a login
// as the service that it is, bound to the client's device. service names one where the
// token fits several; empty otherwise. Token is not set by it.
func (c *Client) Exchange(ctx context.Context, token Secret, service string) (Exchanged, error) {
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {token.Reveal()},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}}
	if service != "" {
		form.Set("scope", "service:"+service)
	}
	return c.exchange(ctx, form)
}

// ExchangeCertificate is Exchange for the certificate of the client's connections.
func (c *Client) ExchangeCertificate(ctx context.Context, service string) (Exchanged, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if service != "" {
		form.Set("client_id", service)
	}
	return c.exchange(ctx, form)
}

func (c *Client) exchange(ctx context.Context, form url.Values) (out Exchanged, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: []string{"token"}, form: form, out: &out, noToken: true})
	if err == nil && (out.Token == "" || out.Type != "DPoP" && out.Type != "Bearer") {
		err = &Error{Kind: Internal, Code: "not-stint", Message: "the answer is not from a Stint server, or from a newer one"}
	}
	return out, err
}

// ListWorkloads lists workloads.
func (c *Client) ListWorkloads(ctx context.Context, l List) (Page[Workload], error) {
	return get[Page[Workload]](ctx, c, call{method: http.MethodGet, path: []string{Workloads}, query: l.query()})
}

// Workload reads one workload.
func (c *Client) Workload(ctx context.Context, name string) (Workload, error) {
	return get[Workload](ctx, c, call{method: http.MethodGet, path: []string{Workloads, name}})
}

// ListServices lists services with their tokens.
func (c *Client) ListServices(ctx context.Context, l List) (Page[Service], error) {
	return get[Page[Service]](ctx, c, call{method: http.MethodGet, path: []string{"admin", Services}, query: l.query()})
}

// oauthKinds translate what the token endpoint says (RFC 6749 section 5.2).
var oauthKinds = map[string]Kind{
	"bad-workload-token": Unauthenticated, CodeBadProof: Unauthenticated, CodeClockSkew: Unauthenticated, CodeProofReplayed: Unauthenticated,
	"bad-exchange": Invalid, "too-many-calls": TooMany, "issuer-unreachable": Unavailable,
}

// oauthProblem makes an error of such an answer; nil when it is none.
func (a *answer) oauthProblem() *Error {
	var said struct {
		Word        string `json:"error"`
		Description string `json:"error_description"`
		Code        string `json:"code"`
		Trace       string `json:"trace"`
	}
	if !a.is(jsonType) || json.Unmarshal(a.text, &said) != nil || said.Word == "" {
		return nil
	}
	e := Error{Kind: oauthKinds[said.Code], Status: a.status, Code: said.Code, Message: said.Description, Trace: said.Trace}
	if e.Kind == "" {
		e.Kind = kindOf(a.status)
	}
	if said.Code == "bad-workload-token" {
		e.Message, e.Why = "the server does not know this workload", said.Description
		e.Next = "compare the document of kind Workload with the token's claims; docs/identity/workloads.md"
	}
	return e.Complete()
}
