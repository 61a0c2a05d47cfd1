package duty

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/oncall"
)

// The types of integration that keep schedules.
const (
	Calendar  = "icalendar"
	PagerDuty = "pagerduty-oncall"
	Opsgenie  = "opsgenie-oncall"
)

// Schemas are those of the types.
func Schemas() []access.Schema {
	return []access.Schema{
		{Type: Calendar, OnCall: true, Integration: map[string]access.Option{}},
		{Type: PagerDuty, OnCall: true, NeedsCredential: true, Integration: map[string]access.Option{}},
		{Type: Opsgenie, OnCall: true, NeedsCredential: true, Integration: map[string]access.Option{}},
	}
}

// Place is where a schedule is kept.
type Place struct {
	Type     string
	Address  string
	Calendar string // the schedule's id there
	Secret   access.Secret
}

// Later is that a server asks to be left alone for a while.
type Later struct {
	After time.Duration
	Why   string
}

func (l *Later) Error() string { return l.Why }

// Limits of one answer. The client under the calls has others, of bytes and of time.
const (
	maxPages  = 50
	maxShifts = 5000
)

// Read asks a place who is on call from from until until: shifts of people by the ids that
// they have there.
func Read(ctx context.Context, client *http.Client, p Place, from, until time.Time) ([]oncall.Shift, error) {
	switch p.Type {
	case Calendar:
		return readCalendar(ctx, client, p, from, until)
	case PagerDuty:
		return readPagerDuty(ctx, client, p, from, until)
	case Opsgenie:
		return readOpsgenie(ctx, client, p, from, until)
	}
	return nil, errors.New("an integration of type " + p.Type + " keeps no schedules")
}

// readCalendar fetches a feed. Where it is secret, its path and query are the credential.
func readCalendar(ctx context.Context, client *http.Client, p Place, from, until time.Time) ([]oncall.Shift, error) {
	to := p.Address
	if rest := strings.TrimSpace(string(p.Secret.Reveal())); rest != "" {
		if !strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, "//") {
			return nil, errors.New("the credential is not the path and query of the feed: it begins with one /")
		}
		to = strings.TrimSuffix(to, "/") + rest
	}
	body, err := fetch(ctx, client, to, http.Header{"Accept": {"text/calendar"}})
	if err != nil {
		return nil, err
	}
	return oncall.ReadCalendar(string(body), from, until)
}

// readPagerDuty asks the REST API v2: GET /oncalls, page after page.
func readPagerDuty(ctx context.Context, client *http.Client, p Place, from, until time.Time) (out []oncall.Shift, err error) {
	if p.Calendar == "" {
		return nil, errors.New("the schedule names no calendar: PagerDuty's id of it, like PI7DH85")
	}
	h := http.Header{"Accept": {"application/vnd.pagerduty+json;version=2"}, "Authorization": {"Token token=" + strings.TrimSpace(string(p.Secret.Reveal()))}}
	q := url.Values{"schedule_ids[]": {p.Calendar}, "since": {from.UTC().Format(time.RFC3339)}, "until": {until.UTC().Format(time.RFC3339)}, "limit": {"100"}}
	for range maxPages {
		q.Set("offset", strconv.Itoa(len(out)))
		var page struct {
			OnCalls []struct {
				User     struct{ ID string }
				Schedule *struct{ ID string }
				Start    *time.Time // null: always
				End      *time.Time
			}
			More *bool
		}
		if err := fetchJSON(ctx, client, strings.TrimSuffix(p.Address, "/")+"/oncalls?"+q.Encode(), h, &page); err != nil {
			return nil, err
		}
		if page.More == nil {
			return nil, errors.New("the answer is none of PagerDuty's: it does not say whether there is more")
		}
		for _, x := range page.OnCalls {
			if x.User.ID == "" || x.Schedule == nil || x.Schedule.ID != p.Calendar {
				return nil, errors.New("the answer is about another schedule, or about nobody")
			}
			s := oncall.Shift{Member: x.User.ID, From: from, Until: until}
			if x.Start != nil {
				s.From = x.Start.UTC()
			}
			if x.End != nil {
				s.Until = x.End.UTC()
			}
			out = append(out, s)
		}
		switch {
		case len(out) > maxShifts:
			return nil, fmt.Errorf("there are more than %d shifts", maxShifts)
		case !*page.More:
			return out, nil
		case len(page.OnCalls) == 0:
			return nil, errors.New("the answer has more pages, and nothing on this one")
		}
	}
	return nil, fmt.Errorf("the answer has more than %d pages", maxPages)
}

