package apiserver

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/audit"
	"stint/internal/broker"
	"stint/internal/web"
	"stint/internal/web/views"
)

const (
	shownRecords = 50
	// countAtMost bounds the records that are looked at for the picture, and for what a
	// search without one condition would find.
	countAtMost = 20_000
	tallySteps  = 48
	exportPage  = 500
)

// search reads a page's query, with the rights of the visitor.
func (d doors) search(ctx context.Context, v web.Visitor, w views.AuditQuery) (call, LogQuery, error) {
	who, err := d.caller(ctx, v)
	if err != nil {
		return call{}, LogQuery{}, err
	}
	c := callBy(who)
	f := w.Fields
	in := recordsIn{After: -1, Limit: shownRecords, Actor: f["actor"], Type: f["type"], Resource: f["resource"], Request: f["request"], Outcome: f["outcome"], Agent: f["agent"], Address: f["address"], Text: f["text"]}
	for name, value := range f {
		if len(value) > 200 {
			return c, LogQuery{}, access.Fail(access.Invalid, "too-long", "what is looked for as "+name+" is too long")
		}
	}
	in.Until = d.now()
	if in.Since, err = pastOf(cmp.Or(w.Range, w.Since), in.Until); err != nil {
		return c, LogQuery{}, err
	}
	if w.Until != "" {
		if in.Until, err = pastOf(w.Until, in.Until); err != nil {
			return c, LogQuery{}, err
		}
	}
	if w.Range == "" && w.Since == "" {
		in.Since = in.Until.Add(-24 * time.Hour)
	}
	if !in.Since.Before(in.Until) || in.Since.Year() < 1970 || in.Until.Year() > 9000 {
		return c, LogQuery{}, access.Fail(access.Invalid, "bad-time", "the time begins after its end").Try("take an earlier beginning")
	}
	if w.Before != "" {
		if in.Before, err = strconv.ParseInt(w.Before, 10, 64); err != nil || in.Before < 1 {
			return c, LogQuery{}, access.Fail(access.Invalid, "bad-cursor", "that is no page of this search").Try("begin with the newest records")
		}
	}
	q, err := d.logQuery(ctx, c, &in)
	return c, q, err
}

// pastOf reads a time, or how long before now it was.
func pastOf(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if span, err := api.ParseDuration(text); err == nil {
		return now.Add(-span), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, access.Fail(access.Invalid, "bad-time", "that is not a time").Try("write it like 24h, 2026-03-01 or 2026-03-01T17:30")
	}
	return t, nil
}

// Look searches the log for a page.
func (d doors) Look(ctx context.Context, v web.Visitor, w views.AuditQuery) (out views.AuditFound, err error) {
	c, q, err := d.search(ctx, v, w)
	if c.Principal.ID != "" {
		out.Check = d.check(ctx)
		out.Keeps = c.Principal.ID.Kind() == access.User
		kept, kerr := d.broker.Searches(ctx, c.asked(nil))
		for _, s := range kept {
			out.Saved = append(out.Saved, views.AuditSaved{Name: s.Name, Query: s.Query})
		}
		err = cmp.Or(err, kerr)
	}
	if err != nil {
		return out, err
	}
	q.Look = scanAtMost
	recs, next, err := d.audit.Search(ctx, q)
	if err != nil {
		return out, err
	}
	out.Records, out.Since, out.Until = toRecords(recs), q.Since, q.Until
	for _, r := range recs {
		rec, err := audit.Decode(r.Encoded)
		result := audit.Trouble
		if err == nil {
			result = audit.ResultOf(rec.Event.Type, r.Encoded)
		}
		out.Results = append(out.Results, string(result))
	}
	if next > 0 {
		out.Next = strconv.FormatInt(next, 10)
	}
	count := func(q LogQuery) (LogTally, error) {
		q.Look, q.Before = countAtMost, 0
		return d.audit.Tally(ctx, q, tallySteps)
	}
	t, err := count(q)
	if err != nil {
		return out, err
	}
	out.Counts, out.Total, out.Looked, out.Of, out.Oldest = t.Counts, t.Total, t.Looked, t.Of, t.Oldest
	if len(recs) > 0 || next > 0 {
		return out, nil
	}
	for _, name := range views.AuditFields {
		if w.Fields[name] == "" {
			continue
		}
		_, less, err := d.search(ctx, v, w.Without(name))
		if err != nil {
			continue
		}
		t, err := count(less)
		if err != nil {
			return out, err
		}
		if t.Total > 0 {
			out.Nearest = append(out.Nearest, views.AuditNear{Field: name, Found: t.Total, More: t.Looked < t.Of})
		}
	}
	slices.SortStableFunc(out.Nearest, func(a, b views.AuditNear) int { return cmp.Compare(a.Found, b.Found) })
	out.Nearest = out.Nearest[:min(len(out.Nearest), 3)]
	return out, nil
}

