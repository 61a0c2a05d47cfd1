package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/passkey"
	"stint/internal/signpage"
)

func (c *cli) passkeyCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "passkey", Short: "Your passkeys, and vouching for those of others"}
	cmd.AddCommand(c.passkeyAddCmd(), c.passkeyListCmd(), c.passkeyVouchCmd(), c.passkeyDeleteCmd(), c.passkeyRecoveryCmd())
	return cmd
}

func (c *cli) passkeyAddCmd() *cobra.Command {
	var name, recovery string
	var noBrowser bool
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Make a passkey for stint approve",
		Long: "Make a passkey that this program asks to sign, with a page that it serves on this\n" +
			"machine. Where you have one already, that one signs for the new one, and it is active\n" +
			"at once. Your first one waits until two administrators vouch for it with theirs (or one,\n" +
			"where there is no second one with a passkey): tell them its digest over another way.\n\n" +
			"The first passkey of all is an administrator's, and nobody vouches for it. All others\n" +
			"lead back to it, so keep its digest where those who verify the log can find it.",
		Example: "  stint passkey add --name laptop",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name == "" {
				name, _ = os.Hostname()
				if name, _, _ = strings.Cut(name, "."); name == "" {
					return usageError{errors.New("--name is missing: the device that it is on")}
				}
			}
			var code api.Secret
			if recovery != "" {
				var err error
				if code, err = c.readSecret("recovery-code-file", recovery); err != nil {
					return err
				}
			}
			return c.addPasskey(cmd.Context(), name, code, !noBrowser)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "your own word for it; the name of this machine if not given")
	cmd.Flags().StringVar(&recovery, "recovery-code-file", "", "for the last administrator, with no passkey left: a recovery code (- for stdin)")
	c.browserFlag(cmd, &noBrowser)
	return cmd
}

func (c *cli) addPasskey(ctx context.Context, name string, recovery api.Secret, open bool) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	me, own, err := c.signer(ctx, conn)
	if err != nil {
		return err
	}
	add := api.PasskeyAdd{Name: name, Client: true, Nonce: make([]byte, 32), RecoveryCode: recovery}
	rand.Read(add.Nonce) // never fails
	who, person := access.PrincipalID(me.Principal), access.Person(me.Person)
	challenge := access.RegisterDigest(who, person, add.Nonce)
	id := sha256.Sum256([]byte(conn.name + "\n" + me.Principal))
	first := signpage.Step{Create: &signpage.Create{Challenge: challenge[:], User: me.Person + " at " + conn.name, UserID: id[:], Algorithms: passkey.Algorithms,
		Exclude: own.credentials()}}
	p := signpage.Page{Title: "Make a passkey", Button: "Make the passkey", Facts: compact([]signpage.Fact{{Name: "for", Value: me.Principal}, {Name: "at", Value: conn.name}, {Name: "name", Value: name}}),
		Text: "This page is by the stint command on this machine. The passkey will be used here, to approve requests."}
	made := access.Passkey{Principal: who, Person: person, Name: name, RPID: access.ClientRPID, Origin: access.ClientOrigin}
	var voucher access.Digest
	err = c.sign(ctx, p, open, first, func(_ context.Context, r signpage.Result) (signpage.Step, error) {
		if made.Key != nil {
			var err error
			add.Own, err = own.assertion(r, voucher)
			return signpage.Step{}, err
		}
		got, err := passkey.Register(passkey.Registration{ClientData: r.ClientData, Attestation: r.Attestation},
			passkey.Expect{Challenge: challenge[:], RPID: made.RPID, Origin: made.Origin})
		if err != nil {
			return signpage.Step{}, err
		}
		made.Credential, made.Key, add.ClientData, add.Attestation = got.ID, got.Key, r.ClientData, r.Attestation
		if len(own) == 0 {
			return signpage.Step{}, nil
		}
		voucher = access.VoucherDigest(made.Digest(), who, person)
		step := own.ask(voucher)
		step.Said, step.Button = "It is made. Now an older passkey of yours signs for it.", "Sign with an older passkey"
		return step, nil
	})
	if err != nil {
		return err
	}
	done, err := conn.AddPasskey(ctx, add)
	if err != nil {
		return err
	}
	if done.Digest != made.Digest().String() {
		return &api.Error{Kind: api.Internal, Code: "other-passkey-enrolled", Message: "the server has enrolled another passkey than the one that was made",
			Why: "its digest is " + done.Digest + ", and that of yours is " + made.Digest().String(), Next: "tell the administrators over another way"}
	}
	if done.Anchor == string(access.AnchorGenesis) || done.Anchor == string(access.AnchorRecovery) {
		if err := c.pinRoot(conn.name, done.Digest); err != nil {
			return err
		}
	}
	c.say(meaningOf(done))
	return c.showPasskey(done)
}

