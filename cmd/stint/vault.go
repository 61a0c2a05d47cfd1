package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
	"stint/internal/vault"
)

func (c *cli) vaultCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "vault", Short: "The vault: privileged accounts whose secrets only Stint knows",
		Long: "The vault: privileged accounts whose passwords, tokens, keys or certificates only Stint\n" +
			"knows. A role of the mechanism checkout lends one; when it comes back its secret is\n" +
			"another.\n" +
			"No command shows a secret of the vault but stint credentials, stint checkout, stint\n" +
			"secret read and stint run, to who was granted it."}
	cmd.AddCommand(c.vaultAddCmd(), c.vaultImportCmd(), c.vaultListCmd(), c.vaultShowCmd(), c.vaultHistoryCmd(), c.vaultRotateCmd(), c.vaultRemoveCmd())
	return cmd
}

func (c *cli) vaultAddCmd() *cobra.Command {
	var a api.VaultAdd
	var file string
	cmd := &cobra.Command{
		Use:   "add NAME --resource RESOURCE --account ACCOUNT [--secret-file F]",
		Short: "Put a privileged account into the vault",
		Long: "Put a privileged account into the vault. Stint sets a fresh password, which nobody\n" +
			"ever sees; the sessions of the account end then. With --secret-file the password that\n" +
			"it has stays until it is lent or rotated first; it is tried on the target. Where the\n" +
			"resource says that its accounts open with something else (secret: token, key or\n" +
			"certificate), it is that, in the file too; of a certificate, with its private key.",
		Example: "  stint admin vault add orders-dba --resource orders-db --account dba_admin --rotate-every 30d\n" +
			"  stint admin vault add orders-dba --resource orders-db --account dba_admin --secret-file dba.pw",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, m := range []struct{ flag, value string }{{"resource", a.Resource}, {"account", a.Account}} {
				if m.value == "" {
					return usageError{errors.New("--" + m.flag + " is missing")}
				}
			}
			if file != "" {
				secret, err := c.readSecretOf("secret-file", file, vault.MaxKey)
				if err != nil {
					return err
				}
				a.Secret = secret
			}
			return c.vaultAdd(cmd.Context(), args[0], a)
		},
	}
	f := cmd.Flags()
	f.StringVar(&a.Resource, "resource", "", "the resource that the account is on")
	f.StringVar(&a.Account, "account", "", "the account on the target")
	f.StringVar(&file, "secret-file", "", "the file that holds its password, token, private key, or certificate and key (- for stdin); a fresh one is set if not given")
	f.StringVar(&a.RotateEvery, "rotate-every", "", "how old a password grows while nobody borrows it: 12h, 30d; as old as it likes if not given")
	c.completeFlag(cmd, "resource", c.completeResources)
	return cmd
}

// vaultAdd puts an account into the vault, and waits for its first password.
func (c *cli) vaultAdd(ctx context.Context, name string, a api.VaultAdd) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	v, err := conn.AddVaulted(ctx, name, a)
	if err != nil {
		return err
	}
	if a.Secret == "" {
		return c.vaultRotated(ctx, conn, v, v.Number)
	}
	c.say("the " + printable(v.Kind) + " opens " + printable(v.Account) + "; who else knows it can use it until it is rotated: stint admin vault rotate " + printable(v.Name) + " --why …")
	return c.vaultShown(v)
}

