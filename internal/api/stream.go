package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	// silence is how long a stream may be quiet; the server sends an empty
	// line more often than that.
	silence = time.Minute
	// maxLine bounds a line of a stream.
	maxLine = 1 << 20
)

// stream is an answer that goes on. It ends with an error when it breaks off
// or is silent for too long, and with io.EOF only when the server ended it.
type stream struct {
	server *url.URL
	body   io.ReadCloser
	quiet  *time.Timer
	cancel context.CancelCauseFunc
	silent atomic.Bool // quiet has fired
}

func streamed(server *url.URL, res *http.Response, cancel context.CancelCauseFunc) (*answer, error) {
	a := &answer{status: res.StatusCode, header: res.Header}
	if !a.is(linesType) && !a.is(archiveType) {
		cancel(nil)
		res.Body.Close()
		return nil, &Error{Kind: Internal, Status: a.status, Code: "not-stint", Message: "the answer is not a stream from a Stint server",
			Next: "check STINT_SERVER, or --server"}
	}
	s := &stream{server: server, body: res.Body, cancel: cancel}
	s.quiet = time.AfterFunc(silence, func() { s.silent.Store(true); cancel(errSilent) })
	a.stream = s
	return a, nil
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	switch {
	case err == nil:
		s.quiet.Reset(silence)
	case err != io.EOF:
		if s.silent.Load() {
			err = errSilent
		}
		err = unreachable(s.server, err, nil)
	}
	return n, err
}

func (s *stream) Close() {
	s.quiet.Stop()
	s.cancel(nil)
	s.body.Close()
}

// lines calls each for every whole line that is not empty, and never for a
// part of one.
func (s *stream) lines(each func(line []byte) error) error {
	r := bufio.NewReaderSize(s, maxLine)
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case err == io.EOF && len(line) == 0:
			return nil
		case err == io.EOF:
			return unreachable(s.server, io.ErrUnexpectedEOF, nil)
		case errors.Is(err, bufio.ErrBufferFull):
			return &Error{Kind: Internal, Code: "line-too-long", Message: "a line of the stream is longer than a Stint server's"}
		case err != nil:
			return err
		}
		if line = line[:len(line)-1]; len(line) == 0 {
			continue // a sign of life
		}
		if err := each(line); err != nil {
			return err
		}
	}
}

// Stream reads JSON lines from path, which may carry a query, until the server
// ends it, ctx ends, or each fails. The line is valid only during the call.
func (c *Client) Stream(ctx context.Context, path string, each func(line []byte) error) error {
	elements, query, err := split(path)
	if err != nil {
		return err
	}
	return c.follow(ctx, elements, query, func(s *stream) error { return s.lines(each) })
}

func (c *Client) follow(ctx context.Context, path []string, query url.Values, use func(*stream) error) error {
	res, err := c.send(ctx, call{method: http.MethodGet, path: path, query: query, stream: true})
	if err != nil {
		return err
	}
	defer res.stream.Close()
	err = use(res.stream)
	var u *Unreachable
	if ctx.Err() != nil && errors.As(err, &u) {
		return ctx.Err() // it was us who broke it off
	}
	return err
}
