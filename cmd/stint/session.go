package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
	"stint/internal/recording"
)

func (c *cli) sessionCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "session",
		Short: "See, replay, watch and end sessions, and commands of stint elevate",
		Long: "See, replay, watch and end sessions that went through a gateway, and commands that were run with\n" +
			"stint elevate, each of which is a session of its own. Your own you see; their\n" +
			"recordings are for whom a policy with effect watch names, and who looks is in the log.\n" +
			"Where you are signed in is another thing: stint signins.",
	}
	cmd.AddCommand(c.sessionLsCmd(), c.sessionShowCmd(), c.sessionPlayCmd(), c.sessionWatchCmd(), c.sessionPauseCmd(), c.sessionResumeCmd(), c.sessionEndCmd(),
		c.sessionExportCmd(), c.sessionVerifyCmd(), c.sessionSearchCmd(), c.sessionHoldCmd(), c.sessionReleaseCmd())
	return cmd
}

func (c *cli) sessionLsCmd() *cobra.Command {
	var l api.SessionList
	var limit int
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List sessions, the newest first",
		Example: "  stint session ls --live\n  stint session ls --resource web1",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := func(ctx context.Context, conn *connection, page api.List) (api.Page[api.Session], error) {
				l.List = page
				return conn.Sessions(ctx, l)
			}
			return showList(c, cmd.Context(), limit, list, c.carriedTable, hints{none: "sessions appear when somebody connects through a gateway, or runs a command with stint elevate", some: "see one with stint session show ID, replay it with stint session play ID"})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&l.Live, "live", false, "only those that go on")
	f.StringVar(&l.Person, "user", "", "only those of this person")
	f.StringVar(&l.Resource, "resource", "", "only those on this resource")
	f.StringVar(&l.Grant, "grant", "", "only those of this grant")
	limitFlag(cmd, &limit)
	return cmd
}

// carriedTable shows sessions that gateways carry.
func (c *cli) carriedTable(all []api.Session) (names []string, t *table) {
	t = newTable("!ID", "PERSON", "RESOURCE", "AS", "BEGAN", "STATE", "RECORDING")
	for _, s := range all {
		names = append(names, s.ID)
		as := s.Account
		if s.Command != nil {
			as = s.Command.RunAs + ": " + s.Command.Line
		}
		t.row(s.ID, s.Person, s.Resource, as, ago(s.OpenedAt.Time, c.now()), sessionState(s), s.Recording.State)
	}
	return names, t
}

func sessionState(s api.Session) string {
	late := ""
	if s.Command != nil && s.Command.AfterEnd {
		late = ", began after the end of its access"
	}
	switch {
	case s.State == "closed" && s.Reason != "":
		return "closed: " + s.Reason + late
	case s.State == "live" && !s.PausedAt.IsZero():
		return "paused"
	}
	return s.State + late
}

func (c *cli) sessionShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show one session, and what was run in it",
		Long:    "Show one session. Who may see its recording sees also what was run in it, and when.",
		Example: "  stint session show ses_01J8ZQ",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			s, err := conn.Session(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			var b strings.Builder
			fact := func(name, value string) {
				if value != "" {
					fmt.Fprintf(&b, "%-10s %s\n", name, printable(value))
				}
			}
			fact("session", s.ID)
			fact("state", sessionState(s))
			fact("person", s.Person)
			fact("resource", s.Resource+" as "+s.Account)
			fact("role", s.Role)
			fact("gateway", s.Gateway)
			fact("host", s.Host)
			fact("from", s.Source)
			if x := s.Command; x != nil {
				fact("command", x.Line)
				fact("run as", x.RunAs)
				if x.Status != nil {
					fact("exit code", strconv.Itoa(*x.Status))
				}
				fact("signal", x.Signal)
			}
			fact("began", clock(s.OpenedAt.Time, c.now()))
			if !s.ClosedAt.IsZero() {
				fact("ended", clock(s.ClosedAt.Time, c.now())+" "+s.Text)
			}
			if s.EndNote != "" {
				fact("ended by", s.EndedBy+": "+s.EndNote)
			}
			fact("recording", s.Recording.State)
			shown := struct {
				api.Session
				Index *api.RecordingIndex `json:"index,omitempty"`
			}{Session: s}
			if s.Recording.State != "none" && s.Recording.State != "removed" {
				if i, err := conn.RecordingIndex(cmd.Context(), s.ID); err == nil {
					shown.Index = &i
					b.WriteByte('\n')
					for _, e := range i.Entries {
						fmt.Fprintf(&b, "%10s  %-9s %s\n", recording.Offset(time.Duration(e.Millis)*time.Millisecond), printable(e.Kind), printable(e.Text))
					}
					if i.More {
						c.say("there is more than is listed; stint session export " + printable(s.ID) + " --form lines has all of it")
					}
					if i.Damage != "" {
						c.say("the recording is damaged: " + printable(i.Damage))
					}
				}
			}
			return c.show(result{value: shown, names: []string{s.ID}, text: b.String()})
		},
	}
}