func (d doors) check(ctx context.Context) views.AuditCheck {
	r := d.checkLog(ctx)
	return views.AuditCheck{Signed: r.signed, Size: r.size, At: r.at, Bad: r.bad}
}

// Each hands on what a search finds, a page at a time, as far as the visitor may see.
func (d doors) Each(ctx context.Context, v web.Visitor, w views.AuditQuery, each func([]api.AuditRecord) error) error {
	_, q, err := d.search(ctx, v, w)
	if err != nil {
		return err
	}
	q.Limit, q.Look = exportPage, scanAtMost
	held, release := d.hold(ctx, streamLife)
	defer release()
	for {
		recs, next, err := d.audit.Search(held, q)
		if err != nil {
			return err
		}
		if len(recs) > 0 {
			if err := each(toRecords(recs)); err != nil {
				return err
			}
		}
		if next == 0 {
			return nil
		}
		q.Before = next
		// Whoever has lost their sign-in, or their office, meanwhile gets no more.
		if _, now, err := d.search(held, v, w); err != nil || now.Person != q.Person {
			return cmp.Or(err, error(access.Fail(access.Denied, "not-yours", "this is no longer yours to read")))
		}
	}
}

// Record is one record with its proof, which is checked here with the log's key.
func (d doors) Record(ctx context.Context, v web.Visitor, seq int64) (out views.AuditProof, err error) {
	who, err := d.caller(ctx, v)
	if err != nil {
		return out, err
	}
	// Whether it is theirs to see is asked of the log, as for a search.
	q := LogQuery{After: seq - 1, Before: seq + 1, Limit: 1}
	callBy(who).onlyOwn(&q)
	recs, err := d.audit.Records(ctx, q)
	if err != nil {
		return out, err
	}
	if len(recs) == 0 {
		return out, access.Fail(access.NotFound, "no-such-record", "there is no such record").Try("search for it at /audit")
	}
	p, err := d.audit.Prove(ctx, seq)
	if err != nil {
		return out, err
	}
	out.Record = api.AuditRecord{Seq: p.Record.Seq, Record: p.Record.Encoded}
	out.Leaf, out.Checkpoint, out.Check = audit.Leaf(p.Record.Encoded).String(), string(p.Checkpoint), d.check(ctx)
	for _, h := range p.Proof {
		out.Path = append(out.Path, h.String())
	}
	c, err := audit.OpenCheckpoint(p.Checkpoint, d.logKey.Key)
	if err == nil {
		out.Size = c.Size
		err = audit.CheckRecord(p.Proof, c, seq, p.Record.Encoded)
	}
	if out.Holds = err == nil; err != nil {
		out.Why = problemOf(err, "").Message
	}
	return out, nil
}

// KeepSearch keeps a search of the visitor's.
func (d doors) KeepSearch(ctx context.Context, v web.Visitor, name, query string) error {
	c, err := d.caller(ctx, v)
	if err == nil {
		err = d.writes.take(string(c.Principal.ID))
	}
	if err == nil {
		_, err = url.ParseQuery(query)
	}
	if err != nil {
		return err
	}
	return d.broker.SaveSearch(ctx, callBy(c).asked(nil), broker.Search{Name: name, Query: query})
}
