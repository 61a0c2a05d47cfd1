package main

import (
	"context"
	"net/http"
	"strings"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/policy"
	"stint/internal/ticket"
	"stint/internal/ticketwatch"
)

// tickets reads tickets for the broker, by the client that may call outside.
type tickets struct{ http *http.Client }

func (t tickets) Look(ctx context.Context, in policy.Integration, l broker.Login, id string) (access.Ticket, error) {
	return ticket.Look(ctx, t.http, ticket.Site{Name: in.Name, Type: in.Type, Address: strings.TrimRight(in.Address, "/"), Options: in.Options,
		Username: l.Username, Secret: l.Secret}, id)
}

// watchTickets reads the tickets again that live grants rest on.
func (p *process) watchTickets(ctx context.Context) {
	ticketwatch.Watch{Desk: p.broker, Log: p.log.With("part", "tickets")}.Run(ctx)
}
