package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"stint/internal/ident"
	"stint/internal/wholefile"
)

const (
	bootstrapFile = "bootstrap-token"
	// bootstrapAgain is when a code that nobody used is replaced, before it ends.
	bootstrapAgain = ident.BootstrapFor - 5*time.Minute
	// bootstrapLook is how soon a used code's file is gone.
	bootstrapLook = 2 * time.Second
)

// bootstrap keeps a good code for the first administrator in the data folder
// for as long as there is no user, and no longer.
type bootstrap struct {
	ident *ident.Ident
	path  string
	log   *slog.Logger
}

func newBootstrap(id *ident.Ident, data string, log *slog.Logger) *bootstrap {
	return &bootstrap{ident: id, path: filepath.Join(data, bootstrapFile), log: log}
}

// open writes the first code, so that it is there when the server is. Where there is a
// user it only reads: a store that takes no changes then keeps nobody from starting,
// and neither does a file that cannot be removed.
func (b *bootstrap) open(ctx context.Context) (needed bool, err error) {
	empty, err := b.ident.Empty(ctx)
	if err != nil {
		return false, err
	}
	if !empty {
		if err := b.remove(); err != nil {
			b.log.Warn("the file of a bootstrap code that is of no use any more was not removed", "error", err)
		}
		return false, nil
	}
	e, needed, err := b.ident.OpenBootstrap(ctx)
	if err != nil || !needed {
		return false, err
	}
	if err := wholefile.Write(b.path, append(e.Code.Reveal(), '\n')); err != nil {
		return false, err
	}
	b.log.Info("there is no user yet: sign in as the first administrator", "token_file", b.path, "good_until", e.ExpiresAt)
	return true, nil
}

// run replaces the code before it ends, and removes it once it was used.
func (b *bootstrap) run(ctx context.Context) error {
	look, again := time.NewTicker(bootstrapLook), time.NewTicker(bootstrapAgain)
	defer look.Stop()
	defer again.Stop()
	told := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			empty, err := b.ident.Empty(ctx)
			if err != nil { // the store says so itself
				continue
			}
			if empty {
				continue
			}
			if err := b.remove(); err == nil {
				return nil
			} else if !told { // the code in it is good for nothing
				told = true
				b.log.Warn("the file of the bootstrap code is not removed; tried again", "error", err)
			}
		case <-again.C:
			if needed, err := b.open(ctx); err != nil {
				b.log.Warn("the bootstrap token was not replaced", "error", err)
			} else if !needed {
				return nil
			}
		}
	}
}

func (b *bootstrap) remove() error {
	if err := os.Remove(b.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