func (c *cli) sessionPlayCmd() *cobra.Command {
	var speed float64
	var from, idle string
	var channel uint32
	cmd := &cobra.Command{
		Use:   "play ID",
		Short: "Replay a recording in this terminal",
		Long: "Replay a recording in this terminal, as it was typed. What you get are pictures of the screen,\n" +
			"made by the server: nothing that the session wrote acts on your terminal. Ctrl-C ends it.\n" +
			"Where the output is no terminal, the recording's text is written.",
		Example: "  stint session play ses_01J8ZQ --speed 4 --idle 1s\n  stint session play ses_01J8ZQ --from 12:30",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			if !c.tty.out {
				return conn.ExportRecording(cmd.Context(), args[0], "text", c.out)
			}
			at, err := readOffset(from)
			if err != nil {
				return err
			}
			longest, err := time.ParseDuration(idle)
			if err != nil || longest < 0 {
				return wrong("bad-idle", quote(idle)+" is not a duration", "", "write --idle 2s, or --idle 0s to cut nothing")
			}
			if speed < 0.1 || speed > 100 {
				return wrong("bad-speed", "--speed is from 0.1 to 100", "", "write --speed 4 for four times as fast")
			}
			p := &player{c: c, speed: speed, idle: longest}
			defer p.leave()
			return p.end(conn.Screens(cmd.Context(), args[0], api.Play{From: at, Channel: channel}, func(s api.Screen) error { return p.show(cmd.Context(), s) }))
		},
	}
	f := cmd.Flags()
	f.Float64Var(&speed, "speed", 1, "how many times as fast")
	f.StringVar(&from, "from", "", "where to begin: 12:30 or 1:02:03")
	f.StringVar(&idle, "idle", "2s", "the longest that nothing happens; 0s: as long as it was")
	f.Uint32Var(&channel, "channel", 0, "which channel of the session; the first that shows something if not given")
	return cmd
}

func (c *cli) sessionWatchCmd() *cobra.Command {
	var channel uint32
	cmd := &cobra.Command{
		Use:   "watch ID",
		Short: "Watch a session while it goes on",
		Long: "Watch a session while it goes on, within a second or two. You cannot type. That you watch is\n" +
			"in the log. Ctrl-C stops watching, and the session goes on.",
		Example: "  stint session watch ses_01J8ZQ",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			p := &player{c: c, live: true}
			defer p.leave()
			return p.end(conn.Screens(cmd.Context(), args[0], api.Play{Follow: true, Channel: channel}, func(s api.Screen) error { return p.show(cmd.Context(), s) }))
		},
	}
	cmd.Flags().Uint32Var(&channel, "channel", 0, "which channel of the session; the first that shows something if not given")
	return cmd
}

func (c *cli) sessionPauseCmd() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:     "pause ID --why TEXT",
		Short:   "Stop what passes in a live session",
		Long:    "Stop what passes in a live session, both ways, until stint session resume. The person is told.\nIt ends with its grant all the same.",
		Example: "  stint session pause ses_01J8ZQ --why 'what is that script?'",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.actOnSession(cmd.Context(), "paused", func(conn *connection) (api.Session, error) { return conn.PauseSession(cmd.Context(), args[0], why) })
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "why, for the log")
	_ = cmd.MarkFlagRequired("why")
	return cmd
}

func (c *cli) sessionResumeCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "resume ID",
		Short:   "Let a session go on that was paused",
		Example: "  stint session resume ses_01J8ZQ",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.actOnSession(cmd.Context(), "resumed", func(conn *connection) (api.Session, error) { return conn.ResumeSession(cmd.Context(), args[0]) })
		},
	}
}

