//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// install is a PostgreSQL installation, and the user it runs as.
type install struct {
	bin  string              // the folder of initdb and postgres
	cred *syscall.Credential // nil: run as ourselves
}

const debianFolders = "/usr/lib/postgresql/*/bin"

// findInstall prefers the newest of Debian's folders to PATH: there, PATH has
// wrappers for the clients and no server.
func findInstall(folders string) (install, error) {
	in := install{}
	found, err := filepath.Glob(folders)
	if err != nil {
		return in, err
	}
	newest := -1
	for _, dir := range found {
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		if err == nil && version > newest && executable(filepath.Join(dir, "initdb")) && executable(filepath.Join(dir, "postgres")) {
			newest, in.bin = version, dir
		}
	}
	if in.bin == "" {
		path, err := exec.LookPath("initdb")
		if err != nil {
			return in, errors.New("no PostgreSQL server found in " + folders + " or PATH; install the package postgresql (apt-get install postgresql)")
		}
		// A folder of links in PATH is not where the server finds its libraries.
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return in, err
		}
		in.bin = filepath.Dir(path)
	}
	if os.Geteuid() != 0 {
		return in, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return in, fmt.Errorf("PostgreSQL does not run as root and there is no user postgres (the package postgresql makes it): %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return in, fmt.Errorf("uid of user postgres: %w", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return in, fmt.Errorf("gid of user postgres: %w", err)
	}
	in.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return in, nil
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// command prepares a program of the installation, or one in PATH. It runs in
// dir, because the server's user may not be able to enter our own working folder,
// and with an environment of its own, because PGDATA and friends would lead it astray.
func (in install) command(dir, program string, args ...string) *exec.Cmd {
	if own := filepath.Join(in.bin, program); executable(own) {
		program = own
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + in.bin + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + dir}
	// A process group of its own: an interrupt from the terminal is for us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: in.cred, Setpgid: true}
	return cmd
}

// give makes files the server user's.
func (in install) give(paths ...string) error {
	if in.cred == nil {
		return nil
	}
	for _, p := range paths {
		if err := os.Chown(p, int(in.cred.Uid), int(in.cred.Gid)); err != nil {
			return err
		}
	}
	return nil
}

// folder makes a temporary folder that the server's user owns and can reach.
func (in install) folder(pattern string) (string, error) {
	parent, err := in.reachable(os.TempDir(), "/tmp", "/var/tmp")
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(parent, pattern)
	if err != nil {
		return "", err
	}
	if err := errors.Join(os.Chmod(dir, 0o755), in.give(dir)); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// reachable gives the first folder that the server's user can enter from the
// root down. A TMPDIR below root's home, as some machines have, is not.
func (in install) reachable(candidates ...string) (string, error) {
	if in.cred == nil {
		return candidates[0], nil
	}
	for _, c := range candidates {
		path, err := filepath.EvalSymlinks(c)
		if err != nil {
			continue
		}
		if path, err = filepath.Abs(path); err == nil && openToAll(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("none of %q can be entered by user postgres", candidates)
}

func openToAll(path string) bool {
	for ; ; path = filepath.Dir(path) {
		st, err := os.Stat(path)
		if err != nil || !st.IsDir() || st.Mode()&0o001 == 0 {
			return false
		}
		if path == filepath.Dir(path) {
			return true
		}
	}
}
