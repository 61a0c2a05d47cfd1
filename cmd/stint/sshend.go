package main

import (
	"context"
	"io"
	"time"

	"stint/internal/api"
)

// warnings are how long before the end somebody who is connected is told.
var warnings = []time.Duration{5 * time.Minute, time.Minute}

// warnOfEnd tells a person on a terminal that access is about to end, until ctx is done.
// The grant is read again before each word: it may have been extended.
func (c *cli) warnOfEnd(ctx context.Context, conn *connection, r api.Request) {
	ends := r.Grant.ExpiresAt.Time
	for told := time.Duration(0); ; {
		at, before := nextWarning(ends, c.now(), told)
		if before == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(at):
		}
		if now, err := conn.Request(ctx, r.ID, api.Wait{}); err == nil && now.Grant != nil {
			if now.Grant.State != api.GrantActive {
				return // the host says so
			}
			if !now.Grant.ExpiresAt.Time.Equal(ends) { // extended: the same words again, later
				ends, told = now.Grant.ExpiresAt.Time, 0
				continue
			}
		}
		if ctx.Err() != nil {
			return
		}
		told = before
		// ssh has set the terminal raw: a line needs its carriage return.
		_, _ = io.WriteString(c.err, "\r\nstint: access to "+printable(r.Resource)+" ends in "+api.Span(api.FormatDuration(before))+"; for more: stint extend "+printable(r.ID)+" --for 30m --why …\r\n")
	}
}

// nextWarning is in how long which warning is due, of those after the one that was told
// last; those whose time has passed are left out, 0 is none.
func nextWarning(ends, now time.Time, told time.Duration) (in, before time.Duration) {
	for _, w := range warnings {
		if (told == 0 || w < told) && ends.Sub(now) >= w {
			return ends.Sub(now) - w, w
		}
	}
	return 0, 0
}
