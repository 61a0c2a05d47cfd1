package main

import (
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

func (c *cli) serviceListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Services: how they get in, when last, until when",
		Long: "Services: by which documents programs are them, which static tokens they have, and\n" +
			"when they were last used. What is worth looking at is in the last column: a token that\n" +
			"is static, one that nobody uses, what is about to end.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := c.connect()
			if err != nil {
				return err
			}
			return showKind(c, "", 0, conn.ListServices, nil, cmd.Context(), c.serviceTable, hints{
				none: "make one with stint admin service add NAME --owner USER --for DURATION", some: "renew a token with stint admin service add NAME"})
		},
	}
}

func (c *cli) serviceTable(all []api.Service) (names []string, t *table) {
	t = newTable("NAME", "OWNER", "BY", "AGE", "LAST USED", "UNTIL", "LOOK AT")
	for _, s := range all {
		names = append(names, s.Name)
		by := strings.Join(s.Workloads, ", ")
		if n := len(s.Tokens); n > 0 {
			by = strings.TrimPrefix(by+", "+plural(n, "static token", "static tokens"), ", ")
		}
		used := "never"
		if !s.LastUsed.IsZero() {
			used = ago(s.LastUsed.Time, c.now())
		}
		until := clock(s.Until.Time, c.now())
		if s.Disabled {
			until = "disabled"
		}
		t.row(s.Name, s.Owner, by, ago(s.CreatedAt.Time, c.now()), used, until, strings.Join(s.Remarks, "; "))
	}
	return names, t
}

func (c *cli) workloadTable(all []api.Workload) (names []string, t *table) {
	t = newTable("NAME", "SERVICE", "WHO VOUCHES", "WHEN", "SOURCE")
	for _, w := range all {
		names = append(names, w.Name)
		by, when := w.Integration, map[string]string{}
		for claim, texts := range w.Claims {
			when[claim] = strings.Join(texts, "|")
		}
		for claim, patterns := range w.Like {
			when[claim+"~"] = strings.Join(patterns, "|")
		}
		for name, text := range map[string]string{"uri": w.URI, "dns": w.DNS} {
			if text != "" {
				by, when[name] = "client CA", text
			}
		}
		t.row(w.Name, w.Service, by, pairs(when), w.Source)
	}
	return names, t
}
