package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// The calls of auditors.

// AuditList narrows a search of the audit log. Its cursor is the sequence
// number of the last record seen.
type AuditList struct {
	List
	Actor  string // a principal, "user:mira"
	Type   string // an event type, "grant.active"; or its first part, "grant"
	Entity string // an id or a name
	Since  Time
	Until  Time
}

// AuditRecords searches the audit log, in its order.
func (c *Client) AuditRecords(ctx context.Context, l AuditList) (Page[AuditRecord], error) {
	q := url.Values{}
	if l.Limit > 0 {
		q.Set("limit", strconv.Itoa(l.Limit))
	}
	set(q, "after", l.Cursor)
	set(q, "actor", l.Actor)
	set(q, "type", l.Type)
	set(q, "entity", l.Entity)
	set(q, "since", l.Since.String())
	set(q, "until", l.Until.String())
	return get[Page[AuditRecord]](ctx, c, call{method: http.MethodGet, path: []string{"audit", "records"}, query: q})
}

// Where AuditTail begins, besides after a record.
const (
	FromFirst int64 = -1 // with the first record
	FromNow   int64 = -2 // with the next record to come
)

// AuditTail hands on each record after the one with the given number, and then
// those that come, until ctx ends or each fails. When the stream breaks off it
// goes on after the last record; it fails only when the server stays away.
func (c *Client) AuditTail(ctx context.Context, after int64, each func(AuditRecord) error) error {
	for {
		q := url.Values{}
		if after != FromNow {
			q.Set("after", strconv.FormatInt(after, 10))
		}
		opened, stopped := false, false
		err := c.follow(ctx, []string{"audit", "tail"}, q, func(s *stream) error {
			opened = true
			return s.lines(func(line []byte) error {
				var r AuditRecord
				if err := json.Unmarshal(line, &r); err != nil || r.Seq < 0 || after >= 0 && r.Seq <= after {
					stopped = true
					return &Error{Kind: Internal, Code: "bad-record", Message: fmt.Sprintf("what came after record %d is not a record that follows it", after)}
				}
				if err := each(r); err != nil {
					stopped = true
					return err
				}
				after = r.Seq
				return nil
			})
		})
		var u *Unreachable
		passing := err == nil || errors.As(err, &u)
		if ctx.Err() != nil && passing {
			return ctx.Err()
		}
		if stopped || !opened || !passing {
			return err
		}
		// An answer that ends at once, time after time, must not keep us busy.
		if !pause(ctx, pace) {
			return ctx.Err()
		}
	}
}

// AuditExport writes the whole log, as stint audit verify reads it, to w. An
// export that breaks off is an error.
func (c *Client) AuditExport(ctx context.Context, w io.Writer) error {
	return c.follow(ctx, []string{"audit", "export"}, nil, func(s *stream) error {
		_, err := io.Copy(w, s)
		return err
	})
}

// AuditCheckpoint reads the log's newest signed state.
func (c *Client) AuditCheckpoint(ctx context.Context) (Checkpoint, error) {
	return get[Checkpoint](ctx, c, call{method: http.MethodGet, path: []string{"audit", "checkpoint"}})
}
