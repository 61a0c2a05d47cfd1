package hosts

import (
	"context"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
)

// Command is a command that a host says it ran under an order.
type Command struct {
	ID             string
	Entitlement    access.EntitlementID
	Tag            access.Tag
	Account, RunAs string
	Line           string // the program and its arguments
	Terminal       bool
	BeganAt        time.Time // by the host's clock
	EndedAt        time.Time // zero while it runs
	Status         int
	Signal, Cut    string
	In, Out        int64
	Frames         int64  // of its recording
	Root           string // that recording's last link
}

const commandPrefix = "cmd_"

// validCommand reports whether the id is one that a host could have made by chance.
func validCommand(id string) bool {
	text, ok := strings.CutPrefix(id, commandPrefix)
	raw, err := hex.DecodeString(text)
	return ok && err == nil && len(raw) == 16 && hex.EncodeToString(raw) == text
}

// Ran puts into the log that a host ran a command, and how it ended: each once, however
// often it is told. What is not of an order for that host is refused for good.
func (r *Register) Ran(ctx context.Context, h access.Host, c Command) error {
	if !validCommand(c.ID) || !c.EndedAt.IsZero() && c.Root != "" && len(c.Root) != 64 {
		return access.Fail(access.Invalid, "bad-command", "the report is not in the form of one")
	}
	began, ended := map[string]string(nil), map[string]string(nil)
	look := func(tx Tx) error {
		e, err := tx.Entitlement(c.Entitlement)
		if err != nil && access.KindOf(err) != access.NotFound {
			return err
		}
		// Which of these is wrong is nobody's business who guesses.
		if err != nil || e.Target.Connection.Address != h.Name || e.Mechanism != access.Elevate || e.Tag != c.Tag || e.Tag == "" {
			return access.Fail(access.Invalid, "no-such-order", "there is no order for this host by which that command could have run")
		}
		holds, err := tx.HoldsOf(e.ID)
		if err != nil {
			return err
		}
		var grants []string
		for _, x := range holds {
			grants = append(grants, string(x.Grant))
		}
		began = map[string]string{"host": h.Name, "resource": string(e.Target.Resource), "entitlement": string(e.ID), "grant": strings.Join(grants, ","), "person": string(e.Person),
			"account": clean(c.Account), "run_as": clean(c.RunAs), "command": clean(c.Line), "began_at": c.BeganAt.UTC().Format(access.Stamp)}
		if c.Terminal {
			began["terminal"] = "true"
		}
		ended = map[string]string{"ended_at": c.EndedAt.UTC().Format(access.Stamp), "status": strconv.Itoa(c.Status), "signal": clean(c.Signal), "cut": clean(c.Cut),
			"bytes_in": strconv.FormatInt(c.In, 10), "bytes_out": strconv.FormatInt(c.Out, 10), "frames": strconv.FormatInt(c.Frames, 10), "root": clean(c.Root)}
		for name, value := range began {
			ended[name] = value
		}
		for _, facts := range []map[string]string{began, ended} {
			for name, value := range facts {
				if value == "" {
					delete(facts, name)
				}
			}
		}
		return nil
	}
	tell := func(t access.EventType, version int64, facts func() map[string]string) error {
		err := r.store.Update(ctx, func(tx Tx) error {
			if err := look(tx); err != nil {
				return err
			}
			by := access.System
			by.Device = h.Agent
			return tx.Append(access.Event{Type: t, At: tx.Now(), Entity: c.ID, Version: version, Actor: by, Facts: facts()})
		})
		if errors.Is(err, access.Conflict) {
			return nil // it was told before
		}
		return err
	}
	if err := tell(CommandBegan, 1, func() map[string]string { return began }); err != nil || c.EndedAt.IsZero() {
		return err
	}
	return tell(CommandEnded, 2, func() map[string]string { return ended })
}

// clean keeps a host's words from keeping a record out of the log.
func clean(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