func (c *cli) vaultImportCmd() *cobra.Command {
	var a api.VaultAdd
	var field string
	cmd := &cobra.Command{
		Use:   "import NAME FILE --resource RESOURCE [--account ACCOUNT]",
		Short: "Put an account into the vault from another vault's export",
		Long: "Put an account into the vault from what vault kv get -format=json or bao kv get\n" +
			"-format=json wrote (- for stdin). The account is that of the field username, if\n" +
			"--account does not say another. The password is tried on the target. Delete the file\n" +
			"then, and rotate the password: whoever could read it there knows it.",
		Example: "  bao kv get -format=json secret/orders/dba | \\\n      stint admin vault import orders-dba - --resource orders-db",
		Args:    exactly("NAME", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.Resource == "" {
				return usageError{errors.New("--resource is missing")}
			}
			in := c.in
			if args[1] != "-" {
				f, err := os.Open(args[1])
				if err != nil {
					return wrong("unreadable-file", "cannot read "+args[1], cause(err), "")
				}
				defer f.Close()
				in = f
			}
			account, secret, err := vault.ReadKV(in, field)
			if err != nil {
				return err
			}
			if a.Account == "" {
				a.Account = account
			}
			if a.Account == "" {
				return usageError{errors.New("--account is missing, and the export has no field username")}
			}
			a.Secret = api.Secret(secret.Reveal())
			secret.Wipe()
			return c.vaultAdd(cmd.Context(), args[0], a)
		},
	}
	f := cmd.Flags()
	f.StringVar(&a.Resource, "resource", "", "the resource that the account is on")
	f.StringVar(&a.Account, "account", "", "the account on the target; that of the export if not given")
	f.StringVar(&field, "field", "password", "the field of the export that holds the password, token or private key; two of a certificate: certificate,private_key")
	f.StringVar(&a.RotateEvery, "rotate-every", "", "how old a password grows while nobody borrows it: 12h, 30d; as old as it likes if not given")
	c.completeFlag(cmd, "resource", c.completeResources)
	return cmd
}

func (c *cli) vaultListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List what is in the vault, and how it stands",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			return showKind(c, "", 0, conn.ListVault, nil, cmd.Context(), c.vaultTable,
				hints{none: "put an account in with stint admin vault add NAME --resource RESOURCE --account ACCOUNT"})
		},
	}
}

func (c *cli) vaultTable(all []api.VaultEntry) (names []string, t *table) {
	t = newTable("NAME", "RESOURCE", "ACCOUNT", "KIND", "STATE", "SECRET", "SINCE", "ROTATES")
	for _, v := range all {
		names = append(names, v.Name)
		since, rotates, number := "", "", ""
		if !v.RotatedAt.IsZero() {
			since = ago(v.RotatedAt.Time, c.now())
		}
		if v.RotateEvery != "" {
			rotates = "every " + api.Span(v.RotateEvery)
		}
		if v.Number > 0 {
			number = "no. " + strconv.FormatInt(v.Number, 10)
		}
		t.row(v.Name, v.Resource, v.Account, v.Kind, v.State, number, since, rotates)
		if v.Trouble != "" {
			c.say(c.paint.warn("warning") + ": " + printable(v.Name) + ": " + printable(v.Trouble))
		}
	}
	return names, t
}

func (c *cli) vaultShowCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show an account in the vault, and never its password",
		Args:  exactly("NAME"),
		RunE:  c.onVaulted(func(_ context.Context, _ *connection, v api.VaultEntry) error { return c.vaultShown(v) }),
	}
	cmd.ValidArgsFunction = c.completeVault
	return cmd
}

// onVaulted is what a command does with the entry that it names.
func (c *cli) onVaulted(do func(context.Context, *connection, api.VaultEntry) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		conn, err := c.connect()
		if err != nil {
			return err
		}
		v, err := conn.Vaulted(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return do(cmd.Context(), conn, v)
	}
}

func (c *cli) vaultShown(v api.VaultEntry) error {
	number, every, until := "", "", ""
	if v.Number > 0 {
		number = strconv.FormatInt(v.Number, 10)
	}
	for _, s := range v.Secrets {
		if s.Number == v.Number {
			until = timeFact(s.NotAfter, c)
		}
	}
	if v.RotateEvery != "" {
		every = api.Span(v.RotateEvery)
	}
	return c.show(result{value: v, names: []string{v.Name}, text: facts("name", v.Name, "resource", v.Resource, "account", v.Account, "kind", v.Kind, "state", v.State,
		"secret", number, "since", timeFact(v.RotatedAt, c), "ends", until, "rotated every", every, "next", timeFact(v.RotateAt, c), "to be rotated", v.Wanted,
		"drifted", timeFact(v.DriftAt, c), "trouble", v.Trouble, "in the vault", timeFact(v.CreatedAt, c))})
}

