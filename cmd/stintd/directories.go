package main

import (
	"context"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/directory"
	"stint/internal/egress"
	"stint/internal/policy"
	"stint/internal/provision"
	"stint/internal/store"
)

// newDirectories makes what reads directories; it is started with everything else.
func (p *process) newDirectories() *provision.Directories {
	out := egress.New(p.settings.egress)
	return &provision.Directories{
		Store: forProvisioning(p.store), Ender: p.broker, Door: directory.Door{Dial: out.DialContext, TLS: out.TLS}, Turns: directoryTurns{p.store},
		Documents: func(ctx context.Context) (found []policy.Integration, err error) {
			set, err := p.broker.Documents(ctx)
			if err != nil {
				return nil, err
			}
			for _, i := range set.Integrations() {
				if i.Type == directory.Type {
					found = append(found, i)
				}
			}
			return found, nil
		},
		Login: func(ctx context.Context, i policy.Integration) (directory.Login, error) {
			l, err := p.broker.OpenLogin(ctx, i, i.Credential)
			return directory.Login{DN: l.Username, Secret: l.Secret}, err
		},
		Owner: replica(), Now: time.Now, Log: p.log.With("part", "directories"),
	}
}

// fresh refuses something new to whom a directory knows that was not read for too long.
func (p *process) fresh(tx broker.Tx, set *policy.Set, who access.Principal) error {
	return p.people.Fresh(set.Integrations(), who, tx.Now(), func(name string) ([]byte, error) { return tx.ChannelState(directoryChannel + name) })
}

// directoryTurns keeps turns and states where those of channels are: both are readers
// of which one replica is one at a time.
type directoryTurns struct{ store *store.Store }

const directoryChannel = "directory:" // no name of a channel of messages has a colon

func (t directoryTurns) Turn(ctx context.Context, name, owner string, lasts time.Duration) ([]byte, bool, error) {
	c, err := t.store.TakeTurn(ctx, directoryChannel+name, owner, lasts)
	if access.KindOf(err) == access.NotFound {
		if err = t.store.BeginChannel(ctx, store.Channel{Name: directoryChannel + name, Body: []byte("{}")}); err == nil {
			c, err = t.store.TakeTurn(ctx, directoryChannel+name, owner, lasts)
		}
	}
	if access.KindOf(err) == access.Conflict {
		return c.Body, false, nil
	}
	return c.Body, err == nil, err
}

func (t directoryTurns) Save(ctx context.Context, name, owner string, state []byte) error {
	return t.store.SaveChannel(ctx, owner, store.Channel{Name: directoryChannel + name, Body: state}, nil)
}

func (t directoryTurns) States(ctx context.Context) (map[string][]byte, error) {
	cs, err := t.store.Channels(ctx)
	all := map[string][]byte{}
	for _, c := range cs {
		if name, ok := strings.CutPrefix(c.Name, directoryChannel); ok {
			all[name] = c.Body
		}
	}
	return all, err
}
