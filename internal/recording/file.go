package recording

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// file is an open file of a spool. fault, which only tests set, is asked before each call and
// may fail it, do half of it, or end the process.
type file struct {
	*os.File
	fault fault
}

// fault is told the call and can do a part of it.
type fault func(call, path string, part func()) error

func (f file) ask(call string, part func()) error {
	if f.fault == nil {
		return nil
	}
	return f.fault(call, f.Name(), part)
}

func (f file) write(b []byte, at int64) error {
	if err := f.ask("write", func() { _, _ = f.WriteAt(b[:len(b)/2], at) }); err != nil {
		return err
	}
	_, err := f.WriteAt(b, at)
	return err
}

func (f file) sync() error {
	if err := f.ask("sync", func() {}); err != nil {
		return err
	}
	return datasync(f.File)
}

// reason says in a word why a disk does not take a recording.
func reason(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "the disk is full"
	case errors.Is(err, syscall.EDQUOT):
		return "the disk quota is used up"
	case errors.Is(err, syscall.EROFS):
		return "the disk can only be read"
	case errors.Is(err, syscall.EIO):
		return "the disk has an error"
	case errors.Is(err, fs.ErrPermission):
		return "the disk does not let us write"
	}
	return "the disk does not take it"
}

// cannotRecord is why a session must stop.
func cannotRecord(name string, err error) error {
	return &Error{
		Message: fmt.Sprintf("the session %s cannot be recorded any more", name),
		Why:     reason(err) + ", and nothing goes through without a record",
		Next:    "make room or mend the disk of the gateway's recordings, then connect again",
		Cause:   err,
	}
}
