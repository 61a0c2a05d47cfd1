package apiserver

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/ident"
	"stint/internal/store"
	"stint/internal/web"
	"stint/internal/web/ui"
)

// stream opens a page's stream, and gives the data of its messages one by one. The channel
// is closed when the stream ends.
func (b *browser) stream(ctx context.Context, t testing.TB, view string) (*http.Response, <-chan string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.address("/events?view="+view), nil)
	check(t, err)
	req.Header.Set(ui.NonceHeader, "AAAAAAAAAAAAAAAAAAAAAA")
	res, err := b.c.Do(req)
	check(t, err)
	t.Cleanup(func() { res.Body.Close() })
	said := make(chan string)
	go func() {
		defer close(said)
		var data strings.Builder
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 4<<20) // a piece is mostly one line
		for lines.Scan() {
			text, ok := strings.CutPrefix(lines.Text(), "data: ")
			switch {
			case ok:
				data.WriteString(text)
			case lines.Text() == "" && data.Len() > 0:
				select {
				case said <- data.String():
				case <-ctx.Done():
					return
				}
				data.Reset()
			}
		}
	}()
	return res, said
}

// until reads messages until one has the words.
func until(ctx context.Context, t testing.TB, said <-chan string, words string) {
	t.Helper()
	for {
		select {
		case text, ok := <-said:
			if !ok {
				t.Fatalf("the stream ended before it said %q", words)
			}
			if strings.Contains(text, words) {
				return
			}
		case <-ctx.Done():
			t.Fatalf("the stream does not say %q", words)
		}
	}
}

// TestPagesStayTrue: a page that is open shows what happens, to those who may see it and to
// nobody else; its stream ends with the session, and it takes no place of those that work.
func TestPagesStayTrue(t *testing.T) {
	w, admin, all := keyed(t, []string{fmt.Sprintf(guarded, "high", "passkey")}, "omar")
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	omar := all["omar"]
	gus := w.as(admin, api.UserAdd{Name: "gus"})
	_, err := admin.AddUser(t.Context(), api.UserAdd{Name: "nora"})
	check(t, err)
	nora := w.guest("nora")

	res, waiting := omar.stream(ctx, t, "requests")
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("X-Accel-Buffering") != "no" {
		t.Fatalf("the stream: %d %v", res.StatusCode, res.Header)
	}
	until(ctx, t, waiting, "Nothing waits for you")
	_, foreign := nora.stream(ctx, t, "requests")
	until(ctx, t, foreign, "Nothing waits for you")
	for w.server.work.used.Load() != 0 || w.server.waits.used.Load() != 2 { // calls before leave their places a moment after their answers
		if time.Sleep(time.Millisecond); ctx.Err() != nil {
			t.Fatalf("two open pages take %d places of the work and %d of the waits", w.server.work.used.Load(), w.server.waits.used.Load())
		}
	}
	r := askVault(t, gus, "something broke")
	until(ctx, t, waiting, "something broke")
	_, one := omar.stream(ctx, t, "request&id="+r.ID)
	until(ctx, t, one, "Waits for a decision")
	res, _ = nora.stream(ctx, t, "request&id="+r.ID)
	if res.StatusCode == http.StatusOK {
		t.Error("somebody has a stream of a request that they may not see")
	}
	_, err = gus.Cancel(t.Context(), r.ID)
	check(t, err)
	until(ctx, t, one, "Withdrawn")
	until(ctx, t, waiting, "Nothing waits for you")

	omar.post("/logout", nil).want(t, http.StatusSeeOther)
	gone := askVault(t, gus, "after the session")
	for text := range waiting {
		if strings.Contains(text, "after the session") || strings.Contains(text, gone.ID) {
			t.Error("a stream goes on after the session")
		}
	}
	select {
	case text := <-foreign:
		t.Errorf("somebody learns of what is not theirs: %s", text)
	default:
	}
	if ctx.Err() != nil {
		t.Error("the stream did not end with the session")
	}
}

// TestOpenPageIsNoUse: the stream of a page that was left open keeps no session from ending
// for want of use; whoever loads a page does.
func TestOpenPageIsNoUse(t *testing.T) {
	w, _, all := keyed(t, []string{fmt.Sprintf(guarded, "high", "passkey")}, "omar")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	omar := all["omar"]
	token := strings.Repeat("b", 43)
	var before time.Time
	check(t, w.store.Update(ctx, func(tx *store.Tx) error {
		l, err := tx.Login(hashOf(omar.cookie(t, "stint")))
		if err != nil {
			return err
		}
		before = tx.Now().Add(-ident.IdleFor / 2)
		l.Token, l.CreatedAt, l.SeenAt = hashOf(token), before, before
		return tx.SaveLogin(l)
	}))
	omar.set(t, "stint", token)
	seen := func() (at time.Time) {
		check(t, w.store.View(ctx, func(tx *store.Tx) error {
			l, err := tx.Login(hashOf(token))
			at = l.SeenAt
			return err
		}))
		return at
	}
	_, said := omar.stream(ctx, t, "requests")
	until(ctx, t, said, "Nothing waits for you")
	visitor := web.Visitor{From: w.addr(), Session: api.Secret(token), Watches: true}
	quiet, done := context.WithTimeout(ctx, time.Millisecond)
	_, err := doors{w.server}.Follow(quiet, visitor, 1<<40)
	done()
	check(t, err)
	if at := seen(); !at.Equal(before) {
		t.Errorf("an open page is a use of the session: it was seen at %v, and before at %v", at, before)
	}
	omar.get("/requests").want(t, http.StatusOK)
	if at := seen(); !at.After(before) {
		t.Error("loading a page is no use of the session")
	}
}

// TestOpenPagesLeaveRoom: open pages that look too often are slowed down, and what their
// person clicks is not.
func TestOpenPagesLeaveRoom(t *testing.T) {
	w, _, all := keyed(t, []string{fmt.Sprintf(guarded, "high", "passkey")}, "omar")
	omar := all["omar"]
	w.server.looks = newRates(0, 3, time.Now)
	visitor := web.Visitor{From: w.addr(), Session: api.Secret(omar.cookie(t, "stint")), Watches: true}
	var err error
	for range 4 {
		_, err = doors{w.server}.Person(t.Context(), visitor)
	}
	if access.KindOf(err) != access.TooMany {
		t.Errorf("open pages look as often as they like: %v", err)
	}
	omar.get("/requests").want(t, http.StatusOK)
	w.server.reads = newRates(0, 0, time.Now)
	w.server.looks = newRates(0, 3, time.Now)
	if _, err := (doors{w.server}).Person(t.Context(), visitor); err != nil {
		t.Errorf("an open page looks by the share of the clicks: %v", err)
	}
}
