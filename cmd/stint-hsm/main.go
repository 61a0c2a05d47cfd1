// Command stint-hsm is the one program that has a vendor's PKCS#11 library in its
// memory. stintd starts it, tells it the PIN, and has keys made and certificates signed
// by the token; a crash of the library ends this program, and nothing else.
//
// It decides nothing, listens nowhere and keeps nothing. What it cannot do is destroy a
// key, read one out, or use one that the token does not vouch for.
//
// Invariants:
//
//  1. Only a library that root alone can exchange is loaded.
//  2. The PIN comes over standard input, or from a file that only its owner reads, and
//     goes to the token and nowhere else; what the library prints goes nowhere at all.
//  3. It ends when its standard input does, also while the library hangs.
//  4. Without a C compiler it builds, and says that it has no PKCS#11.
package main

import (
	"context"
	"io"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"stint/internal/hsm/wire"
	"stint/internal/program"
)

func main() {
	program.Begin(func(ctx context.Context) int { return Main(ctx, os.Args[1:], os.Stdout, os.Stderr) })
}

const rootHelp = `stint-hsm speaks to a PKCS#11 token for stintd, which starts it by itself: with
pkcs11 in its configuration (docs/operations/pkcs11.md).

  stint-hsm check     look at a module and a token as stintd would, and say what is there
  stint-hsm version   print the version, and whether PKCS#11 is built in`

const checkHelp = `Look at a module and a token as stintd would, and say what is there: whether the module
is safe from others, which token it is, how it signs, and which keys it has, each of which
signs once. It makes nothing and removes nothing. A PIN that is wrong counts as one try.

Exit codes
  0 all is well    1 something is not    2 usage`

// Main is the whole program, for main and for tests.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := program.New("stint-hsm", "A PKCS#11 token, for stintd", rootHelp)
	root.Version += ", " + builtWith
	serve := &cobra.Command{Use: "serve", Short: "Answer stintd, on standard input and output", Hidden: true, Args: program.NoArgs,
		RunE: func(*cobra.Command, []string) error { return alone() }}
	var look examination
	check := &cobra.Command{Use: "check --module FILE --token LABEL --pin-file FILE", Short: "Say what a token has", Long: checkHelp, Args: program.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return look.run(c.OutOrStdout()) }}
	check.Flags().StringVar(&look.module, "module", "", "the vendor's PKCS#11 library, with its full path")
	check.Flags().StringVar(&look.token, "token", "", "the label of the token")
	check.Flags().StringVar(&look.pinFile, "pin-file", "", "a file with the PIN, readable by its owner only")
	check.Flags().StringVar(&look.label, "key-label", "stint-", "what labels of keys begin with")
	root.AddCommand(serve, check)
	return program.Main(ctx, root, args, nil, stdout, stderr)
}

// alone answers over descriptors that the library does not know: what it prints would
// otherwise be read as answers, and what it reads would be lost.
func alone() error {
	if err := shield(); err != nil {
		return err
	}
	in, out, err := hide()
	if err != nil {
		return err
	}
	return serve(in, out, open, os.Exit)
}

// hide moves standard input and output elsewhere, and puts /dev/null in their place, and in
// that of standard error.
func hide() (in, out *os.File, err error) {
	var fds [2]int
	for i := range fds {
		if fds[i], err = syscall.Dup(i); err != nil {
			return nil, nil, err
		}
		syscall.CloseOnExec(fds[i])
	}
	nothing, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	for i := range 3 {
		if err := over(int(nothing.Fd()), i); err != nil {
			return nil, nil, err
		}
	}
	return os.NewFile(uintptr(fds[0]), "questions"), os.NewFile(uintptr(fds[1]), "answers"), nothing.Close()
}

// token is what an open token does. Its methods are called one at a time, on one thread.
// Errors are *wire.Failure.
type token interface {
	Keys(prefix string) ([]wire.Key, error)
	Generate(label string, alg wire.Algorithm) (wire.Key, error)
	Sign(k wire.Key, message []byte) ([]byte, error)
	// GenerateSecret makes a key that encrypts and decrypts, and is not given away.
	GenerateSecret(label string) error
	Encrypt(label string, about, plaintext []byte) ([]byte, error)
	Decrypt(label string, about, ciphertext []byte) ([]byte, error)
	// About is what it is, for people.
	About() []string
}
