package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"stint/internal/api"
	"stint/internal/archive"
	"stint/internal/egress"
	"stint/internal/keys"
	"stint/internal/recording"
	"stint/internal/store"
)

type recordingsConfig struct {
	// Folder is where recordings are while they are written, and, without a bucket, after.
	Folder string   `yaml:"folder"`
	Keep   string   `yaml:"keep"`
	S3     s3Config `yaml:"s3"`
}

type s3Config struct {
	Endpoint  string `yaml:"endpoint"`
	Region    string `yaml:"region"`
	Bucket    string `yaml:"bucket"`
	Prefix    string `yaml:"prefix"`
	AccessKey string `yaml:"access_key"`
	// SecretFile holds the secret half of the access key.
	SecretFile string `yaml:"secret_file"`
}

// keptRecordings are these settings, checked.
type keptRecordings struct {
	folder string // full path
	shared bool   // somebody chose the folder: replicas may share it
	keep   time.Duration
	s3     *recording.S3Options // nil: in the folder
}

const (
	keepUsual = 90 * 24 * time.Hour
	keepLeast = 24 * time.Hour
	keepMost  = 20 * 365 * 24 * time.Hour
)

func checkRecordings(c config, s *settings) (err error) {
	r := c.Recordings
	s.recordings = keptRecordings{folder: r.Folder, shared: r.Folder != "", keep: keepUsual}
	if r.Folder == "" {
		s.recordings.folder = filepath.Join(s.data, "recordings")
	} else if s.recordings.folder, err = filepath.Abs(r.Folder); err != nil {
		return refuse("bad-recordings", "the folder of recordings has no full path", err.Error(), "give recordings.folder in full")
	}
	if info, err := os.Stat(s.recordings.folder); err == nil {
		switch {
		case !info.IsDir():
			return refuse("bad-recordings", "the folder of recordings is not a folder", s.recordings.folder, "check recordings.folder")
		case info.Mode().Perm()&fs.FileMode(0o022) != 0:
			return refuse("open-recordings", "others can write in the folder of recordings", s.recordings.folder+" has mode "+info.Mode().Perm().String()+": they could take recordings away", "chmod 700 "+s.recordings.folder)
		}
	}
	switch r.Keep {
	case "":
	case "forever":
		s.recordings.keep = 0
	default:
		if s.recordings.keep, err = api.ParseDuration(r.Keep); err != nil || s.recordings.keep < keepLeast || s.recordings.keep > keepMost {
			return refuse("bad-recordings", "recordings.keep is no time for which recordings are kept", fmt.Sprintf("%q is not between 1d and 7300d", r.Keep), "write 90d, or forever")
		}
	}
	if r.S3 == (s3Config{}) {
		return nil
	}
	info, err := os.Stat(r.S3.SecretFile)
	if err != nil {
		return refuse("no-s3-secret", "the secret of the bucket of recordings cannot be read", cause(err), "check recordings.s3.secret_file")
	}
	if info.Mode().Perm()&0o077 != 0 {
		return refuse("open-s3-secret", "others can read the secret of the bucket of recordings", r.S3.SecretFile+" has mode "+info.Mode().Perm().String(), "chmod 600 "+r.S3.SecretFile)
	}
	secret, err := os.ReadFile(r.S3.SecretFile)
	if err != nil {
		return refuse("no-s3-secret", "the secret of the bucket of recordings cannot be read", cause(err), "check recordings.s3.secret_file")
	}
	s.recordings.s3 = &recording.S3Options{Endpoint: r.S3.Endpoint, Region: r.S3.Region, Bucket: r.S3.Bucket, Prefix: r.S3.Prefix, Access: r.S3.AccessKey, Key: []byte(strings.TrimSpace(string(secret)))}
	return nil
}

// openRecordings opens the keys of recordings, the one in force first.
func openRecordings(ctx context.Context, st *store.Store, vault *keys.Keys) (openers []*recording.Opener, err error) {
	if _, err := openRecordingsKey(ctx, st, vault); err != nil { // it makes the first
		return nil, err
	}
	var all [][]byte
	if err := st.View(ctx, func(tx *store.Tx) (err error) { all, err = readKeys(tx, settingRecordingsKey); return err }); err != nil {
		return nil, err
	}
	for _, sealed := range all {
		private, err := vault.RecordingsKey(settingRecordingsKey, sealed)
		if err != nil {
			return nil, err
		}
		openers = append(openers, recording.NewOpener(private))
	}
	return openers, nil
}

// rotateRecordings puts a fresh recordings key before the others.
func rotateRecordings(tx *store.Tx, vault *keys.Keys) error {
	have, err := readKeys(tx, settingRecordingsKey)
	if err != nil {
		return err
	}
	return prepend(tx, settingRecordingsKey, have, func() ([]byte, error) {
		sealed, _, err := vault.NewRecordingsKey(settingRecordingsKey)
		return sealed, err
	})
}

// newArchive makes what keeps recordings.
func (p *process) newArchive(ctx context.Context) (*archive.Archive, error) {
	r := p.settings.recordings
	openers, err := openRecordings(ctx, p.store, p.identity.vault)
	if err != nil {
		return nil, err
	}
	inbox, err := recording.OpenInbox(filepath.Join(r.folder, "running"))
	if err != nil {
		return nil, err
	}
	var kept recording.Store
	if r.s3 != nil {
		o := *r.s3
		o.Client = egress.New(p.settings.egress).HTTP()
		kept, err = recording.NewS3(o)
	} else {
		kept, err = recording.NewDisk(filepath.Join(r.folder, "kept"))
	}
	if err != nil {
		return nil, err
	}
	if p.replica != nil && !r.shared {
		what := "recordings of sessions are kept in the data folder of this replica, and only it can show them"
		if r.s3 != nil {
			what = "sessions that go on are recorded into the data folder of the replica that their gateway reaches, and only it can show them live"
		}
		p.log.Warn(what+"; with several replicas, set recordings.folder to a folder that they share", "folder", r.folder)
	}
	return archive.New(archive.Config{Store: storeAs[archive.Tx]{p.store, func(tx *store.Tx) archive.Tx { return tx }}, Inbox: inbox, Kept: kept, Openers: openers, Age: r.keep, Log: p.log.With("part", "recordings")})
}
