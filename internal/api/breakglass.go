package api

import (
	"context"
	"net/http"
	"net/url"
)

// The kinds of emergency in Request.Emergency.
const (
	EmergencyBreakGlass = "break-glass"
	EmergencyDrill      = "drill"
)

// GlassAsk asks for break-glass access. What is left out is as policy has it: the role
// where there is but one, the longest duration.
type GlassAsk struct {
	Resource string `json:"resource" doc:"The resource" minLength:"1" maxLength:"63" example:"orders-db"`
	Role     string `json:"role,omitempty" doc:"The role on it; may be absent where there is but one to break glass for" maxLength:"63" example:"owner"`
	Duration string `json:"duration,omitempty" doc:"For how long, at most 1h; the longest there is if absent" maxLength:"32" example:"30m"`
	Why      string `json:"why" doc:"The reason; the owners read it now, and whoever reviews it later" maxLength:"1000" example:"checkout is down, stuck locks"`
	Drill    bool   `json:"drill,omitempty" doc:"The same in everything, to see that it works; said to be a drill wherever it shows"`
	DryRun   bool   `json:"dry_run,omitempty" doc:"Answer with the decision and change nothing"`
}

// GlassEnroll exchanges break-glass codes for a login on this device that is good for
// break-glass access alone. The call is signed by the key it brings.
type GlassEnroll struct {
	Codes   []Secret `json:"codes" minItems:"1" maxItems:"16" nullable:"false" doc:"The one-time codes; several where it takes several"`
	Device  JWK      `json:"device_jwk" doc:"The device's signing key; the proof must be by it"`
	SealKey []byte   `json:"seal_key" maxLength:"44" doc:"The device's X25519 public key, 32 bytes, that credentials are sealed to"`
}

// GlassLogin is a login by break-glass codes.
type GlassLogin struct {
	LoginResult
	Resource string   `json:"resource,omitempty" doc:"What it is for alone; any resource if absent"`
	Codes    []string `json:"codes" nullable:"false" doc:"The ids of the codes that were used up"`
}

// GlassCodesAsk makes break-glass codes: a count for one user, or one each for several
// of whom it takes some together.
type GlassCodesAsk struct {
	User     string   `json:"user,omitempty" maxLength:"63" example:"mira"`
	Count    int      `json:"count,omitempty" minimum:"0" maximum:"50"`
	Sharers  []string `json:"sharers,omitempty" maxItems:"50" doc:"Instead of user and count: different persons, who get one each"`
	Need     int      `json:"need,omitempty" minimum:"0" maximum:"16" doc:"How many of the sharers it takes"`
	Resource string   `json:"resource,omitempty" maxLength:"63" doc:"For this resource alone"`
	For      string   `json:"for,omitempty" maxLength:"32" doc:"How long they are good for; 180d if absent" example:"90d"`
}

