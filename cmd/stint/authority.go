package main

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"

	"stint/internal/wholefile"
)

// authorityFile puts the certificate authority of a target into a
// file of STINT_HOME, because PostgreSQL's client library takes it from a file
// only. It is not secret. Its name is of its content, so that several runs share
// it and none has to remove it; it is written each time, so that one that was
// changed is not believed.
func (c *cli) authorityFile(ca string) (string, error) {
	dir, err := c.home()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(ca))
	path := filepath.Join(dir, "ca-"+hex.EncodeToString(sum[:8])+".pem")
	if err := wholefile.Write(path, []byte(ca)); err != nil {
		return "", stateError(path, cause(err), "make its folder writable, or set STINT_HOME to another")
	}
	return path, nil
}
