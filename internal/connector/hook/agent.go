package hook

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"stint/internal/access"
	"stint/internal/connector"
)

// proveKey has the hook log in with a key that it never has: for as long as the step takes an
// agent of SSH, on a socket that nobody else reaches, signs for it. It signs the log-in of the
// one account, and nothing else; and a log-in for which it did not sign is not believed.
func (c *Connector) proveKey(ctx context.Context, t connector.Target, account string, s access.Secret) (bool, error) {
	k, err := keyOf(s)
	if err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "stint-") // for its owner alone
	if err != nil {
		return false, &callError{"there is no place for the socket of an agent", err}
	}
	defer os.RemoveAll(dir)
	at := filepath.Join(dir, "agent")
	l, err := net.Listen("unix", at)
	if err != nil {
		return false, &callError{"there is no place for the socket of an agent", err}
	}
	one := &signing{account: account, signer: k.signer}
	end := serve(l, one)
	a, err := c.call(ctx, t, question{Do: doProve, Account: account, Public: k.public, Agent: at})
	end()
	switch {
	case err != nil:
		return false, err
	case *a.Opens && !one.signed():
		return false, &callError{"the hook says that a key opens the account, and has not used it", nil}
	}
	return *a.Opens, nil
}

// near refuses a hook that is elsewhere where there is a private key to prove: no agent
// reaches it, and no key is sent.
func (c *Connector) near(t connector.Target) error {
	if !private(t) {
		return nil
	}
	path, err := c.program(t.Connection.Options["hook"])
	if err == nil && strings.HasSuffix(path, httpsSuffix) {
		return refuse("keys and certificates are not proven by a hook that is asked over HTTPS", "use a program in the folder of hooks: no private key leaves this host then")
	}
	return err
}

// serve answers on a socket until it is told to end; then nothing of it is left.
func serve(l net.Listener, a agent.Agent) (end func()) {
	var all sync.WaitGroup
	var mu sync.Mutex
	open, over := map[net.Conn]bool{}, false
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			if over || len(open) >= atOnce {
				mu.Unlock()
				_ = c.Close()
				continue
			}
			open[c] = true
			mu.Unlock()
			all.Go(func() {
				_ = agent.ServeAgent(a, c)
				_ = c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	return func() {
		_ = l.Close()
		mu.Lock()
		over = true
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	}
}

// signing is an agent with one key, for one account.
type signing struct {
	account string
	signer  ssh.Signer

	mu   sync.Mutex
	used bool
}

var errNotOurs = errors.New("this agent signs the log-in of one account, and nothing else")

func (a *signing) signed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used
}

// List lists the one key.
func (a *signing) List() ([]*agent.Key, error) {
	p := a.signer.PublicKey()
	return []*agent.Key{{Format: p.Type(), Blob: p.Marshal()}}, nil
}

// Sign signs a log-in.
func (a *signing) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	return a.SignWithFlags(key, data, 0)
}

// SignWithFlags signs a log-in by public key (RFC 4252, section 7) of the account.
func (a *signing) SignWithFlags(key ssh.PublicKey, data []byte, flags agent.SignatureFlags) (*ssh.Signature, error) {
	own := a.signer.PublicKey()
	login, err := readLogin(data)
	if err != nil || login.User != a.account || login.Service != "ssh-connection" || !login.Signed || string(login.Key) != string(own.Marshal()) || string(key.Marshal()) != string(own.Marshal()) ||
		login.Method != "publickey" && login.Method != "publickey-hostbound-v00@openssh.com" {
		return nil, errNotOurs
	}
	algorithm := ""
	switch {
	case flags&agent.SignatureFlagRsaSha512 != 0:
		algorithm = ssh.KeyAlgoRSASHA512
	case flags&agent.SignatureFlagRsaSha256 != 0:
		algorithm = ssh.KeyAlgoRSASHA256
	}
	var sig *ssh.Signature
	if by, ok := a.signer.(ssh.AlgorithmSigner); ok && algorithm != "" && own.Type() == ssh.KeyAlgoRSA {
		sig, err = by.SignWithAlgorithm(rand.Reader, data, algorithm)
	} else {
		sig, err = a.signer.Sign(rand.Reader, data)
	}
	if err == nil {
		a.mu.Lock()
		a.used = true
		a.mu.Unlock()
	}
	return sig, err
}

// loginRequest is what a client of SSH signs: the session, and who it wants to be there.
type loginRequest struct {
	User    string `sshtype:"50"`
	Service string
	Method  string
	Signed  bool
	Algo    string
	Key     []byte
	Rest    []byte `ssh:"rest"` // of hostbound ones: the host's key
}

func readLogin(data []byte) (m loginRequest, err error) {
	var s struct {
		Session []byte
		Rest    []byte `ssh:"rest"`
	}
	if err = ssh.Unmarshal(data, &s); err == nil {
		err = ssh.Unmarshal(s.Rest, &m)
	}
	return m, err
}

func (a *signing) Add(agent.AddedKey) error       { return errNotOurs }
func (a *signing) Remove(ssh.PublicKey) error     { return errNotOurs }
func (a *signing) RemoveAll() error               { return errNotOurs }
func (a *signing) Lock([]byte) error              { return errNotOurs }
func (a *signing) Unlock([]byte) error            { return errNotOurs }
func (a *signing) Signers() ([]ssh.Signer, error) { return nil, errNotOurs }
func (a *signing) Extension(string, []byte) ([]byte, error) {
	return nil, agent.ErrExtensionUnsupported
}

var _ agent.ExtendedAgent = (*signing)(nil)