func (c *cli) sessionEndCmd() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:     "end ID --why TEXT",
		Short:   "End one session now; its grant goes on",
		Long:    "End one session now. Its grant goes on, so that the person may connect again: stint revoke\ntakes the access itself away.",
		Example: "  stint session end ses_01J8ZQ --why 'wrong host'",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.actOnSession(cmd.Context(), "ended", func(conn *connection) (api.Session, error) { return conn.EndSession(cmd.Context(), args[0], why) })
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "why, for the log and the person")
	_ = cmd.MarkFlagRequired("why")
	return cmd
}

func (c *cli) actOnSession(_ context.Context, done string, act func(*connection) (api.Session, error)) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	s, err := act(conn)
	if err != nil {
		return err
	}
	c.say(done + " the session " + printable(s.ID) + " of " + printable(s.Person) + " on " + printable(s.Resource))
	return c.show(result{value: s, names: []string{s.ID}})
}

func (c *cli) sessionExportCmd() *cobra.Command {
	var out, form string
	cmd := &cobra.Command{
		Use:   "export ID",
		Short: "Write a recording to a file",
		Long: "Write a recording to a file, as asciicast (which asciinema plays), as text, as lines of JSON with\n" +
			"every record, or raw: as it is kept, encrypted and sealed, for stint session verify --file.\n" +
			"A player of asciicast gets the bytes that the session wrote, whatever they do to a terminal.",
		Example: "  stint session export ses_01J8ZQ --out session.cast\n  stint session export ses_01J8ZQ --form raw --out session.rec",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			switch form {
			case "asciicast", "text", "lines", "raw":
			default:
				return wrong("unknown-form", quote(form)+" is not a form of recordings", "", "use asciicast, text, lines or raw")
			}
			if out == "" || out == "-" {
				if c.tty.out && form != "text" {
					return wrong("to-terminal", "what a session wrote is not for your terminal", "it may act on it", "give --out FILE, or look at it with stint session play")
				}
				return conn.ExportRecording(cmd.Context(), args[0], form, c.out)
			}
			return replaceFile("export-unwritten", out, func(f *os.File) error { return conn.ExportRecording(cmd.Context(), args[0], form, f) })
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the file to write, in the place of one that is there; it appears whole or not at all")
	cmd.Flags().StringVar(&form, "form", "asciicast", "asciicast, text, lines or raw")
	return cmd
}

func (c *cli) sessionSearchCmd() *cobra.Command {
	var s api.Search
	cmd := &cobra.Command{
		Use:     "search TEXT",
		Short:   "Look for a text in what was run, in the recordings that you may see",
		Long:    "Look for a text in what was run, in the recordings that you may see, the newest first; with --shown\nin what was shown, too. Each recording that is looked through is in the log.",
		Example: "  stint session search 'systemctl restart'\n  stint session search --shown 'permission denied' --user mira",
		Args:    exactly("TEXT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			s.Text = args[0]
			hits, err := conn.SearchRecordings(cmd.Context(), s)
			if err != nil {
				return err
			}
			t := newTable("!SESSION", "AT", "KIND", "TEXT")
			var names []string
			for _, h := range hits.Hits {
				names = append(names, h.Session)
				t.row(h.Session, recording.Offset(time.Duration(h.Millis)*time.Millisecond), h.Kind, h.Text)
			}
			if err := c.show(result{value: hits, names: names, table: t}); err != nil {
				return err
			}
			for _, x := range hits.Skipped {
				c.say("not looked through: " + printable(x))
			}
			if hits.Enough {
				c.say("there may be more: narrow it down with --session, --user or a longer text")
			}
			c.listed(len(hits.Hits), hints{none: strconv.Itoa(hits.Searched) + " recordings were looked through", some: "replay from there with stint session play ID --from TIME"})
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&s.Output, "shown", false, "in what was shown, too")
	f.StringVar(&s.Session, "session", "", "only in this session")
	f.StringVar(&s.Person, "user", "", "only in sessions of this person")
	return cmd
}

// readOffset reads a time within a recording: 12:30, 1:02:03, or a duration.
func readOffset(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return d, nil
	}
	parts := strings.Split(s, ":")
	var total time.Duration
	for i, p := range parts {
		n, err := strconv.ParseFloat(p, 64)
		if err != nil || n < 0 || n > 1e6 || len(parts) < 2 || len(parts) > 3 || i > 0 && n >= 60 {
			return 0, wrong("bad-time", quote(s)+" is no time within a recording", "", "write --from 12:30 or --from 1:02:03")
		}
		total = total*60 + time.Duration(n*float64(time.Second))
	}
	return total, nil
}

func keyText(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