// pinRoot pins the digest of a passkey that was made here and that nobody vouches for.
func (c *cli) pinRoot(server, digest string) error {
	all := pins{}
	if err := c.load(pinsFile, &all); err != nil {
		return err
	}
	have := all[server]
	have.Roots = append(have.Roots, digest)
	all[server] = have
	return c.store(pinsFile, all)
}

// meaningOf says what the state of a passkey means for its person.
func meaningOf(p api.Passkey) string {
	switch {
	case p.State == string(access.PasskeyProposed):
		return "it waits for administrators: give them its digest over another way, and this to do: stint passkey vouch " + p.ID
	case p.Anchor == string(access.AnchorGenesis):
		return "it is the first passkey of all, and all others lead back to it: publish its digest to those who verify the log (stint audit verify --genesis)"
	case p.Anchor == string(access.AnchorRecovery):
		return "NOBODY vouched for it: stint audit verify fails until whoever verifies has asked you for its digest and named it with --genesis"
	case p.Anchor == string(access.AnchorOneAdmin):
		return "it is active on the word of ONE administrator, for there is no second one with a passkey; stint audit verify says so"
	}
	return "it is " + p.State
}

func (c *cli) showPasskey(p api.Passkey) error {
	return c.show(result{value: p, names: []string{p.ID}, text: facts("passkey", p.ID, "of", p.Principal, "name", p.Name, "state", p.State,
		"believed by", believed(p), "digest", p.Digest, "good until", timeFact(p.ExpiresAt, c))})
}

// believed says by whose word a passkey is its person's.
func believed(p api.Passkey) string {
	var by []string
	for _, v := range p.Vouchers {
		by = append(by, v.Principal)
	}
	switch p.Anchor {
	case string(access.AnchorGenesis):
		return "the first of all"
	case string(access.AnchorRecovery):
		return "a recovery code alone"
	}
	return strings.Join(by, ", ")
}

func (c *cli) passkeyListCmd() *cobra.Command {
	var user string
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List your passkeys, or those of others",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			list := []api.Passkey{}
			t := newTable("!PASSKEY", "WHO", "NAME", "STATE", "FOR", "BELIEVED BY", "SINCE")
			for p, err := range api.Each(func(cursor string) (api.Page[api.Passkey], error) {
				return conn.Passkeys(cmd.Context(), user, all, api.List{Cursor: cursor})
			}) {
				if err != nil {
					return err
				}
				list = append(list, p)
				site := p.RPID
				if p.Client {
					site = "stint approve"
				}
				t.row(p.ID, p.Principal, p.Name, p.State, site, dash(believed(p)), ago(p.CreatedAt.Time, c.now()))
			}
			var names []string
			for _, p := range list {
				names = append(names, p.ID)
			}
			if err := c.show(result{value: list, names: names, table: t}); err != nil {
				return err
			}
			c.listed(len(list), hints{none: "make one with stint passkey add", some: "end one with stint passkey delete ID"})
			return nil
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "those of this user; for administrators and auditors")
	cmd.Flags().BoolVar(&all, "all", false, "everybody's; for administrators and auditors")
	cmd.MarkFlagsMutuallyExclusive("user", "all")
	return cmd
}

func (c *cli) passkeyVouchCmd() *cobra.Command {
	var digest string
	var noBrowser bool
	cmd := &cobra.Command{
		Use:   "vouch ID --digest DIGEST",
		Short: "Vouch that a passkey is its person's",
		Long: "Vouch, as an administrator, that a passkey is its person's. Ask the person for its\n" +
			"digest, over a way on which you know them: at a desk, on the telephone. With --digest\n" +
			"this program checks that it is the same; then your own passkey signs for it.\n\n" +
			"For a new one of your own, such as one for the server's pages, an older one of yours\n" +
			"signs, and no administrator is needed. The page where you made it shows its digest.",
		Example: "  stint passkey vouch pky_6f1ed002ab5595859014ebf0951522d9 --digest sha256:6f1e…",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if digest == "" {
				return usageError{errors.New("--digest is missing: the one that the person has told you")}
			}
			return c.vouchPasskey(cmd.Context(), args[0], digest, !noBrowser)
		},
	}
	cmd.Flags().StringVar(&digest, "digest", "", "the digest that the person has told you")
	c.browserFlag(cmd, &noBrowser)
	return cmd
}

