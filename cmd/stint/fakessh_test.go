package main

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/api"
	"stint/internal/sshcert/krl"
)

// hostResource is a host that OpenSSH connects to. For the role writer its account is
// one that no program may be told.
const hostResource = "web1"

// certificate signs as a server does, with an authority of its own for users and hosts.
func (f *fake) certificate(who fakeLogin, hr *http.Request, body []byte) (any, error) {
	var ask api.CertificateAsk
	if err := json.Unmarshal(body, &ask); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r, err := f.find(hr.PathValue("id"))
	switch {
	case err != nil:
		return nil, err
	case r.Principal != who.principal:
		return nil, &api.Error{Kind: api.Denied, Code: "not-yours", Message: "a certificate is only for the holder of the grant"}
	case r.Grant == nil || r.Grant.State != api.GrantActive:
		return nil, &api.Error{Kind: api.Conflict, Code: "not-active", Message: "the grant is not active"}
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(ask.PublicKey))
	if err != nil {
		return nil, err
	}
	if err := f.makeAuthority(); err != nil {
		return nil, err
	}
	ends := r.Grant.ExpiresAt.Truncate(time.Second)
	cert := &ssh.Certificate{Key: key, Serial: uint64(len(f.seen)), CertType: ssh.UserCert, KeyId: "stint", ValidPrincipals: []string{"stint-x"},
		ValidAfter: uint64(time.Now().Add(-time.Minute).Unix()), ValidBefore: uint64(ends.Unix())}
	if err := cert.SignCert(rand.Reader, f.authority); err != nil {
		return nil, err
	}
	line := func(k ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k))) }
	account, address := cmp.Or(f.account, "deploy"), cmp.Or(f.address, "web1.example.com:2222")
	if r.Role == "hostile" {
		account = "-oProxyCommand=id"
	}
	return api.Certificate{Request: r.ID, Grant: r.Grant.ID, Certificate: line(cert), Serial: fmt.Sprint(cert.Serial), KeyID: "stint", Principals: cert.ValidPrincipals,
		Fingerprint: ssh.FingerprintSHA256(key), ValidAfter: api.At(time.Now()), ValidBefore: api.At(ends), ExpiresAt: r.Grant.ExpiresAt,
		Logins: []api.SSHLogin{{Resource: hostResource, Address: address, Account: account}},
		Hosts:  []api.SSHAuthority{{PublicKey: line(f.authority.PublicKey()), Fingerprint: ssh.FingerprintSHA256(f.authority.PublicKey()), Signs: true}}}, nil
}

// makeAuthority makes the one authority of users and hosts; f.mu is held.
func (f *fake) makeAuthority() error {
	if f.authority != nil {
		return nil
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err == nil {
		f.authority, err = ssh.NewSignerFromKey(private)
	}
	return err
}

// revokedCertificates is the list by which OpenSSH refuses certificates that ended early.
func (f *fake) revokedCertificates(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := krl.List{Version: 1, Generated: time.Now().UTC().Truncate(time.Second), Comment: "fake"}
	if len(f.revoked) > 0 && f.authority != nil {
		l.Authorities = []krl.Authority{{Key: f.authority.PublicKey().Marshal(), Serials: krl.Serials(f.revoked...)}}
	}
	text, err := krl.Marshal(l)
	if err != nil {
		answer(w, nil, err)
		return
	}
	if f.badList {
		text = text[:len(text)/2]
	}
	_, _ = w.Write(text) // a client that is gone
}

// authorities are the one of users and hosts.
func (f *fake) authorities(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.makeAuthority()
	out := api.SSHAuthorities{}
	if err == nil {
		public := f.authority.PublicKey()
		out.Hosts = []api.SSHAuthority{{PublicKey: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))), Fingerprint: ssh.FingerprintSHA256(public), Signs: true}}
		out.Users = out.Hosts
	}
	answer(w, out, err)
}
