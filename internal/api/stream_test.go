package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"stint/internal/api"
)

const lines = "application/x-ndjson"

func TestStream(t *testing.T) {
	for name, tt := range map[string]struct {
		body string
		cut  bool // break the connection off after the body
		want []string
		ok   bool
	}{
		"lines":           {"one\ntwo\n", false, []string{"one", "two"}, true},
		"signs of life":   {"\none\n\n\ntwo\n", false, []string{"one", "two"}, true},
		"empty":           {"", false, nil, true},
		"unfinished line": {"one\ntw", false, []string{"one"}, false},
		"cut after line":  {"one\n", true, []string{"one"}, false},
		"cut in line":     {"one\ntw", true, []string{"one"}, false},
		"too long":        {"one\n" + strings.Repeat("x", 2<<20) + "\n", false, []string{"one"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, c := newDoor(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", lines)
				_, _ = io.WriteString(w, tt.body)
				if tt.cut {
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				}
			})
			var got []string
			err := c.Stream(background, "/audit/tail?after=3", func(line []byte) error { got = append(got, string(line)); return nil })
			if (err == nil) != tt.ok {
				t.Errorf("Stream = %v, want ok=%v", err, tt.ok)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStreamRefused(t *testing.T) {
	_, c := newDoor(t, func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, &api.Error{Kind: api.Denied, Code: "not-auditor", Message: "only auditors read it"})
	})
	never := func([]byte) error { t.Error("a line came"); return nil }
	if err := c.Stream(background, "/audit/tail", never); !errors.Is(err, api.Denied) {
		t.Errorf("refused: %v", err)
	}
	_, c = newDoor(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>\n") })
	if err := c.Stream(background, "/audit/tail", never); !errors.Is(err, api.Internal) {
		t.Errorf("not a stream: %v", err)
	}
	if err := c.Stream(background, "audit", never); !errors.Is(err, api.Invalid) {
		t.Errorf("not a path: %v", err)
	}
}

func TestStreamEndsByCaller(t *testing.T) {
	_, c := newDoor(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", lines)
		_, _ = io.WriteString(w, "one\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	enough := errors.New("enough")
	if err := c.Stream(background, "/audit/tail", func([]byte) error { return enough }); err != enough {
		t.Errorf("Stream = %v, want what the function said", err)
	}
	ctx, cancel := context.WithCancel(background)
	if err := c.Stream(ctx, "/audit/tail", func([]byte) error { cancel(); return nil }); err != context.Canceled {
		t.Errorf("Stream = %v, want context.Canceled", err)
	}
}

// A stream may go on for ever, but not in silence.
func TestStreamSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := trip(func(r *http.Request) (*http.Response, error) {
			out, in := io.Pipe()
			go func() {
				for range 10 {
					time.Sleep(50 * time.Second) // fake time: ten signs of life
					_, _ = io.WriteString(in, "\n")
				}
				<-r.Context().Done()
				in.CloseWithError(r.Context().Err())
			}()
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {lines}}, Body: out}, nil
		}).client(t)
		start := time.Now()
		err := c.Stream(background, "/audit/tail", func([]byte) error { return nil })
		var u *api.Unreachable
		if !errors.As(err, &u) || !strings.Contains(err.Error(), "nothing came for 1m") {
			t.Errorf("err = %v", err)
		}
		if took := time.Since(start); took != 560*time.Second {
			t.Errorf("it ended after %v, want 9m20s", took)
		}
	})
}

// The tail goes on after the last record when it breaks off, without one
// twice and without one missing.
func TestAuditTailGoesOn(t *testing.T) {
	d, c := newDoor(t, func(w http.ResponseWriter, r *http.Request) {
		var after int
		if _, err := fmt.Sscan(r.URL.Query().Get("after"), &after); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", lines)
		for seq := after + 1; seq < after+4; seq++ {
			fmt.Fprintf(w, "{\"seq\":%d,\"record\":{\"v\":1}}\n", seq)
		}
		fmt.Fprintf(w, `{"seq":%d,"rec`, after+4) // a part of a line
		_ = http.NewResponseController(w).Flush()
		if after >= 2 {
			panic(http.ErrAbortHandler)
		}
	})
	enough := errors.New("enough")
	var got []int64
	err := c.AuditTail(background, api.FromFirst, func(r api.AuditRecord) error {
		got = append(got, r.Seq)
		if string(r.Record) != `{"v":1}` {
			t.Errorf("record %d is %s", r.Seq, r.Record)
		}
		if len(got) == 8 {
			return enough
		}
		return nil
	})
	if err != enough {
		t.Errorf("AuditTail = %v", err)
	}
	if diff := cmp.Diff([]int64{0, 1, 2, 3, 4, 5, 6, 7}, got); diff != "" {
		t.Error(diff)
	}
	for i, want := range []string{"after=-1", "after=2", "after=5"} {
		if q := d.calls()[i].query; q != want {
			t.Errorf("call %d asked %s, want %s", i, q, want)
		}
	}
}

func TestAuditTailRefusesDisorder(t *testing.T) {
	for _, body := range []string{"{\"seq\":5}\n{\"seq\":5}\n", "{\"seq\":5}\n{\"seq\":4}\n", "{\"seq\":-3}\n", "x\n", "{\"seq\":\"5\"}\n"} {
		_, c := newDoor(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", lines)
			_, _ = io.WriteString(w, body)
		})
		if err := c.AuditTail(background, api.FromNow, func(api.AuditRecord) error { return nil }); !errors.Is(err, api.Internal) {
			t.Errorf("%q: AuditTail = %v, want an Internal error", body, err)
		}
	}
}

// When the server is gone for good, the tail says so.
func TestAuditTailServerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := trip(func(*http.Request) (*http.Response, error) {
			if n++; n > 1 {
				return nil, errRefused
			}
			return recorded(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", lines)
				_, _ = io.WriteString(w, "{\"seq\":7}\n")
			}), nil
		}).client(t)
		var u *api.Unreachable
		if err := c.AuditTail(background, api.FromNow, func(api.AuditRecord) error { return nil }); !errors.As(err, &u) {
			t.Errorf("AuditTail = %v, want Unreachable", err)
		}
	})
}

func TestAuditExport(t *testing.T) {
	cut := false
	_, c := newDoor(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", lines)
		_, _ = io.WriteString(w, "head\n\nbody\n")
		_ = http.NewResponseController(w).Flush()
		if cut {
			panic(http.ErrAbortHandler)
		}
	})
	var b bytes.Buffer
	if err := c.AuditExport(background, &b); err != nil || b.String() != "head\n\nbody\n" {
		t.Errorf("AuditExport = %q, %v; want every byte", b.String(), err)
	}
	cut = true
	if err := c.AuditExport(background, io.Discard); err == nil {
		t.Error("an export that broke off succeeded")
	}
}
