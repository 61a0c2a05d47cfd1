package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) auditCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Read the audit log, and verify it"}
	cmd.AddCommand(c.auditTailCmd(), c.auditSearchCmd(), c.auditExportCmd(), c.auditVerifyCmd(), c.auditCheckpointCmd())
	return cmd
}

func (c *cli) auditTailCmd() *cobra.Command {
	var follow bool
	var last int64
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show the newest records, and those that come",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := notNegative("lines", last); err != nil {
				return err
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			size, err := logSize(cmd.Context(), conn)
			if err != nil {
				return err
			}
			after := max(size-max(last, 0), 0) - 1
			if follow {
				return conn.AuditTail(cmd.Context(), after, c.showRecord)
			}
			return c.records(cmd.Context(), conn, url.Values{"after": {strconv.FormatInt(after, 10)}}, 0, c.showRecord)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with the records that come")
	cmd.Flags().Int64VarP(&last, "lines", "n", 20, "begin with so many of the newest")
	return cmd
}

// logSize reads how many records the log has off its newest checkpoint: the
// second line of it, as C2SP tlog-checkpoint has it. Nothing is trusted to it.
func logSize(ctx context.Context, conn *connection) (int64, error) {
	head, err := conn.AuditCheckpoint(ctx)
	if err != nil {
		return 0, err
	}
	lines := strings.SplitN(head.Checkpoint, "\n", 3)
	if len(lines) == 3 {
		if n, err := strconv.ParseInt(lines[1], 10, 64); err == nil && n >= 0 {
			return n, nil
		}
	}
	return 0, nil // nothing is signed yet
}

func (c *cli) auditSearchCmd() *cobra.Command {
	var actor, kind, resource, entity, since, until, request, outcome, address, agent, text string
	var limit int
	var newest bool
	cmd := &cobra.Command{
		Use:   "search",
		Short: "Find records",
		Example: "  stint audit search --actor mira --since 24h\n" +
			"  stint audit search --resource orders-db --type grant.ended -o json\n" +
			"  stint audit search --outcome denied --since 7d --newest",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := notNegative("limit", int64(limit)); err != nil {
				return err
			}
			from, err := parsePast("since", since, c.now())
			if err != nil {
				return err
			}
			to, err := parsePast("until", until, c.now())
			if err != nil {
				return err
			}
			if actor != "" && !strings.Contains(actor, ":") {
				actor = "user:" + actor
			}
			q := url.Values{"settled": {"true"}} // who looks for what they just did finds it
			for name, value := range map[string]string{"actor": actor, "type": kind, "resource": resource, "entity": entity,
				"request": request, "outcome": outcome, "address": address, "agent": agent, "text": text,
				"since": from.String(), "until": to.String()} {
				if value != "" {
					q.Set(name, value)
				}
			}
			if newest {
				q.Set("newest", "true")
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			if c.output == asTable || c.output == asName {
				found := false
				err := c.records(cmd.Context(), conn, q, limit, func(r api.AuditRecord) error {
					found = true
					return c.showRecord(r)
				})
				if err == nil && !found {
					c.say("no record matches")
				}
				return err
			}
			all := []api.AuditRecord{}
			if err := c.records(cmd.Context(), conn, q, limit, func(r api.AuditRecord) error {
				all = append(all, r)
				return nil
			}); err != nil {
				return err
			}
			return c.show(result{value: all})
		},
	}
	f := cmd.Flags()
	f.StringVar(&actor, "actor", "", "who did it: mira, service:ci")
	f.StringVar(&kind, "type", "", "what happened: grant.ended")
	f.StringVar(&resource, "resource", "", "what concerns this resource")
	f.StringVar(&entity, "entity", "", "what happened to this: the id of a request or grant, a name")
	f.StringVar(&since, "since", "", "from this time on: 24h, 2026-03-01, 2026-03-01T17:30:00Z")
	f.StringVar(&until, "until", "", "before this time")
	f.StringVar(&request, "request", "", "what happened to this request or its grant, or because of them")
	f.StringVar(&outcome, "outcome", "", "how it came out: denied, trouble, done")
	f.StringVar(&address, "address", "", "from where it was done: 192.0.2.7")
	f.StringVar(&agent, "agent", "", "what this agent did, and what was done to it; * for any agent")
	f.StringVar(&text, "text", "", "what has this text in it, as it is written")
	f.BoolVar(&newest, "newest", false, "the newest first")
	f.IntVar(&limit, "limit", 0, "show no more than so many, the oldest first (or the newest, with --newest); 0 for all")
	c.completeFlag(cmd, "resource", c.completeResources)
	return cmd
}

