package recording

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestSignature: the examples of the documentation of Signature Version 4 for Amazon S3.
func TestSignature(t *testing.T) {
	s := &S3{region: "us-east-1", access: "AKIAIOSFODNN7EXAMPLE", key: func() []byte { return []byte("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY") },
		now: func() time.Time { return time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC) }}
	for q, want := range map[string]string{
		"lifecycle=":          "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
		"max-keys=2&prefix=J": "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
	} {
		req, err := http.NewRequest(http.MethodGet, "https://examplebucket.s3.amazonaws.com/?"+q, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.sign(req, emptySum)
		if got := req.Header.Get("Authorization"); !strings.HasSuffix(got, "Signature="+want) ||
			!strings.Contains(got, "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,") {
			t.Errorf("%s: %s, want %s", q, got, want)
		}
	}
	if got := canonicalQuery(url.Values{"b": {"x y/z"}, "a": {"~ü"}}); got != "a=~%C3%BC&b=x%20y%2Fz" {
		t.Error(got)
	}
	if got := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(got, "wJalr") || strings.Contains(got, hex.EncodeToString([]byte("wJalr"))) {
		t.Errorf("it prints its key: %s", got)
	}
}

func TestBucketRefused(t *testing.T) {
	good := S3Options{Endpoint: "https://s3.example.com", Bucket: "recordings", Access: "a", Key: []byte("k"), Client: http.DefaultClient}
	if _, err := NewS3(good); err != nil {
		t.Fatal(err)
	}
	for name, bend := range map[string]func(*S3Options){
		"no tls":         func(o *S3Options) { o.Endpoint = "http://s3.example.com" },
		"a file":         func(o *S3Options) { o.Endpoint = "file:///etc" },
		"a path":         func(o *S3Options) { o.Endpoint += "/x" },
		"a password":     func(o *S3Options) { o.Endpoint = "https://a:b@s3.example.com" },
		"no bucket":      func(o *S3Options) { o.Bucket = "" },
		"another bucket": func(o *S3Options) { o.Bucket = "a/../b" },
		"a way up":       func(o *S3Options) { o.Prefix = "../" },
		"no key":         func(o *S3Options) { o.Key = nil },
		"no client":      func(o *S3Options) { o.Client = nil },
	} {
		o := good
		bend(&o)
		if _, err := NewS3(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestBucketAnswers: what a service may answer, and what is made of it.
func TestBucketAnswers(t *testing.T) {
	var answer func(w http.ResponseWriter, r *http.Request)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	defer server.Close()
	s, err := NewS3(S3Options{Endpoint: server.URL, Bucket: "recordings", Prefix: "p/", Access: "a", Key: []byte("k"), Client: server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	put := func() error { return s.Put(t.Context(), "a.rec", 3, strings.NewReader("abc")) }
	answer = func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(404)
			return
		}
		w.WriteHeader(500)
		_, _ = io.WriteString(w, "<Error><Code>Internal\x1b[31mError</Code></Error>")
	}
	if err := put(); err == nil || strings.Contains(err.Error(), "\x1b") || !strings.Contains(err.Error(), "500") {
		t.Errorf("500: %v", err)
	}
	answer = func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(404)
			return
		}
		w.WriteHeader(412)
	}
	if err := put(); !errors.Is(err, ErrExists) {
		t.Errorf("412: %v", err)
	}
	answer = func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) }
	if err := put(); err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists) {
		t.Errorf("403: %v", err)
	}
	if err := s.Put(t.Context(), "a.rec", 4, strings.NewReader("abc")); err == nil {
		t.Error("a shorter body than said")
	}
	answer = func(w http.ResponseWriter, r *http.Request) { // says more than it sends
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "abc")
	}
	r, err := s.Get(t.Context(), "a.rec")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err == nil {
		t.Errorf("cut off, and read as %q", b)
	}
	_ = r.Close()
	answer = func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "<L><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken><Contents><Key>p/../b.rec</Key></Contents></L>")
	}
	n := 0
	for o, err := range s.List(t.Context(), "") {
		if n++; err == nil || n > 1 {
			t.Fatalf("%v, %v", o, err)
		}
	}
	if n != 1 {
		t.Error("a list that goes round ends without an error")
	}
	answer = func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "<L><Cont") }
	for _, err := range s.List(t.Context(), "") {
		if err == nil {
			t.Error("a list that is cut off")
		}
	}
	for _, name := range []string{"", "a", "../a.rec", "a/b.rec", "a.txt", "a.rec.x"} {
		_, err := s.Get(t.Context(), name)
		if e := errors.Join(s.Delete(t.Context(), name), s.Put(t.Context(), name, 0, bytes.NewReader(nil))); !errors.Is(err, ErrNotFound) || e == nil {
			t.Errorf("%q: %v, %v", name, err, e)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, "a.rec"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
