package main

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) loginCmd() *cobra.Command {
	var bootstrap, enroll, name, logKey string
	var device, noBrowser bool
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Sign in on this device",
		Long: "Sign in on this device: in a browser here, with --device in a browser elsewhere, or\n" +
			"with a one-time code. The login is bound to a key that never leaves the device, so\n" +
			"that a stolen token alone is useless. Before you say yes in a browser, compare the\n" +
			"mark that it shows with the one here. BROWSER names the program that opens pages.\n\n" +
			"The first sign-in pins the key of the server's audit log; a later change of it is an\n" +
			"error. With --log-key the first sign-in, too, accepts only the key that the\n" +
			"administrators have named. Whoever is signed in accepts with --log-key alone the key\n" +
			"that the log has after a rotation.",
		Example: "  stint login --server https://stint.example.com\n" +
			"  stint login --device\n" +
			"  stint login --enroll-token-file code.txt\n" +
			"  stint login --log-key SHA256:…\n" +
			"  stint login --bootstrap-token-file stint-data/bootstrap-token --name mira",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			flag, file := "enroll-token-file", enroll
			switch {
			case logKey != "" && !strings.HasPrefix(logKey, "SHA256:"):
				return usageError{errors.New("--log-key " + quote(logKey) + " is not a fingerprint; one is written SHA256:…")}
			case bootstrap != "" && enroll != "":
				return usageError{errors.New("--bootstrap-token-file and --enroll-token-file exclude each other")}
			case device && (bootstrap != "" || enroll != "" || noBrowser):
				return usageError{errors.New("--device goes with no code and no --no-browser: the browser is elsewhere")}
			case bootstrap != "" && name == "":
				return usageError{errors.New("--name is missing: the name of the first administrator")}
			case bootstrap == "" && name != "":
				return usageError{errors.New("--name goes with --bootstrap-token-file only; an enrolment code knows its user")}
			case bootstrap != "":
				flag, file = "bootstrap-token-file", bootstrap
			case enroll == "" && logKey != "" && !device && !noBrowser && c.holdsLogin():
				return c.acceptKey(cmd.Context(), logKey)
			case enroll == "":
				return c.signIn(cmd.Context(), logKey, c.elsewhere(device, !noBrowser))
			}
			code, err := c.readSecret(flag, file)
			if err != nil {
				return err
			}
			if strings.ContainsAny(code.Reveal(), " \t\r\n\"{}:") {
				return wrong("no-code", "--"+flag+": there is no code in "+file, "it holds more than one word",
					"put the code alone into it: of stint admin user add NAME -o json it is the value of enroll_token")
			}
			return c.signIn(cmd.Context(), logKey, func(ctx context.Context, conn *connection) (api.LoginResult, error) {
				return conn.Enroll(ctx, code, bootstrap != "", name)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&bootstrap, "bootstrap-token-file", "", "become the first administrator with the token that stintd wrote (- for stdin)")
	f.StringVar(&name, "name", "", "with --bootstrap-token-file: your user name")
	f.StringVar(&enroll, "enroll-token-file", "", "sign in with a one-time code (- for stdin)")
	f.BoolVar(&device, "device", false, "confirm in a browser on another machine")
	f.BoolVar(&noBrowser, "no-browser", false, "only print the address to open")
	f.StringVar(&logKey, "log-key", "", "accept only the audit log's key of this fingerprint (SHA256:…)")
	return cmd
}

// signedIn is what signing in prints: everything but the token.
type signedIn struct {
	Server         string   `json:"server"`
	Principal      string   `json:"principal"`
	Person         string   `json:"person"`
	Admin          bool     `json:"admin"`
	Auditor        bool     `json:"auditor"`
	ExpiresAt      api.Time `json:"expires_at"`
	LogOrigin      string   `json:"log_origin"`
	LogKey         string   `json:"log_key"`
	LogFingerprint string   `json:"log_key_fingerprint"`
}

// holdsLogin reports whether this device has a login at the server whose time is not up.
func (c *cli) holdsLogin() bool {
	conn, cfg, err := c.dial()
	if err != nil {
		return false
	}
	l := cfg.Logins[conn.name]
	return l.Token != "" && c.now().Before(l.ExpiresAt.Time)
}

// signIn keeps the login that a way of signing in brings.
func (c *cli) signIn(ctx context.Context, accept string, way func(context.Context, *connection) (api.LoginResult, error)) error {
	conn, cfg, err := c.dial()
	if err != nil {
		return err
	}
	// The key is looked at before the code is used up.
	offered, err := c.offeredKey(ctx, conn, accept)
	if err != nil {
		return err
	}
	if err := conn.keepDevice(); err != nil {
		return err
	}
	got, err := way(ctx, conn)
	if err != nil {
		return err
	}
	given := api.LogKey{Origin: got.LogOrigin, Key: got.LogKey}
	if given != offered {
		return &api.Error{Kind: api.Internal, Code: "log-key-differs", Message: "the server names two keys of its audit log",
			Why: "first " + fingerprint(offered.Key) + ", then " + fingerprint(given.Key), Next: "ask the administrators; you are not signed in"}
	}
	if cfg.Logins == nil {
		cfg.Logins = map[string]login{}
	}
	cfg.Server = conn.name
	delete(cfg.Glass, conn.name)
	cfg.Logins[conn.name] = login{Token: got.Token, Principal: got.Principal, ExpiresAt: got.ExpiresAt}
	newKey, err := c.pinLog(conn.name, given)
	if err != nil {
		return err
	}
	if err := c.store(configFile, cfg); err != nil {
		return err
	}
	c.say("signed in to " + conn.name + " as " + printable(got.Principal) + " until " + clock(got.ExpiresAt.Time, c.now()))
	if newKey {
		c.say("pinned the audit log's key " + fingerprint(given.Key) + " of " + printable(given.Origin))
		if accept == "" {
			c.hint("compare it with what the administrators tell you; from now on a change of it is an error")
		}
	}
	return c.show(result{
		value: signedIn{Server: conn.name, Principal: got.Principal, Person: got.Person, Admin: got.Admin, Auditor: got.Auditor,
			ExpiresAt: got.ExpiresAt, LogOrigin: given.Origin, LogKey: given.Key, LogFingerprint: fingerprint(given.Key)},
		names: []string{got.Principal},
	})
}

// offeredKey is the log's key that the server names, if it is the pinned one or the one
// to accept.
func (c *cli) offeredKey(ctx context.Context, conn *connection, accept string) (api.LogKey, error) {
	have, err := c.pinned(conn.name)
	if err != nil {
		return api.LogKey{}, err
	}
	offered, err := conn.LogKey(ctx)
	if err != nil {
		return api.LogKey{}, err
	}
	return offered, checkPin(conn.name, have, offered, accept)
}

// acceptKey pins the log's key anew, which has changed as the administrators said.
func (c *cli) acceptKey(ctx context.Context, accept string) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	me, err := conn.Whoami(ctx) // the login is live, and the answer is of this server
	if err != nil {
		return err
	}
	offered, err := c.offeredKey(ctx, conn, accept)
	if err != nil {
		return err
	}
	changed, err := c.pinLog(conn.name, offered)
	if err != nil {
		return err
	}
	said := "the audit log's key " + accept + " is the pinned one already"
	if changed {
		said = "pinned the audit log's key " + accept + " of " + printable(offered.Origin)
	}
	c.say(said)
	return c.show(result{
		value: signedIn{Server: conn.name, Principal: me.Principal, Person: me.Person, Admin: me.Admin, Auditor: me.Auditor,
			ExpiresAt: me.ExpiresAt, LogOrigin: offered.Origin, LogKey: offered.Key, LogFingerprint: accept},
		names: []string{me.Principal},
	})
}

