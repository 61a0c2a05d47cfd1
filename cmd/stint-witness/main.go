// Command stint-witness remembers, on another host, how far audit logs had got: it
// signs a checkpoint only if that continues the one it signed before.
//
// It is small on purpose: one key, one state file, no database, and nothing that
// Stint's administrators can reach. It refuses to start where it could not keep
// its word: without its state, with a key that others can read, or in plain HTTP
// on an address that others can reach.
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/access"
	"stint/internal/audit"
	"stint/internal/program"
	"stint/internal/witness"
)

func main() {
	program.Begin(func(ctx context.Context) int { return Main(ctx, os.Args[1:], os.Stdout, os.Stderr) })
}

// Main is the whole program, for main and for tests.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return program.Main(ctx, command(stderr), args, nil, stdout, stderr)
}

const rootHelp = `stint-witness remembers, on another host, how far the audit log of a Stint had got.
It signs a checkpoint only if that continues the one it signed before, so that a log
which was cut back or written anew shows.

  stint-witness key       make its key, once; print the public one
  stint-witness serve     sign checkpoints
  stint-witness show      what it has signed
  stint-witness accept    take a log back to a checkpoint, after a restore that its
                          operators have told you of

Run it where those who administer Stint are not root. On the same host it would be
a copy, and prove nothing.

Exit codes
  0 done    1 failure    2 a setting is wrong or not safe`

// flags are the settings.
type flags struct {
	name, key, state, listen, cert, tlsKey, checkpoint string
	logs                                               []string
	fresh, proxied                                     bool
}

func command(stderr io.Writer) *cobra.Command {
	root := program.New("stint-witness", "Remember how far an audit log had got", rootHelp)
	var f flags
	key := &cobra.Command{Use: "key --name NAME --key-file FILE", Short: "Make the witness's key, and print the public one", Args: program.NoArgs,
		Long: "Make the witness's key, once, and print the public one, which goes into the configuration of\nstintd and to those who verify. The name is the witness's own, like its host's: it is part of\nwhat is signed for. If the file exists, the public key of it is printed again.",
		RunE: func(c *cobra.Command, _ []string) error { return f.makeKey(c.OutOrStdout()) }}
	key.Flags().StringVar(&f.name, "name", "", "the witness's name: one word, like witness1.example.org")
	serve := &cobra.Command{Use: "serve", Short: "Sign checkpoints until SIGTERM", Args: program.NoArgs,
		Long:    "Sign checkpoints of the logs that are named, until SIGTERM or an interrupt.\n\nThe protocol is C2SP tlog-witness: POST /add-checkpoint. Beyond it, GET\n/logs/SHA256(ORIGIN)/checkpoint shows what was signed last.",
		Example: "  stint-witness serve --key-file witness.key --state witness.json --new \\\n      --log stint.pub --listen 0.0.0.0:7430 --tls-cert cert.pem --tls-key key.pem",
		RunE:    func(c *cobra.Command, _ []string) error { return f.serve(c.Context(), stderr) }}
	serve.Flags().StringVar(&f.listen, "listen", "127.0.0.1:7430", "address to listen on")
	serve.Flags().StringVar(&f.cert, "tls-cert", "", "certificate with its chain, PEM")
	serve.Flags().StringVar(&f.tlsKey, "tls-key", "", "key of the certificate, PEM")
	serve.Flags().BoolVar(&f.proxied, "behind-proxy", false, "plain HTTP on any address: something in front speaks TLS")
	serve.Flags().BoolVar(&f.fresh, "new", false, "begin with an empty state if the file is missing: the key has signed nothing yet")
	show := &cobra.Command{Use: "show", Short: "Print what was signed last, and what was given up by hand", Args: program.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.show(c.OutOrStdout()) }}
	accept := &cobra.Command{Use: "accept --checkpoint FILE", Short: "Take a log back, after a restore", Args: program.NoArgs,
		Long: "Take a log back to a checkpoint that does not continue what was signed. Do this only after the\noperators of Stint have told you, over another way, that its data was restored, and what was\nlost. The checkpoint is that of stint audit checkpoint; stop the witness first. What was\nsigned before stays in the state file.",
		RunE: func(c *cobra.Command, _ []string) error { return f.accept(c.OutOrStdout()) }}
	accept.Flags().StringVar(&f.checkpoint, "checkpoint", "", "the file with the log's new checkpoint")
	for _, c := range []*cobra.Command{key, serve, show, accept} {
		c.Flags().StringVar(&f.key, "key-file", "witness.key", "the witness's key")
		c.Flags().SortFlags = false
	}
	for _, c := range []*cobra.Command{serve, show, accept} {
		c.Flags().StringVar(&f.state, "state", "witness.json", "the state file: all that the witness remembers")
		c.Flags().StringArrayVar(&f.logs, "log", nil, "a file with the public key of a log; may be repeated")
	}
	root.AddCommand(key, serve, show, accept)
	return root
}

// keyPrefix begins the line of the key file: name, then the seed.
const keyPrefix = "stint-witness-key-1"

