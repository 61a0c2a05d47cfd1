package main

import (
	"context"

	"github.com/spf13/cobra"

	"stint/internal/api"
)

// hints are what can usefully be done after a list, as commands: where there is something
// on it, and where there is nothing.
type hints struct{ none, some string }

// listed ends a list of n rows for whoever reads it. That there is nothing is said
// everywhere, what to do next on terminals only.
func (c *cli) listed(n int, to hints) {
	switch {
	case n == 0:
		c.say("there are none")
		if to.none != "" {
			c.hint(to.none)
		}
	case to.some != "" && c.output == asTable:
		c.hint(to.some)
	}
}

// showList reads a whole list, or so much of it as limit says, and shows it.
func showList[T any](c *cli, ctx context.Context, limit int, list func(context.Context, *connection, api.List) (api.Page[T], error),
	rows func([]T) ([]string, *table), to hints) error {
	if err := notNegative("limit", int64(limit)); err != nil {
		return err
	}
	conn, err := c.connect()
	if err != nil {
		return err
	}
	return showPages(c, limit, func(l api.List) (api.Page[T], error) { return list(ctx, conn, l) }, rows, to)
}

// showPages goes through the pages of a list and shows what they hold.
func showPages[T any](c *cli, limit int, page func(api.List) (api.Page[T], error), rows func([]T) ([]string, *table), to hints) error {
	all := []T{} // an empty list is [] in JSON
	for item, err := range api.Each(func(cursor string) (api.Page[T], error) { return page(api.List{Cursor: cursor}) }) {
		if err != nil {
			return err
		}
		if all = append(all, item); len(all) == limit {
			break
		}
	}
	names, t := rows(all)
	if err := c.show(result{value: all, names: names, table: t}); err != nil {
		return err
	}
	c.listed(len(all), to)
	return nil
}

// limitFlag bounds a list.
func limitFlag(cmd *cobra.Command, limit *int) {
	cmd.Flags().IntVar(limit, "limit", 0, "show no more than so many; 0 for all")
}
