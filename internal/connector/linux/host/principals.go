package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"stint/internal/access"
	"stint/internal/connector/linux"
)

func (c *Connector) principalsFolder() string { return filepath.Join(c.Keys, "principals") }

func (c *Connector) principalsFile(login string) string {
	return filepath.Join(c.principalsFolder(), login) // the name was checked: no slash, no leading dot
}

// readPrincipals reads the lines of an account's file, without newlines.
func (c *Connector) readPrincipals(login string) ([]string, error) {
	text, err := readFile(c.principalsFile(login))
	if err != nil || text == "" {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n"), nil
}

// writePrincipals replaces them; an account without lines has no file. sshd reads the
// file as the account itself, which is why others may read it.
func (c *Connector) writePrincipals(login string, lines []string) error {
	if len(lines) == 0 {
		return removeFile(c.principalsFile(login))
	}
	if err := ensureFolder(c.principalsFolder(), 0o755); err != nil {
		return err
	}
	return c.disk.replace(c.principalsFile(login), 0o644, []byte(strings.Join(lines, "\n")+"\n"))
}

// logins lists the accounts that have a file.
func (c *Connector) logins() (names []string, err error) {
	es, err := os.ReadDir(c.principalsFolder())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range es {
		if linux.ValidName(e.Name()) && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// where lists the accounts in which an order can have a line.
func (c *Connector) where(s *subject) ([]string, error) {
	if s.login != "" {
		return []string{s.login}, nil
	}
	return c.logins()
}

// marked are the lines of an order.
func marked(lines []string, tag access.Tag) (found []string) {
	for _, l := range lines {
		if t, ok := markOf(l); ok && t == tag {
			found = append(found, l)
		}
	}
	return found
}

// unmarked are the lines that are not the order's.
func unmarked(lines []string, tag access.Tag) (others []string) {
	for _, l := range lines {
		if t, ok := markOf(l); !ok || t != tag {
			others = append(others, l)
		}
	}
	return others
}
