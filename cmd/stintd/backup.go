package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"stint/internal/access"
	"stint/internal/apiserver"
	"stint/internal/backup"
	"stint/internal/program"
	"stint/internal/store"
	"stint/internal/wholefile"
)

const backupHelp = `Write a backup of the stopped installation to a file. While it runs, use
stint admin backup, which does the same through the server.

It is one file for either database, readable for its owner only, and appears whole
or not at all. The seal key is not in it: keep that apart, or the backup opens
everything by itself.`

// writeBackup writes a backup of the store to out. Both it and its spool are as
// large as the compressed data.
func writeBackup(ctx context.Context, st *store.Store, id identity, dir string, out io.Writer) (m backup.Manifest, err error) {
	spool, err := hiddenFile(dir)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, spool.Close()) }()
	return st.Dump(ctx, backup.Manifest{Program: program.Version(), Installation: id.installation, Epoch: id.epoch}, id.signer, spool, out)
}

// hiddenFile is a file without a name, which is gone with its last reader.
func hiddenFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "backup.*") // 0600
	if err == nil {
		err = os.Remove(f.Name())
	}
	if err != nil {
		return nil, access.Fail(access.Unavailable, "backup-unwritten", "there is no room for a backup").Because(cause(err)).Try("see that the disk of " + dir + " has room for it twice").Wrap(err)
	}
	return f, nil
}

// Backup implements apiserver.Keep.
func (p *process) Backup(ctx context.Context) (a apiserver.Archive, err error) {
	f, err := hiddenFile(p.settings.data)
	if err != nil {
		return a, err
	}
	sum := sha256.New()
	m, err := writeBackup(ctx, p.store, p.identity, p.settings.data, io.MultiWriter(f, sum))
	if err == nil {
		a.Bytes, err = f.Seek(0, io.SeekCurrent)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return apiserver.Archive{}, errors.Join(err, f.Close())
	}
	a.ReadCloser, a.Records, a.SHA256 = f, m.Size, hex.EncodeToString(sum.Sum(nil))
	return a, nil
}

// Witnessed implements apiserver.Keep.
func (p *process) Witnessed(ctx context.Context) ([]byte, error) {
	_, signed, err := p.store.Witnessed(ctx)
	return signed, err
}

// Witnesses implements apiserver.Keep.
func (p *process) Witnesses(ctx context.Context) (all, signing int, unwitnessed int64, err error) {
	head, err := p.store.Head(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	seen, _, err := p.store.Witnessed(ctx)
	for i := range p.witnesses.clients {
		if s := p.witnesses.of(i); s.err == nil && !s.at.IsZero() {
			signing++
		}
	}
	return len(p.witnesses.clients), signing, head.Size - seen, err
}

// backupStopped is stintd backup.
func backupStopped(ctx context.Context, s settings, path string, out io.Writer) (err error) {
	st, err := store.Open(ctx, store.Config{Path: s.file(), URL: s.database})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	id, err := openExisting(ctx, st, s)
	if err != nil {
		return err
	}
	var m backup.Manifest
	err = wholefile.Replace(path, func(f *os.File) (err error) {
		m, err = writeBackup(ctx, st, id, filepath.Dir(path), f)
		return err
	})
	if err != nil {
		return unwritten(err)
	}
	_, err = fmt.Fprintf(out, "%s: epoch %d, %d records of the log; the seal key %s is not in it\n", path, m.Epoch, m.Size, s.sealKey)
	return err
}

// unwritten says of an error of the file that it is --out's. One that says what it
// is, and of what, may have such an error inside, of another file.
func unwritten(err error) error {
	var said *access.Error
	var path *fs.PathError
	var link *os.LinkError
	if errors.As(err, &said) || !errors.As(err, &path) && !errors.As(err, &link) {
		return err
	}
	return refuse("backup-unwritten", "the backup cannot be written", cause(err), "check --out")
}

// afterRestore is where a file of the log goes on: after its last record, or,
// where the log was restored and is shorter than that, where the new log begins.
// What the file holds beyond is what was lost; it stays in it.
func (p *process) afterRestore(ctx context.Context, after int64) (int64, error) {
	head, err := p.store.Head(ctx)
	if err != nil || after < head.Size {
		return after, err
	}
	q, _, err := p.broker.QuarantineState(ctx)
	if err == nil && q.Kind == "" {
		q, err = p.broker.LogGap(ctx)
	}
	if err != nil || q.Kind == "" {
		return after, err
	}
	return min(after, q.Kept-1), nil
}
