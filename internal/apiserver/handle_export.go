package apiserver

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"stint/internal/recording"
)

const exportType = "application/x-tar" // what clients take as bytes of any kind

type exportRecordingIn struct {
	OneSession
	Form    string `query:"form" enum:"asciicast,text,lines,raw" default:"asciicast" doc:"asciicast: version 2, of one channel; text: its output; lines: every record as JSON; raw: as it is kept, encrypted and sealed"`
	Channel uint32 `query:"channel" doc:"0: the first that shows something"`
}

// exportRecording sends what is asked for. Its end is known to have come when the stream
// ends as it should: a recording that is damaged breaks it off.
func (s *Server) exportRecording(ctx context.Context, c call, in *exportRecordingIn) (*lines, error) {
	_, v, err := s.view(ctx, c, in.ID, "export")
	if err != nil {
		return nil, err
	}
	var raw io.Reader
	var trust recording.Trust
	var d *recording.Reader
	var f io.Closer
	if in.Form == "raw" {
		var rc io.ReadCloser
		if rc, trust, err = v.Raw(ctx); err != nil {
			v.Done()
			return nil, err
		}
		raw, f = rc, rc
	} else if d, f, err = v.Reader(ctx); err != nil {
		v.Done()
		return nil, err
	}
	return &lines{ContentType: exportType, Body: func(hc huma.Context) {
		defer v.Done()
		defer func() { _ = f.Close() }() // only read
		out := newStream(hc)
		var err error
		switch in.Form {
		case "raw":
			d, err = s.exportRaw(out, raw, trust)
		case "text":
			err = recording.Text(out, d, in.Channel)
		case "lines":
			err = recording.Lines(out, d)
		default:
			err = recording.Asciicast(out, d, in.Channel)
		}
		if d != nil {
			v.Saw(0, d.Report().Length)
		}
		if err != nil {
			s.log.Warn("an export of a recording broke off", "trace", c.trace, "error", err)
			panic(http.ErrAbortHandler) // the client must not take it for whole
		}
	}}, nil
}

// exportRaw sends a recording as it is kept, and reads it on its way: to know how much of it was
// given away. What cannot be read of it is sent all the same.
func (s *Server) exportRaw(out io.Writer, raw io.Reader, trust recording.Trust) (*recording.Reader, error) {
	through := &tee{from: raw, to: out}
	d, err := recording.NewReader(through, trust, s.archive.Openers...)
	if err == nil {
		_, err = d.Verify()
	}
	if err != nil {
		s.log.Debug("a recording is exported that cannot be read to its end", "error", err)
	}
	_, err = io.Copy(io.Discard, through)
	return d, err
}

// tee is io.TeeReader, and stays broken: what was not written is not passed over.
type tee struct {
	from   io.Reader
	to     io.Writer
	broken error
}

func (t *tee) Read(b []byte) (int, error) {
	if t.broken != nil {
		return 0, t.broken
	}
	n, err := t.from.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		t.broken = err
	}
	if n > 0 {
		if _, failed := t.to.Write(b[:n]); failed != nil {
			t.broken = failed
			return 0, failed
		}
	}
	return n, err
}