func (f flags) makeKey(out io.Writer) error {
	if f.name == "" {
		return program.Wrong("--name is missing: what the witness is called")
	}
	if _, err := os.Stat(f.key); errors.Is(err, os.ErrNotExist) {
		seed := make([]byte, ed25519.SeedSize)
		defer clear(seed)
		_, _ = rand.Read(seed) // never fails
		if _, err := audit.NewCosigner(f.name, ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)); err != nil {
			return err
		}
		file, err := os.OpenFile(f.key, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return unusable("the key cannot be written", err.Error(), "check --key-file")
		}
		_, err = fmt.Fprintf(file, "%s %s %s\n", keyPrefix, f.name, base64.StdEncoding.EncodeToString(seed))
		if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
			return errors.Join(unusable("the key cannot be written", err.Error(), "check --key-file"), os.Remove(f.key))
		}
	}
	name, key, err := readKey(f.key)
	if err != nil {
		return err
	}
	if name != f.name {
		return unusable("the key file is of another witness", f.key+" is of "+name, "choose another --key-file, or the name "+name)
	}
	c, err := audit.NewCosigner(name, key.Public().(ed25519.PublicKey))
	if err == nil {
		_, err = fmt.Fprintln(out, c)
	}
	return err
}

func readKey(path string) (name string, key ed25519.PrivateKey, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", nil, unusable("the key of the witness cannot be read", err.Error(), "make one with: stint-witness key --name NAME --key-file "+path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", nil, unusable("others can read the key of the witness", path+" has mode "+info.Mode().Perm().String(), "chmod 600 "+path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", nil, unusable("the key of the witness cannot be read", err.Error(), "check --key-file")
	}
	defer clear(text)
	parts := strings.Fields(string(text))
	if len(parts) == 3 && parts[0] == keyPrefix {
		if seed, err := base64.StdEncoding.Strict().DecodeString(parts[2]); err == nil && len(seed) == ed25519.SeedSize {
			return parts[1], ed25519.NewKeyFromSeed(seed), nil
		}
	}
	return "", nil, unusable("the key file of the witness is not one", path, "bring it back from where you keep it")
}

func unusable(what, why, next string) error {
	return access.Fail(access.Invalid, "unusable", what).Because(why).Try(next)
}

func (f flags) open(log *slog.Logger) (*witness.Witness, error) {
	name, key, err := readKey(f.key)
	if err != nil {
		return nil, err
	}
	c := witness.Config{Name: name, Key: key, State: f.state, New: f.fresh, Log: log}
	if len(f.logs) == 0 {
		return nil, program.Wrong("--log is missing: a file with the public key of a log")
	}
	for _, path := range f.logs {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, unusable("the key of a log cannot be read", err.Error(), "check --log")
		}
		c.Logs = append(c.Logs, string(text))
	}
	return witness.New(c)
}

func (f flags) serve(ctx context.Context, stderr io.Writer) (err error) {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	var secure *tls.Config
	switch {
	case (f.cert == "") != (f.tlsKey == ""):
		return unusable("TLS needs both a certificate and a key", "--tls-cert or --tls-key is missing", "set both")
	case f.cert != "":
		pair, err := tls.LoadX509KeyPair(f.cert, f.tlsKey)
		if err != nil {
			return unusable("the TLS certificate and key cannot be used", err.Error(), "check --tls-cert and --tls-key")
		}
		secure = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	case !f.proxied && !loopback(f.listen):
		return unusable("plain HTTP on an address that others can reach", f.listen+": somebody on the way could show what the witness said long ago", "set --tls-cert and --tls-key, or --behind-proxy if something in front speaks TLS")
	}
	w, err := f.open(log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	ln, err := net.Listen("tcp", f.listen)
	if err != nil {
		return unusable("cannot listen on "+f.listen, err.Error(), "stop what listens there, or choose another --listen")
	}
	addr := ln.Addr()
	ln = &fewer{Listener: ln, free: make(chan struct{}, witness.MaxConnections)}
	if secure != nil {
		ln = tls.NewListener(ln, secure)
	}
	srv := w.Server()
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	log.Info("serving", "listen", addr.String(), "key", w.Key(), "version", program.Version())
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(finish); err != nil {
		return err
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	log.Info("stopped")
	return nil
}

func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return host == "localhost"
}

// fewer is a listener that accepts no more than so many at a time.
type fewer struct {
	net.Listener
	free chan struct{}
}

func (l *fewer) Accept() (net.Conn, error) {
	l.free <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &counted{Conn: c, free: l.free}, nil
}

type counted struct {
	net.Conn
	free chan struct{}
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { <-c.free })
	return c.Conn.Close()
}

func (f flags) show(out io.Writer) (err error) {
	w, err := f.open(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	_, err = fmt.Fprintf(out, "key %s\n", w.Key())
	for _, s := range w.Show() {
		_, e := fmt.Fprintf(out, "\nlog %s\n%s", s.Origin, s.Checkpoint)
		err = errors.Join(err, e)
		for _, old := range s.Abandoned {
			_, e := fmt.Fprintf(out, "\ngiven up of log %s\n%s", s.Origin, old)
			err = errors.Join(err, e)
		}
	}
	return err
}

func (f flags) accept(out io.Writer) (err error) {
	text, err := os.ReadFile(f.checkpoint)
	if err != nil {
		return unusable("the checkpoint cannot be read", err.Error(), "get it with: stint audit checkpoint > FILE")
	}
	w, err := f.open(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	from, to, err := w.Accept(string(text))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "log %s: from %d records, root %s\n  to %d records, root %s\nwhat was signed before stays in %s\n",
		to.Origin, from.Size, from.Root, to.Size, to.Root, f.state)
	return err
}
