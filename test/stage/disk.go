package stage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// mountData mounts the data folder's disk.
func (s *Stage) mountData() error {
	_, err := s.Mount("data", s.DataDisk)
	return err
}

// Mount mounts a disk of so many bytes under the stage's folder, until the stage
// closes. It takes root.
func (s *Stage) Mount(name string, size int) (dir string, err error) {
	dir = s.path(name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", size)); err != nil {
		return "", fmt.Errorf("stage: mount a disk: %w", err)
	}
	s.disks = append(s.disks, dir)
	return dir, nil
}

// FillDisk takes all room on the disk of a folder until release is called.
func FillDisk(dir string) (release func() error, err error) {
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	release = func() error { return os.Remove(path) }
	for block := bytes.Repeat([]byte("x"), 4096); err == nil; {
		_, err = f.Write(block)
	}
	if err := f.Close(); err != nil {
		return release, err
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return release, fmt.Errorf("stage: fill a disk: %w", err)
	}
	return release, nil
}