func (c *cli) vaultHistoryCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history NAME",
		Short: "Show who used an account, and when and why its password was replaced",
		Long: "Show when and why an account's password was replaced, and that the one before opens\n" +
			"nothing any more; then who used the account: who was shown its password, and whose\n" +
			"session a gateway signed in with it, when and from where, the newest first. That is\n" +
			"what the audit log says of all resources that have the account's address now; more of\n" +
			"it tells stint audit search --resource RESOURCE.",
		Args: exactly("NAME"),
		RunE: c.onVaulted(func(ctx context.Context, conn *connection, v api.VaultEntry) error {
			uses, err := c.vaultUses(ctx, conn, v)
			if err != nil {
				return err
			}
			t := newTable("SECRET", "STATE", "MADE", "OPENS SINCE", "DEAD SINCE", "WHY")
			var names []string
			at := func(t api.Time) string {
				if t.IsZero() {
					return ""
				}
				return ago(t.Time, c.now())
			}
			for _, s := range v.Secrets {
				names = append(names, strconv.FormatInt(s.Number, 10))
				t.row(names[len(names)-1], s.State, at(s.MadeAt), at(s.UsedAt), at(s.DeadAt), s.Why)
			}
			// All is one answer to a program, and two tables to people.
			view := vaultHistory{Secrets: v.Secrets, Uses: uses}
			if c.output != asTable {
				return c.show(result{value: view, names: names})
			}
			if err := c.show(result{table: t}); err != nil || len(uses) == 0 {
				return err
			}
			t = newTable("USED", "BY", "HOW", "FROM", "REQUEST")
			for _, u := range uses {
				how := "saw the secret"
				if u.Gateway != "" {
					how = "a session through " + u.Gateway
				}
				t.row(ago(u.At.Time, c.now()), u.Principal, how, u.From, u.Request)
			}
			if err := c.write([]byte("\n")); err != nil {
				return err
			}
			if len(uses) == mostUses {
				c.hint("for those before: stint audit search --newest --resource " + printable(v.Resource) + " --type credential.shown")
			}
			return c.show(result{table: t})
		}),
	}
	cmd.ValidArgsFunction = c.completeVault
	return cmd
}

// vaultHistory is what became of an account's secret, and who used it.
type vaultHistory struct {
	Secrets []api.VaultVersion `json:"secrets"`
	Uses    []vaultUse         `json:"uses"` // the newest first
}

// vaultUse is one time that the secret of an account was given out.
type vaultUse struct {
	At        api.Time `json:"at"`
	Principal string   `json:"principal"`
	Person    string   `json:"person"`
	From      string   `json:"from"`              // an address
	Gateway   string   `json:"gateway,omitempty"` // that got it, for a session; else the principal saw it
	Session   string   `json:"session,omitempty"`
	Request   string   `json:"request"`
}

// mostUses is how many uses are shown.
const mostUses = 50

// vaultUses reads off the log who used an account since it is in the vault.
func (c *cli) vaultUses(ctx context.Context, conn *connection, v api.VaultEntry) ([]vaultUse, error) {
	uses := []vaultUse{}
	names := v.Resources // each of the address, under which it may have been asked for
	if !slices.Contains(names, v.Resource) {
		names = append(names, v.Resource)
	}
	for _, name := range names {
		for _, kind := range []string{"credential.shown", "session.login"} {
			q := url.Values{"settled": {"true"}, "newest": {"true"}, "limit": {"1000"}, "type": {kind}, "resource": {name}, "since": {v.CreatedAt.String()}}
			found, enough := 0, errors.New("enough")
			err := c.records(ctx, conn, q, 0, func(r api.AuditRecord) error {
				u, is, err := readUse(r, v.Account)
				if err != nil || !is {
					return err
				}
				uses = append(uses, u)
				if found++; found == mostUses {
					return enough
				}
				return nil
			})
			if err != nil && !errors.Is(err, enough) {
				return nil, err
			}
		}
	}
	slices.SortStableFunc(uses, func(a, b vaultUse) int { return b.At.Compare(a.At.Time) })
	return uses[:min(len(uses), mostUses)], nil
}