// parsePast reads a time, or how long ago it was.
func parsePast(flag, text string, now time.Time) (api.Time, error) {
	if text == "" {
		return api.Time{}, nil
	}
	if d, err := api.ParseDuration(text); err == nil {
		return api.At(now.Add(-d)), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return api.At(t), nil
		}
	}
	return api.Time{}, wrong("bad-time", "--"+flag+" "+quote(text)+" is not a time", "", "write it like 24h, 2026-03-01 or 2026-03-01T17:30:00Z")
}

// records hands on what matches, page by page, up to limit unless it is zero.
func (c *cli) records(ctx context.Context, conn *connection, q url.Values, limit int, each func(api.AuditRecord) error) error {
	n := 0
	for r, err := range api.Each(func(cursor string) (api.Page[api.AuditRecord], error) {
		if cursor != "" && q.Get("newest") != "" {
			q.Set("before", cursor)
		} else if cursor != "" {
			q.Set("after", cursor)
		}
		var page api.Page[api.AuditRecord]
		err := conn.Do(ctx, http.MethodGet, "/audit/records?"+q.Encode(), nil, &page)
		q.Del("settled") // once is enough
		return page, err
	}) {
		if err == nil {
			err = each(r)
		}
		if err != nil {
			return err
		}
		if n++; n == limit {
			break
		}
	}
	return nil
}

// recordView is what people see of a record.
type recordView struct {
	ID     string    `json:"id"`
	Type   string    `json:"type"`
	At     time.Time `json:"at"`
	Entity string    `json:"entity"`
	Actor  struct {
		Principal string `json:"principal"`
		Address   string `json:"address"`
	} `json:"actor"`
	Facts map[string]string `json:"facts"`
}

// showRecord prints one record as soon as it is there. Its columns are fixed:
// nobody knows how wide those that come will be.
func (c *cli) showRecord(r api.AuditRecord) error {
	switch c.output {
	case asJSON:
		return c.jsonLine(r)
	case asYAML:
		text, err := encodeYAML(r)
		if err != nil {
			return err
		}
		return c.write(append([]byte("---\n"), text...))
	}
	var v recordView
	if err := json.Unmarshal(r.Record, &v); err != nil {
		return fmt.Errorf("read record %d: %w", r.Seq, err)
	}
	if c.output == asName {
		return c.write([]byte(printable(v.ID) + "\n"))
	}
	line := fmt.Sprintf("%6d  %s  %-22s  %-14s  %s", r.Seq, v.At.Local().Format("2006-01-02 15:04:05"),
		printable(v.Type), printable(v.Actor.Principal), printable(v.Entity))
	if len(v.Facts) > 0 {
		line += "  " + printable(pairs(v.Facts))
	}
	if c.tty.out {
		line = cutEnd(line, c.columns())
	}
	return c.write([]byte(line + "\n"))
}

func (c *cli) auditExportCmd() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:     "export",
		Short:   "Write the whole log, for verification offline",
		Example: "  stint audit export --out log.jsonl && stint audit verify --export log.jsonl",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			if out == "" || out == "-" {
				return conn.AuditExport(cmd.Context(), c.out)
			}
			return exportTo(cmd.Context(), conn, out)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the file to write, in the place of one that is there; it appears whole or not at all")
	return cmd
}

func exportTo(ctx context.Context, conn *connection, path string) error {
	return replaceFile("export-unwritten", path, func(f *os.File) error { return conn.AuditExport(ctx, f) })
}

func (c *cli) auditCheckpointCmd() *cobra.Command {
	var witnessed bool
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Print the log's newest signed checkpoint, as a note",
		Long: "Print the log's newest signed checkpoint, as the note that it is: for the operator of a\n" +
			"witness, or to keep. With --witnessed it is the newest that a witness has signed, with all\n" +
			"cosignatures on it.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			get := conn.AuditCheckpoint
			if witnessed {
				get = conn.Witnessed
			}
			head, err := get(cmd.Context())
			if err != nil {
				return err
			}
			if head.Checkpoint == "" {
				return &api.Error{Kind: api.NotFound, Code: "no-checkpoint", Message: "there is no such checkpoint yet"}
			}
			return c.show(result{value: head, names: []string{head.Checkpoint}, text: head.Checkpoint})
		},
	}
	cmd.Flags().BoolVar(&witnessed, "witnessed", false, "the newest that a witness has signed")
	return cmd
}
