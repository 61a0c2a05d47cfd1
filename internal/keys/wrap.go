package keys

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// A Wrapper is something beside the file without which a key in it does not open: a chip of
// the machine, a token. What it says is believed in nothing: a key has to have the id that
// its line says, which follows from the key.
type Wrapper interface {
	// Name is what lines call it: a letter, and up to 15 more letters and digits, all lower case.
	Name() string
	// Words are what it is, for people: "the TPM of this machine".
	Words() string
	// Wrap makes what only Unwrap opens, with the same id. Both wait for some seconds at most.
	Wrap(id string, key []byte) ([]byte, error)
	Unwrap(id string, wrapped []byte) ([]byte, error)
}

func (k keyID) String() string { return fmt.Sprintf("%x", k[:]) }

func wrapperOf(ws []Wrapper, name string) (Wrapper, bool) {
	i := slices.IndexFunc(ws, func(w Wrapper) bool { return w.Name() == name })
	if i < 0 {
		return nil, false
	}
	return ws[i], true
}

// unwrap opens the lines that are wrapped.
func unwrap(path string, ring []sealKey, ws []Wrapper) error {
	for i, k := range ring {
		if k.by == "" {
			continue
		}
		w, ok := wrapperOf(ws, k.by)
		if !ok {
			return &Error{
				Message: "the seal key file " + path + " holds a key that is wrapped by " + k.by,
				Why:     "nothing of that name is known here",
				Next:    "start the stintd that wrapped it, with its configuration",
			}
		}
		secret, err := opened(w, k)
		if err != nil {
			return &Error{
				Message: "the seal key in " + path + " does not open without " + w.Words(),
				Why:     "line " + fmt.Sprint(i+1) + " is wrapped by it",
				Next:    "see that it is there and is the one that wrapped the key, or put back the copy of the file that is not wrapped",
				Cause:   errors.New(err.Error()), // by its words only: that a device is not there must not read as a file that is not there
			}
		}
		ring[i].secret = secret
	}
	return nil
}

var errOtherKey = errors.New("what it gave is another key")

func opened(w Wrapper, k sealKey) (secret, error) {
	plain, err := w.Unwrap(k.id.String(), k.wrapped)
	defer clear(plain)
	if err != nil {
		return nil, err
	}
	if len(plain) != keySize {
		return nil, errOtherKey
	}
	if is := sealKeyOf([keySize]byte(plain)); is.id == k.id {
		return is.secret, nil
	}
	return nil, errOtherKey
}

// wrappedBy is the key with another line: by w, or as it is where w is nil. That it opens
// again is tried before anything depends on it.
func (k sealKey) wrappedBy(w Wrapper) (sealKey, error) {
	out := sealKey{id: k.id, secret: k.secret}
	if w == nil {
		return out, nil
	}
	if !wrapperName.MatchString(w.Name()) {
		return k, errors.New("a wrapper cannot have the name " + w.Name())
	}
	var err error
	if out.wrapped, err = w.Wrap(k.id.String(), k.secret()); err != nil {
		return k, err
	}
	out.by = w.Name()
	if len(out.wrapped) == 0 || len(out.wrapped) > maxWrapped || bytes.Contains(out.wrapped, k.secret()) {
		return k, errors.New("what it made is no wrapped key")
	}
	_, err = opened(w, out)
	return out, err
}

// WrappedBy names what wraps the current key; "" where the file holds it as it is. Plain
// counts the keys that the file holds as they are.
func (k *Keys) WrappedBy() (current string, plain int) {
	for _, key := range *k.ring.Load() {
		if key.by == "" {
			plain++
		}
	}
	return k.current().by, plain
}

// Wrap writes the file anew, with all its keys wrapped by w, or as they are where w is nil.
// The keys are the same; what was on the disk before is only unlinked.
func (k *Keys) Wrap(w Wrapper) error {
	return k.replace(func(old []sealKey) ([]sealKey, error) {
		ring := slices.Clone(old)
		for i := range ring {
			var err error
			if ring[i], err = ring[i].wrappedBy(w); err != nil {
				return nil, cannotWrap(k.path, w, err)
			}
		}
		return ring, nil
	})
}

func cannotWrap(path string, w Wrapper, cause error) error {
	return &Error{Message: "a key of the seal key file " + path + " cannot be wrapped by " + w.Words(),
		Next: "see that it is there and that this user may use it; the file is as it was", Cause: cause}
}