// readUse reads a record of an account's secret given out; is reports whether it is of that account.
func readUse(r api.AuditRecord, account string) (u vaultUse, is bool, err error) {
	var x recordView
	if err := json.Unmarshal(r.Record, &x); err != nil {
		return u, false, fmt.Errorf("read record %d: %w", r.Seq, err)
	}
	f := x.Facts
	u = vaultUse{At: api.At(x.At), Principal: f["principal"], Person: f["person"], From: x.Actor.Address, Request: f["request"]}
	if x.Type == "session.login" { // which the gateway asks for, and the person is behind
		u.From, u.Gateway, u.Session = f["source"], f["gateway"], x.Entity
	}
	return u, slices.Contains(strings.Split(f["account"], ","), account), nil // of each target of a grant, its account
}

func (c *cli) vaultRotateCmd() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "rotate NAME --why TEXT",
		Short: "Give a vaulted account another password now",
		Long: "Give a vaulted account another password now, and end its sessions: on suspicion that\n" +
			"somebody knows it. While it is lent, who holds it gets the new one with stint\n" +
			"credentials. It waits until the new one opens the account and the old one does not.",
		Example: "  stint admin vault rotate orders-dba --why \"it was in a screenshot, ticket 4711\"",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if why == "" {
				return usageError{errors.New("--why is missing")}
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			v, err := conn.RotateVaulted(cmd.Context(), args[0], api.VaultRotate{Why: why})
			if err != nil {
				return err
			}
			return c.vaultRotated(cmd.Context(), conn, v, v.Number)
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the audit log")
	cmd.ValidArgsFunction = c.completeVault
	return cmd
}

const (
	vaultWait  = 60 * time.Second
	vaultPause = 250 * time.Millisecond
)

// vaultRotated waits for a rotation that was asked for, and shows what became of it.
func (c *cli) vaultRotated(ctx context.Context, conn *connection, v api.VaultEntry, before int64) error {
	within, cancel := context.WithTimeout(ctx, vaultWait)
	defer cancel()
	var err error
	for v.Number == before || v.Wanted != "" {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-within.Done():
			return &api.Error{Kind: api.Pending, Code: "not-rotated", Message: "the " + v.Kind + " of " + v.Account + " is not replaced yet",
				Why: v.Trouble, Next: "it goes on by itself; look with stint admin vault show " + v.Name + ", and stint audit search --type removal.trouble"}
		case <-time.After(vaultPause):
		}
		if v, err = conn.Vaulted(ctx, v.Name); err != nil {
			return err
		}
	}
	c.say("the " + printable(v.Kind) + " of " + printable(v.Account) + " is a new one, which nobody has seen")
	return c.vaultShown(v)
}

func (c *cli) vaultRemoveCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rm NAME",
		Short: "Take an account out of the vault",
		Long: "Take an account out of the vault. It is refused while it is lent. The account stays on\n" +
			"the target with the password that it has. One that was imported is known to whoever\n" +
			"knew it before: rotate it first, or have an administrator there set another. One that\n" +
			"Stint set nobody knows: an administrator there sets another.",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			v, err := conn.RemoveVaulted(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			c.say("removed " + printable(v.Name))
			if setByStint(v) {
				c.say("nobody knows the " + printable(v.Kind) + " of " + printable(v.Account) + " now; an administrator of the target sets another")
			} else {
				c.say(c.paint.warn("warning") + ": the " + printable(v.Kind) + " of " + printable(v.Account) + " is not one that Stint set; whoever knows it can use it until an administrator of the target sets another")
			}
			names, t := c.vaultTable([]api.VaultEntry{v})
			return c.show(result{value: v, names: names, table: t})
		},
	}
	cmd.ValidArgsFunction = c.completeVault
	return cmd
}

