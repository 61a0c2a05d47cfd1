//go:build unix

package pgtest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// A template is the data folder that initdb makes, to be copied for each server:
// a copy takes a fifth of the time. It lives while anything in this process holds it.
type template struct {
	install  install
	dir      string
	password string // of the superuser
}

// templates counts the holders of this process's one template.
type templates struct {
	mu      sync.Mutex
	holders int
	current *template
}

// cache is the one piece of state that servers of a process share; nothing but
// time depends on it.
var cache templates

// hold keeps the template, when there is one, until release. It is cheap.
func (c *templates) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holders++
}

// get makes the template if need be. The caller holds.
func (c *templates) get() (*template, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		t, err := newTemplate()
		if err != nil {
			return nil, err
		}
		c.current = t
	}
	return c.current, nil
}

func (c *templates) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holders--
	if c.holders > 0 || c.current == nil {
		return nil
	}
	dir := c.current.dir
	c.current = nil
	return os.RemoveAll(dir)
}

func newTemplate() (*template, error) {
	in, err := findInstall(debianFolders)
	if err != nil {
		return nil, err
	}
	dir, err := in.folder("stint-pgtemplate-")
	if err != nil {
		return nil, err
	}
	t := &template{install: in, dir: dir, password: rand.Text()}
	if err := t.initdb(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return t, nil
}

func (t *template) data() string { return filepath.Join(t.dir, "data") }

func (t *template) initdb() error {
	pwfile := filepath.Join(t.dir, "password")
	if err := os.WriteFile(pwfile, []byte(t.password+"\n"), 0o600); err != nil {
		return err
	}
	if err := t.install.give(pwfile); err != nil {
		return err
	}
	cmd := t.install.command(t.dir, "initdb", "--pgdata="+t.data(), "--username="+superuser, "--auth=scram-sha-256",
		"--pwfile="+pwfile, "--encoding=UTF8", "--locale=C", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return os.Remove(pwfile)
}

// copyTo makes dir/data.
func (t *template) copyTo(dir string) error {
	out, err := t.install.command(dir, "cp", "-a", t.data(), filepath.Join(dir, "data")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy the template cluster: %w: %s", err, out)
	}
	return nil
}