func (c *cli) logoutCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "End the login of this device",
		Long:  "End the login of this device. What you hold goes on until its end; give it back\nwith stint end.",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, cfg, err := c.dial()
			if err != nil {
				return err
			}
			glass, err := c.endGlass(cmd.Context(), conn, &cfg)
			if err != nil {
				return err
			}
			if glass { // what is beside it goes on
				return nil
			}
			login, ok := cfg.Logins[conn.name]
			if !ok {
				c.say("not signed in to " + conn.name)
				return nil
			}
			conn.Token = login.Token
			failed := conn.Logout(cmd.Context())
			if errors.Is(failed, api.Unauthenticated) {
				failed = nil // it had ended
			}
			delete(cfg.Logins, conn.name)
			if err := c.store(configFile, cfg); err != nil {
				return err
			}
			if failed != nil {
				c.say("forgotten on this device; the server could not be told and ends the login by itself at " +
					clock(login.ExpiresAt.Time, c.now()))
				return failed
			}
			c.say("signed out of " + conn.name)
			return nil
		},
	}
}

func (c *cli) whoamiCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "whoami",
		Short: "Say who you are to the server",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			me, err := conn.Whoami(cmd.Context())
			if err != nil {
				return err
			}
			return c.show(result{value: me, names: []string{me.Principal}, text: whoamiFacts(conn.name, me, c.now())})
		},
	}
}

func whoamiFacts(server string, me api.Whoami, now time.Time) string {
	var rights []string
	if me.Admin {
		rights = append(rights, "administrator")
	}
	if me.Auditor {
		rights = append(rights, "auditor")
	}
	if me.Author {
		rights = append(rights, "policy author")
	}
	if len(me.Owns) > 0 {
		rights = append(rights, "owner of "+several(me.Owns))
	}
	if len(me.Approves) > 0 {
		rights = append(rights, "approver by "+several(me.Approves))
	}
	if len(rights) == 0 {
		rights = append(rights, "member")
	}
	return facts("principal", me.Principal, "person", me.Person, "groups", strings.Join(me.Groups, ", "),
		"rights", strings.Join(rights, ", "), "signed in", signedInBy(me), "server", server+" ("+me.ServerVersion+")", "device", me.Device,
		"sign in again", clock(me.ExpiresAt.Time, now), "here for", answeredBy(me.Company, me.Sponsor, me.Responsible), endName(me), untilFact(me.Until, now))
}

// endName is what the end of whoever is signed in is the end of.
func endName(me api.Whoami) string {
	if me.Sponsor != "" {
		return "contract until"
	}
	return "good until"
}

func untilFact(t api.Time, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04") + ", " + ago(t.Time, now)
}

// signedInBy says by whom and how.
func signedInBy(me api.Whoami) string {
	how := me.Provider
	if len(me.Methods) > 0 {
		how += " (" + strings.Join(me.Methods, " ") + ")"
	}
	if me.MFA {
		how += ", with a second factor"
	}
	return how
}

// several names a few of many.
func several(names []string) string {
	const few = 5
	if len(names) > few {
		return strings.Join(names[:few], ", ") + " and " + strconv.Itoa(len(names)-few) + " more"
	}
	return strings.Join(names, ", ")
}