// setByStint reports whether the last secret of an entry is known to be Stint's own: not
// imported, seen to open, and not changed by hand since.
func setByStint(v api.VaultEntry) bool {
	if len(v.Secrets) == 0 || !v.DriftAt.IsZero() {
		return false
	}
	last := v.Secrets[len(v.Secrets)-1]
	return last.Why != vault.Imported && !last.UsedAt.IsZero()
}

func (c *cli) completeVault(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.fromServer(cmd.Context(), prefix, func(ctx context.Context, conn *connection) ([]string, error) {
		page, err := conn.ListVault(ctx, api.List{})
		return each(page.Items, func(v api.VaultEntry) string { return v.Name }), err
	})
}

func (c *cli) checkoutCmd() *cobra.Command {
	var ask asking
	var file string
	cmd := &cobra.Command{
		Use:   "checkout RESOURCE [--as ROLE --for DURATION --why TEXT] [--file PATH]",
		Short: "Borrow a privileged account, and show its password",
		Long: "Borrow a privileged account, and show its password, token, key or certificate once: an\n" +
			"active grant of yours is used; else access is asked for with --as, --for and --why, and waited for.\n" +
			"When it is given back with stint end, or its time is up, that opens nothing any more.\n" +
			"With --file it is put into a file of your own instead, where none is yet: ssh -i takes\n" +
			"a key from there. To connect without seeing it, use stint db or stint run.",
		Example: "  stint checkout orders-db --as borrow-dba --for 30m --why \"stuck vacuum, INC-2041\"\n" +
			"  stint checkout web1-root --as borrow-root --for 30m --why \"INC-2041\" --file key",
		Args: exactly("RESOURCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if file != "" {
				if _, err := os.Lstat(file); err == nil { // before anybody is asked
					return taken(file)
				}
			}
			conn, err := c.connect()
			if err != nil {
				return err
			}
			r, err := c.obtain(cmd.Context(), conn, args[0], &ask)
			if err != nil {
				return err
			}
			if file == "" {
				err = c.showCredential(cmd.Context(), conn, r.ID)
			} else {
				err = c.fileCredential(cmd.Context(), conn, r.ID, file)
			}
			if err != nil {
				return err
			}
			c.hint("give it back with stint end " + printable(r.ID) + "; it is worthless then")
			return nil
		},
	}
	ask.flags(cmd, c)
	cmd.Flags().StringVar(&file, "file", "", "put the password, token, key, or certificate and key into this file, for its owner alone, and do not show it")
	cmd.ValidArgsFunction = c.completeResources
	return cmd
}

func taken(file string) error {
	return wrong("file-exists", "--file: there is something already at "+file, "it is not replaced", "name another file, or delete that one")
}

// fileCredential puts what opens an account into a file that was not there.
func (c *cli) fileCredential(ctx context.Context, conn *connection, id, file string) error {
	got, err := conn.Credential(ctx, id)
	if err != nil {
		return err
	}
	secret := ""
	for _, s := range []string{got.Password.Reveal(), got.Token.Reveal(), pemOf(got)} {
		if s != "" {
			secret = strings.TrimSuffix(s, "\n") + "\n"
		}
	}
	if secret == "" {
		return &api.Error{Kind: api.NotFound, Code: "no-secret", Message: "the credential has no password, token, key or certificate", Next: "show it: stint credentials " + id}
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return taken(file)
	}
	if err == nil {
		_, err = f.WriteString(secret)
		if end := f.Close(); err == nil {
			err = end
		}
		if err != nil {
			_ = os.Remove(file)
		}
	}
	if err != nil {
		return wrong("unwritable-file", "--file: cannot write "+file, cause(err), "name a file in a folder of your own")
	}
	c.say("what opens " + printable(got.Username) + " is in " + printable(file) + "; delete it when you give it back")
	return nil
}
