package main

import (
	"context"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

// webType is the type of resources that are reached by browsers and HTTP clients.
const webType = "http"

// tcpType is the type of those that are reached by whatever speaks TCP.
const tcpType = "tcp"

func (c *cli) webCmd() *cobra.Command {
	var ask asking
	var noBrowser bool
	cmd := &cobra.Command{
		Use:   "web RESOURCE [--as ROLE --for DURATION --why TEXT]",
		Short: "Open a web application through a gateway, asking for access when needed",
		Long: "Open a web application in a browser, through the gateway that logs in to it in your\n" +
			"place and records each request. An active grant of yours is used; else access is asked\n" +
			"for with --as, --for and --why, and waited for. The browser is sent to Stint's sign-in,\n" +
			"and comes back as you.\n\n" +
			"The grant goes on when the page is closed; give it back with stint end. For curl and\n" +
			"other programs see stint proxy.",
		Example: "  stint web wiki\n  stint web grafana --as viewer --for 1h --why \"the alert of 9:40\" --no-browser",
		Args:    exactly("RESOURCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.web(cmd.Context(), args[0], !noBrowser, &ask)
		},
	}
	ask.flags(cmd, c)
	cmd.Flags().BoolVar(&noBrowser, "no-browser", false, "only print the address to open")
	cmd.ValidArgsFunction = c.completeResources
	return cmd
}

// webView is where a web application is. Nothing of it is secret.
type webView struct {
	URL      string   `json:"url"`
	Resource string   `json:"resource"`
	Gateway  string   `json:"gateway"`
	Request  string   `json:"request"`
	Grant    string   `json:"grant"`
	Ends     api.Time `json:"expires_at"`
}

func (c *cli) web(ctx context.Context, resource string, open bool, ask *asking) error {
	if _, err := parseFor("for", ask.span); err != nil { // also where it will not be needed
		return err
	}
	conn, res, err := c.reach(ctx, resource)
	if err != nil {
		return err
	}
	if res.Type != webType {
		return &api.Error{Kind: api.Invalid, Code: "no-web", Message: res.Name + " is no web application", Why: "it is of type " + res.Type, Next: instead(res)}
	}
	r, err := c.obtain(ctx, conn, resource, ask)
	if err != nil {
		return err
	}
	got, err := conn.Web(ctx, r.ID)
	if err != nil {
		return err
	}
	v := webView{Resource: resource, Gateway: got.Gateway, Request: r.ID, Grant: got.Grant, Ends: got.ExpiresAt}
	for _, a := range got.Addresses {
		if a.Resource == resource {
			v.URL = a.URL
		}
	}
	if v.URL == "" {
		return &api.Error{Kind: api.Internal, Code: "bad-answer", Message: "what the server says of the gateway cannot be used"}
	}
	if open && c.openPage(ctx, v.URL) {
		c.say("opening " + printable(v.URL))
	}
	if err := c.show(result{value: v, names: []string{v.URL}, text: facts("url", v.URL, "gateway", v.Gateway, "ends", timeFact(v.Ends, c))}); err != nil {
		return err
	}
	c.hint("access goes on until " + clock(v.Ends.Time, c.now()) + "; give it back with stint end " + printable(r.ID))
	return nil
}