func (c *cli) vouchPasskey(ctx context.Context, id, digest string, open bool) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	p, err := conn.Passkey(ctx, id)
	if err != nil {
		return err
	}
	theirs := passkeyOf(p)
	if d := theirs.Digest().String(); d != digest {
		return &api.Error{Kind: api.Denied, Code: "digest-differs", Message: "this is not the passkey that the person has told you of",
			Why: "its digest is " + d, Next: "ask them again; if it stays so, somebody else has made this one: stint passkey delete " + p.ID}
	}
	me, keys, err := c.signer(ctx, conn)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return &api.Error{Kind: api.PasskeyNeeded, Code: "no-passkey", Message: "to vouch for a passkey takes one of your own", Next: "make one with stint passkey add"}
	}
	page := signpage.Page{Title: "Vouch for this passkey?", Button: "Vouch with your passkey",
		Text: "This page is by the stint command on this machine. With your signature this passkey speaks for the person named here.",
		Facts: compact([]signpage.Fact{{Name: "whose", Value: p.Principal + " (" + p.Person + ")"}, {Name: "name", Value: p.Name}, {Name: "used for", Value: p.Origin},
			{Name: "digest", Value: digest}, {Name: "you are", Value: me.Principal}})}
	challenge := access.VoucherDigest(theirs.Digest(), access.PrincipalID(me.Principal), access.Person(me.Person))
	a, err := c.signOne(ctx, page, open, keys, challenge)
	if err != nil {
		return err
	}
	done, err := conn.VouchPasskey(ctx, p.ID, *a)
	if err != nil {
		return err
	}
	if done.State == string(access.PasskeyProposed) {
		c.say("it takes one more administrator")
	} else {
		c.say(meaningOf(done))
	}
	return c.showPasskey(done)
}

func (c *cli) passkeyDeleteCmd() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "delete ID",
		Short: "End a passkey: one that was lost, or is not used any more",
		Long: "End a passkey: your own, or as an administrator anybody's. It signs nothing from then\n" +
			"on, and votes of it that were not acted on yet count no more.",
		Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			done, err := conn.RemovePasskey(cmd.Context(), args[0], why)
			if err != nil {
				return err
			}
			return c.showPasskey(done)
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "why; for the log")
	return cmd
}

func (c *cli) passkeyRecoveryCmd() *cobra.Command {
	var noBrowser bool
	cmd := &cobra.Command{
		Use:   "recovery",
		Short: "Make recovery codes, each good for one sign-in without any device",
		Long: "Make recovery codes. Each is good once, for stint login --enroll-token-file on a new\n" +
			"device, when all others are lost. They are shown this once; those from before are\n" +
			"worthless from then on. If you have a passkey, it signs for them. They bring no passkey\n" +
			"back: a new one is vouched for as anybody's first, and until then such a login is good\n" +
			"for making it and for nothing else.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			conn, err := c.connect()
			if err != nil {
				return err
			}
			me, keys, err := c.signer(ctx, conn)
			if err != nil {
				return err
			}
			ask := api.RecoveryAsk{Nonce: make([]byte, 32)}
			rand.Read(ask.Nonce) // never fails
			if len(keys) > 0 {
				page := signpage.Page{Title: "Make recovery codes?", Button: "Make them",
					Text:  "This page is by the stint command on this machine. Each code will be a way to sign in as you, once.",
					Facts: compact([]signpage.Fact{{Name: "for", Value: me.Principal}, {Name: "at", Value: conn.name}})}
				challenge := access.ActDigest(access.ActRecoveryCodes, access.PrincipalID(me.Principal), access.Person(me.Person), ask.Nonce)
				if ask.Assertion, err = c.signOne(ctx, page, !noBrowser, keys, challenge); err != nil {
					return err
				}
			}
			done, err := conn.RecoveryCodes(ctx, ask)
			if err != nil {
				return err
			}
			var codes []string
			for _, code := range done.Codes {
				codes = append(codes, code.Reveal())
			}
			c.say("keep them on paper, away from your devices: each is a way in as you, once")
			return c.show(result{value: done, names: codes, text: strings.Join(codes, "\n") + "\n"})
		},
	}
	c.browserFlag(cmd, &noBrowser)
	return cmd
}