// GlassCode is a break-glass code, without its secret but when it is made.
type GlassCode struct {
	ID        string `json:"id" example:"code_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	Principal string `json:"principal" example:"user:mira"`
	State     string `json:"state" enum:"good,used,revoked,expired"`
	MadeWith  string `json:"made_with" doc:"The first code made in the same step"`
	Need      int    `json:"need" doc:"How many of those it takes together"`
	Resource  string `json:"resource,omitempty" doc:"For this resource alone"`
	CreatedAt Time   `json:"created_at" format:"date-time"`
	ExpiresAt Time   `json:"expires_at" format:"date-time"`
	UsedAt    Time   `json:"used_at,omitzero" nullable:"true" format:"date-time"`
	Code      Secret `json:"code,omitempty" doc:"The code itself; shown once, when it is made"`
}

// GlassCodes are codes just made.
type GlassCodes struct {
	Codes []GlassCode `json:"codes" nullable:"false"`
}

// The findings of a review.
const (
	FindingJustified   = "justified"
	FindingUnjustified = "unjustified"
	FindingDrill       = "drill"
)

// Review is what break-glass access owes: another person's finding.
type Review struct {
	ID         string   `json:"id" example:"rev_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"`
	State      string   `json:"state" enum:"open,closed"`
	Request    string   `json:"request"`
	Grant      string   `json:"grant"`
	Principal  string   `json:"principal" doc:"Who broke the glass" example:"user:mira"`
	Person     string   `json:"person" example:"mira"`
	Resource   string   `json:"resource" example:"orders-db"`
	Role       string   `json:"role" example:"owner"`
	Reason     string   `json:"reason"`
	Drill      bool     `json:"drill,omitempty"`
	Codes      []string `json:"codes,omitempty" doc:"The ids of the one-time codes that opened it"`
	Openers    []string `json:"openers,omitempty" doc:"The persons whose codes they were"`
	OpenedAt   Time     `json:"opened_at" format:"date-time"`
	DueAt      Time     `json:"due_at" format:"date-time" doc:"When it should be closed"`
	Overdue    bool     `json:"overdue" doc:"Nobody closed it in time"`
	Yours      bool     `json:"yours" doc:"The caller may close it"`
	ClosedAt   Time     `json:"closed_at,omitzero" nullable:"true" format:"date-time"`
	ClosedBy   string   `json:"closed_by,omitempty" example:"user:noor"`
	Finding    string   `json:"finding,omitempty" enum:"justified,unjustified,drill"`
	Note       string   `json:"note,omitempty"`
	ServerTime Time     `json:"server_time" format:"date-time"`
}

// ReviewClose closes a review.
type ReviewClose struct {
	Finding string `json:"finding" enum:"justified,unjustified,drill"`
	Note    string `json:"note" minLength:"1" maxLength:"1000" doc:"What was found; the audit log keeps it"`
}

// BreakGlass asks for break-glass access.
func (c *Client) BreakGlass(ctx context.Context, ask GlassAsk, w Wait) (Request, error) {
	return get[Request](ctx, c, call{method: http.MethodPost, path: []string{"break-glass"}, query: w.query(), in: ask, wait: w.Time})
}

// GlassLogin exchanges break-glass codes for a login on the client's device. Token is not
// set by it: the caller keeps the result.
func (c *Client) GlassLogin(ctx context.Context, codes []Secret) (GlassLogin, error) {
	if c.Device == nil {
		return GlassLogin{}, errNoDevice
	}
	in := GlassEnroll{Codes: codes, Device: c.Device.JWK(), SealKey: c.Device.SealKey()}
	return get[GlassLogin](ctx, c, call{method: http.MethodPost, path: []string{"break-glass", "login"}, in: in, noToken: true})
}

// MakeGlassCodes makes break-glass codes.
func (c *Client) MakeGlassCodes(ctx context.Context, a GlassCodesAsk) (GlassCodes, error) {
	return get[GlassCodes](ctx, c, call{method: http.MethodPost, path: []string{"admin", "break-glass", "codes"}, in: a})
}

// GlassCodes lists break-glass codes, without what is secret.
func (c *Client) GlassCodes(ctx context.Context, l List) (Page[GlassCode], error) {
	return get[Page[GlassCode]](ctx, c, call{method: http.MethodGet, path: []string{"admin", "break-glass", "codes"}, query: l.query()})
}

// RevokeGlassCode makes a break-glass code worthless.
func (c *Client) RevokeGlassCode(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: []string{"admin", "break-glass", "codes", id}})
}

// ReviewList narrows a list of reviews.
type ReviewList struct {
	List
	State    string // open, closed; empty: both
	Resource string
}

// Reviews lists reviews of break-glass access, newest first.
func (c *Client) Reviews(ctx context.Context, l ReviewList) (Page[Review], error) {
	q := l.query()
	for name, v := range map[string]string{"state": l.State, "resource": l.Resource} {
		if v != "" {
			q.Set(name, v)
		}
	}
	return get[Page[Review]](ctx, c, call{method: http.MethodGet, path: []string{"reviews"}, query: q})
}

// Review reads one review.
func (c *Client) Review(ctx context.Context, id string) (Review, error) {
	return get[Review](ctx, c, call{method: http.MethodGet, path: []string{"reviews", id}, query: url.Values{}})
}

// CloseReview closes a review with a finding.
func (c *Client) CloseReview(ctx context.Context, id string, r ReviewClose) (Review, error) {
	return get[Review](ctx, c, call{method: http.MethodPost, path: []string{"reviews", id, "close"}, in: r})
}
