package store

import (
	"context"
	"time"

	"stint/internal/access"
)

// Channel is a reader of the log that sends messages.
type Channel struct {
	Name string
	Seq  int64  // of the last record that it has read
	Body []byte // what it remembers of itself, in a form of its own
}

// ChannelMessage is one message of a channel. It is due while Want is more than Have.
type ChannelMessage struct {
	Subject string // what it is about
	Want    int64  // the newest record that concerns it
	Have    int64  // the record that what was sent tells of; -1: nothing was sent
	Body    []byte // what was sent, in a form of the channel's own
}

// Concern says that a record concerns a message.
type Concern struct {
	Subject string
	Seq     int64
	Known   bool // only if there is such a message already
}

// errTurn is that a channel is another replica's to serve.
var errTurn = access.Fail(access.Conflict, "not-our-turn", "another replica sends the messages of this channel")

// TakeTurn makes owner the one that serves a channel, for a time from now, or lets it
// go on. It answers access.Conflict while another has the turn, with the channel as
// that one left it, and access.NotFound where the channel was not begun.
func (s *Store) TakeTurn(ctx context.Context, name, owner string, lasts time.Duration) (c Channel, err error) {
	err = s.Update(ctx, func(tx *Tx) (err error) {
		if c, err = one(tx, "channel", scanChannel, "SELECT name, seq, body FROM channels WHERE name = $1", name); err != nil {
			return err
		}
		n, err := tx.exec("UPDATE channels SET lease_owner = $2, lease_until = $3 WHERE name = $1 AND (lease_owner = $2 OR lease_until <= $4)",
			name, owner, tx.now.Add(lasts).UnixMilli(), tx.now.UnixMilli())
		if err == nil && n == 0 {
			return errTurn
		}
		return err
	})
	return c, err
}

func scanChannel(row row) (c Channel, err error) {
	var body string
	err = row.Scan(&c.Name, &c.Seq, &body)
	c.Body = []byte(body)
	return c, err
}

// EndTurns gives back every turn of an owner.
func (s *Store) EndTurns(ctx context.Context, owner string) error {
	return s.Update(ctx, func(tx *Tx) error {
		_, err := tx.exec("UPDATE channels SET lease_owner = '', lease_until = 0 WHERE lease_owner = $1", owner)
		return err
	})
}

// BeginChannel makes a channel that has read up to a record. One that is there stays.
func (s *Store) BeginChannel(ctx context.Context, c Channel) error {
	return s.Update(ctx, func(tx *Tx) error {
		_, err := tx.exec("INSERT INTO channels (name, seq, lease_owner, lease_until, body) VALUES ($1, $2, '', 0, $3) ON CONFLICT (name) DO NOTHING",
			c.Name, c.Seq, string(c.Body))
		return err
	})
}

// Channels lists all that were ever begun and not pruned.
func (s *Store) Channels(ctx context.Context) (cs []Channel, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		cs, err = list(tx, scanChannel, "SELECT name, seq, body FROM channels ORDER BY name")
		return err
	})
	return cs, err
}

// ChannelState is what a channel remembers of itself; nil where it was not begun.
func (tx *Tx) ChannelState(name string) (body []byte, err error) {
	err = tx.each("SELECT body FROM channels WHERE name = $1", []any{name}, func(row row) error {
		var text string
		err := row.Scan(&text)
		body = []byte(text)
		return err
	})
	return body, err
}

// turn refuses who has not the turn, and holds it until the end of the transaction.
func (tx *Tx) turn(name, owner string) error {
	n, err := tx.exec("UPDATE channels SET lease_owner = $2 WHERE name = $1 AND lease_owner = $2 AND lease_until > $3", name, owner, tx.now.UnixMilli())
	if err == nil && n == 0 {
		return tx.fail(errTurn)
	}
	return err
}

// SaveChannel notes how far a channel has read, and which subjects what it read
// concerns: their messages become due, but those that wait to be tried again keep
// their time. Only who has the turn may.
func (s *Store) SaveChannel(ctx context.Context, owner string, c Channel, concerns []Concern) error {
	return s.Update(ctx, func(tx *Tx) error {
		if err := tx.turn(c.Name, owner); err != nil {
			return err
		}
		if _, err := tx.exec("UPDATE channels SET seq = $2, body = $3 WHERE name = $1", c.Name, c.Seq, string(c.Body)); err != nil {
			return err
		}
		for _, x := range concerns {
			var err error
			if x.Known {
				_, err = tx.exec("UPDATE messages SET want = $3, due_at = COALESCE(due_at, $4), at = $4 WHERE channel = $1 AND subject = $2 AND want < $3",
					c.Name, x.Subject, x.Seq, tx.now.UnixMilli())
			} else {
				_, err = tx.exec(`INSERT INTO messages AS m (channel, subject, want, have, due_at, at, body) VALUES ($1, $2, $3, -1, $4, $4, '')
					ON CONFLICT (channel, subject) DO UPDATE SET want = excluded.want, due_at = COALESCE(m.due_at, excluded.due_at), at = excluded.at
					WHERE m.want < excluded.want`, c.Name, x.Subject, x.Seq, tx.now.UnixMilli())
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// DueMessages lists what a channel is to send, the longest due first, and tells in
// how long the next one is due if none is now; below zero if none waits.
func (s *Store) DueMessages(ctx context.Context, channel string, limit int) (ms []ChannelMessage, next time.Duration, err error) {
	err = s.View(ctx, func(tx *Tx) (err error) {
		next = -1
		ms, err = list(tx, scanMessage, "SELECT subject, want, have, body FROM messages WHERE channel = $1 AND due_at <= $2 ORDER BY due_at, subject LIMIT $3",
			channel, tx.now.UnixMilli(), int64(limited(limit, 100, 1000)))
		if err != nil || len(ms) > 0 {
			return err
		}
		return tx.each("SELECT MIN(due_at) FROM messages WHERE channel = $1 AND due_at IS NOT NULL", []any{channel}, func(row row) error {
			var at *int64
			err := row.Scan(&at)
			if at != nil {
				next = instant(*at).Sub(tx.now)
			}
			return err
		})
	})
	return ms, next, err
}

func scanMessage(row row) (m ChannelMessage, err error) {
	var body string
	err = row.Scan(&m.Subject, &m.Want, &m.Have, &body)
	m.Body = []byte(body)
	return m, err
}

// Message reads one message of a channel; access.NotFound when there is none.
func (s *Store) Message(ctx context.Context, channel, subject string) (m ChannelMessage, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		m, err = one(tx, "message", scanMessage, "SELECT subject, want, have, body FROM messages WHERE channel = $1 AND subject = $2", channel, subject)
		return err
	})
	return m, err
}

// SaveMessage notes what became of a message: what was sent tells of record m.Have
// now, and while it wants more it is due again after a while. Only who has the turn may.
func (s *Store) SaveMessage(ctx context.Context, owner, channel string, m ChannelMessage, again time.Duration) error {
	return s.Update(ctx, func(tx *Tx) error {
		if err := tx.turn(channel, owner); err != nil {
			return err
		}
		_, err := tx.exec(`UPDATE messages SET have = $3, body = $4, at = $6, due_at = CASE WHEN want = $3 THEN NULL ELSE CAST($5 AS BIGINT) END
			WHERE channel = $1 AND subject = $2`, channel, m.Subject, m.Have, string(m.Body), tx.now.Add(again).UnixMilli(), tx.now.UnixMilli())
		return err
	})
}

// keepMessages is how long is remembered what was sent: a request and its grant are
// over by then.
const keepMessages = access.MaxDuration + access.MaxAhead + 30*24*time.Hour