// readOpsgenie asks the Schedule API: the timeline as it comes out in the end, with
// overrides and forwardings.
func readOpsgenie(ctx context.Context, client *http.Client, p Place, from, until time.Time) (out []oncall.Shift, err error) {
	if p.Calendar == "" {
		return nil, errors.New("the schedule names no calendar: Opsgenie's id of it")
	}
	h := http.Header{"Accept": {"application/json"}, "Authorization": {"GenieKey " + strings.TrimSpace(string(p.Secret.Reveal()))}}
	days := int(until.Sub(from)/(24*time.Hour)) + 1
	q := url.Values{"identifierType": {"id"}, "date": {from.UTC().Format(time.RFC3339)}, "interval": {strconv.Itoa(days)}, "intervalUnit": {"days"}}
	type recipient struct{ Type, ID string }
	var got struct {
		Data *struct {
			StartDate, EndDate time.Time
			FinalTimeline      *struct {
				Rotations []struct {
					Periods []struct {
						StartDate, EndDate  time.Time
						Recipient           *recipient // absent: nobody
						FlattenedRecipients []recipient
					}
				}
			}
		}
	}
	if err := fetchJSON(ctx, client, strings.TrimSuffix(p.Address, "/")+"/v2/schedules/"+url.PathEscape(p.Calendar)+"/timeline?"+q.Encode(), h, &got); err != nil {
		return nil, err
	}
	switch {
	case got.Data == nil || got.Data.FinalTimeline == nil:
		return nil, errors.New("the answer is none of Opsgenie's: it has no timeline")
	case got.Data.StartDate.After(from) || got.Data.EndDate.Before(until):
		return nil, errors.New("the answer is for a shorter time than was asked for")
	}
	for _, r := range got.Data.FinalTimeline.Rotations {
		for _, x := range r.Periods {
			who := x.FlattenedRecipients
			if len(who) == 0 && x.Recipient != nil {
				who = []recipient{*x.Recipient}
			}
			for _, w := range who {
				if w.Type != "user" || w.ID == "" { // "none", or a team that nobody is in
					continue
				}
				out = append(out, oncall.Shift{Member: w.ID, From: x.StartDate.UTC(), Until: x.EndDate.UTC()})
			}
		}
	}
	if len(out) > maxShifts {
		return nil, fmt.Errorf("there are more than %d shifts", maxShifts)
	}
	return out, nil
}

func fetchJSON(ctx context.Context, client *http.Client, to string, h http.Header, into any) error {
	body, err := fetch(ctx, client, to, h)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errors.New("the answer is not the JSON that was expected")
	}
	return nil
}

// fetch gets a page. No error holds the URL, whose path may be a secret, nor what the
// server wrote, which anybody may have.
func fetch(ctx context.Context, client *http.Client, to string, h http.Header) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return nil, errors.New("the address is not one to ask")
	}
	req.Header = h.Clone()
	req.Header.Set("User-Agent", "Stint")
	resp, err := client.Do(req)
	if err != nil {
		return nil, hostOnly(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", hostOnly(err))
	}
	why := "the server answers " + strconv.Itoa(resp.StatusCode)
	switch resp.StatusCode {
	case http.StatusOK:
		return body, nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, errors.New(why + ": it does not take the credential")
	case http.StatusNotFound:
		return nil, errors.New(why + ": there is no such schedule, or the credential may not see it")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		for _, name := range []string{"Retry-After", "Ratelimit-Reset", "X-RateLimit-Period-In-Sec"} {
			if n, err := strconv.Atoi(resp.Header.Get(name)); err == nil && n >= 0 {
				return nil, &Later{min(time.Duration(n)*time.Second, mostLater), why}
			}
		}
		return nil, &Later{time.Minute, why}
	}
	return nil, errors.New(why)
}

// mostLater bounds how long a server can have itself left alone.
const mostLater = 10 * time.Minute

func hostOnly(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
