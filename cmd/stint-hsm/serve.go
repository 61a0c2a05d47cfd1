package main

import (
	"errors"
	"io"
	"runtime"

	"stint/internal/hsm/module"
	"stint/internal/hsm/wire"
	"stint/internal/program"
)

// opener opens a token. The PIN is cleared when it has returned.
type opener func(module, label string, pin []byte) (token, error)

// serve answers questions until there are no more. Questions are read apart from the
// answering: when they end, so does the program, whatever the library is doing.
func serve(in io.Reader, out io.Writer, open opener, exit func(int)) error {
	questions := make(chan wire.Message)
	ended := make(chan error, 1)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			m, err := wire.Read(in)
			if err != nil {
				ended <- err
				close(questions)
				if errors.Is(err, io.EOF) {
					exit(program.Done)
				} else {
					exit(program.Failure)
				}
				return
			}
			select {
			case questions <- m:
			case <-done:
				return
			}
		}
	}()
	runtime.LockOSThread() // a library may keep what it knows by thread
	defer runtime.UnlockOSThread()
	d := desk{open: open}
	for m := range questions {
		fields, err := d.answer(m)
		answer := wire.Message{Kind: wire.Done, Number: m.Number, Fields: fields}
		if err != nil {
			answer = failed(m.Number, err)
		}
		if err := wire.Write(out, answer); err != nil {
			return err
		}
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func failed(number uint64, err error) wire.Message {
	var f *wire.Failure
	if !errors.As(err, &f) {
		f = &wire.Failure{Code: wire.Trouble, Text: err.Error()}
	}
	return wire.Message{Kind: wire.Failed, Number: number, Fields: [][]byte{[]byte(f.Code), []byte(f.Text[:min(len(f.Text), 1000)])}}
}

// desk has one token open, or none yet.
type desk struct {
	open  opener
	token token
}

func (d *desk) answer(m wire.Message) ([][]byte, error) {
	if m.Kind == wire.Open {
		defer clear(m.Fields[2])
		if d.token != nil {
			return nil, wire.Fail(wire.Question, "a token is open already")
		}
		path, err := module.Library(string(m.Fields[0]))
		if err != nil {
			return nil, wire.Fail(wire.Module, "%v", err)
		}
		t, err := d.open(path, string(m.Fields[1]), m.Fields[2])
		if err == nil {
			d.token = t
		}
		return nil, err
	}
	if d.token == nil {
		return nil, wire.Fail(wire.Question, "no token is open")
	}
	switch m.Kind {
	case wire.Keys:
		ks, err := d.token.Keys(string(m.Fields[0]))
		if err != nil {
			return nil, err
		}
		var out [][]byte
		for _, k := range ks {
			out = append(out, k.Marshal())
		}
		return out, nil
	case wire.Generate:
		if err := wire.CheckLabel(string(m.Fields[0])); err != nil {
			return nil, wire.Fail(wire.Question, "%v", err)
		}
		k, err := d.token.Generate(string(m.Fields[0]), wire.Algorithm(m.Fields[1]))
		if err != nil {
			return nil, err
		}
		return [][]byte{k.Marshal()}, nil
	case wire.Sign:
		k, err := wire.ParseKey(m.Fields[0])
		if err != nil {
			return nil, wire.Fail(wire.Question, "%v", err)
		}
		sig, err := d.token.Sign(k, m.Fields[1])
		if err != nil {
			return nil, err
		}
		return [][]byte{sig}, nil
	case wire.Secret, wire.Encrypt, wire.Decrypt:
		return d.crypt(m)
	}
	return nil, wire.Fail(wire.Question, "it is no question")
}

// crypt is what is asked of keys that encrypt.
func (d *desk) crypt(m wire.Message) ([][]byte, error) {
	label := string(m.Fields[0])
	if err := wire.CheckLabel(label); err != nil {
		return nil, wire.Fail(wire.Question, "%v", err)
	}
	if m.Kind == wire.Secret {
		return nil, d.token.GenerateSecret(label)
	}
	defer clear(m.Fields[2])
	do := d.token.Encrypt
	if m.Kind == wire.Decrypt {
		do = d.token.Decrypt
	}
	out, err := do(label, m.Fields[1], m.Fields[2])
	if err != nil {
		return nil, err
	}
	return [][]byte{out}, nil
}
