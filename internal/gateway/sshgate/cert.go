package sshgate

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/gateway"
)

// Trust is what certificates of persons are checked with.
type Trust struct {
	// PlainKeys has the control plane asked about keys without a certificate, too. Anybody
	// has one: where it always refuses them, they are refused without asking it.
	PlainKeys bool
	// UserAuthorities sign certificates of persons. They are keys, never certificates.
	UserAuthorities []ssh.PublicKey
	// Revoked says whether a key or certificate is on the list of the revoked. It is
	// asked for the certificate, for its key and for the key that signed it. Required.
	Revoked func(ssh.PublicKey) bool
}

const (
	// longestCertificate is the longest validity of a certificate that is taken, whatever
	// it says: one without an end is a key with another name.
	longestCertificate = 24 * time.Hour
	longestOfHost      = 400 * 24 * time.Hour
	leastRSA           = 2048
	mostPrincipals     = 64

	forceCommand  = "force-command"
	sourceAddress = "source-address"
)

// checkKey says whether a plain key may be used at all.
func (t Trust) checkKey(key ssh.PublicKey) error {
	if _, is := key.(*ssh.Certificate); is {
		return errors.New("a certificate is no plain key")
	}
	if c, ok := key.(ssh.CryptoPublicKey); ok {
		if r, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && r.N.BitLen() < leastRSA {
			return fmt.Errorf("its key has %d bits; the fewest is %d", r.N.BitLen(), leastRSA)
		}
	}
	if t.Revoked(key) {
		return errors.New("its key is revoked")
	}
	return nil
}

// checkUser says whether a certificate is one by which a person may prove who they are.
// Which principals it must name is the permit's to say (checkPrincipal).
func (t Trust) checkUser(cert *ssh.Certificate, now time.Time) error {
	return t.check(cert, ssh.UserCert, t.UserAuthorities, []string{forceCommand, sourceAddress}, longestCertificate, now)
}

// checkPrincipal says whether the certificate names the principal that the permit asks
// for. No name stands for all.
func checkPrincipal(cert *ssh.Certificate, principal string) error {
	if principal == "" || !slices.Contains(cert.ValidPrincipals, principal) {
		return errors.New("the certificate is not for this grant")
	}
	return nil
}

// check says whether a certificate of a kind, with no options but these, is signed by
// one of the authorities, valid now, not revoked, and for somebody by name.
func (t Trust) check(cert *ssh.Certificate, kind uint32, authorities []ssh.PublicKey, options []string, longest time.Duration, now time.Time) error {
	if cert.CertType != kind {
		return fmt.Errorf("it is a certificate of type %d, not %d", cert.CertType, kind)
	}
	if err := t.checkKey(cert.Key); err != nil {
		return err
	}
	// An authority is one of the keys we know, to the byte. A certificate that signs is
	// none, and neither is a key that an authority signed (CVE-2025-49825).
	if _, is := cert.SignatureKey.(*ssh.Certificate); is {
		return errors.New("it is signed by a certificate, which is no authority")
	}
	if !known(cert.SignatureKey, authorities) {
		return errors.New("who signed it is not an authority here")
	}
	if cert.Signature == nil || !slices.Contains(signatures, cert.Signature.Format) {
		return errors.New("it is signed in a way that is not taken")
	}
	if t.Revoked(cert.SignatureKey) {
		return errors.New("the authority that signed it is revoked")
	}
	if t.Revoked(cert) {
		return errors.New("it is revoked")
	}
	if len(cert.ValidPrincipals) == 0 || len(cert.ValidPrincipals) > mostPrincipals {
		return fmt.Errorf("it names %d principals; one without any would be for everybody", len(cert.ValidPrincipals))
	}
	for _, p := range cert.ValidPrincipals {
		if p == "" || strings.ContainsAny(p, "*?! \t\r\n,") {
			return errors.New("one of its principals is a pattern or empty")
		}
	}
	from, to := int64(cert.ValidAfter), int64(cert.ValidBefore)
	if from <= 0 || to <= from || to-from > int64(longest/time.Second) {
		return fmt.Errorf("its validity is not bounded by %v", longest)
	}
	// What is left to the library are options, times and the signature. It would take an
	// empty list of principals for all.
	checker := ssh.CertChecker{SupportedCriticalOptions: options, Clock: func() time.Time { return now }}
	if err := checker.CheckCert(cert.ValidPrincipals[0], cert); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "ssh: "))
	}
	return nil
}

func known(key ssh.PublicKey, among []ssh.PublicKey) bool {
	text := key.Marshal()
	return slices.ContainsFunc(among, func(k ssh.PublicKey) bool {
		_, is := k.(*ssh.Certificate)
		return !is && bytes.Equal(k.Marshal(), text)
	})
}

// narrow is what of the rules a person's certificate leaves. Extensions give nothing
// that the rules do not; what they leave out is taken away.
func narrow(r gateway.Rules, cert *ssh.Certificate) gateway.Rules {
	if cert == nil {
		return r
	}
	has := func(extension string) bool { _, ok := cert.Extensions[extension]; return ok }
	if !has("permit-pty") {
		r.Pty = false
	}
	if !has("permit-port-forwarding") {
		r.Forward, r.Listen, r.Sockets, r.ListenSockets = nil, nil, nil, nil
	}
	r.Agent = r.Agent && has("permit-agent-forwarding")
	r.X11 = r.X11 && has("permit-X11-forwarding")
	if _, forced := cert.CriticalOptions[forceCommand]; forced {
		r.SFTP, r.Forward, r.Listen, r.Sockets, r.ListenSockets, r.Agent, r.X11 = gateway.NoFiles, nil, nil, nil, nil, false, false
	}
	return r
}

// hosts are the keys and authorities by which a permit tells its target.
type hosts struct {
	name        string
	keys        []ssh.PublicKey
	authorities []ssh.PublicKey
	trust       Trust
}

func parseHosts(t gateway.Target, trust Trust) (hosts, error) {
	h := hosts{name: t.Name, trust: trust}
	for _, list := range []struct {
		lines []string
		to    *[]ssh.PublicKey
	}{{t.HostKeys, &h.keys}, {t.HostAuthorities, &h.authorities}} {
		for _, line := range list.lines {
			key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
			if err != nil {
				return hosts{}, fmt.Errorf("reading a host key of the permit: %w", err)
			}
			if _, is := key.(*ssh.Certificate); is {
				return hosts{}, errors.New("a host key of the permit is a certificate")
			}
			*list.to = append(*list.to, key)
		}
	}
	if len(h.keys)+len(h.authorities) == 0 {
		return hosts{}, errors.New("the permit names no host key")
	}
	return h, nil
}

// algorithms are those by which the target may prove itself.
func (h hosts) algorithms() (as []string) {
	if len(h.authorities) > 0 {
		as = append(as, hostCertificates...)
	}
	for _, k := range h.keys {
		as = append(as, hostKeyAlgorithms(k.Type())...)
	}
	slices.Sort(as)
	return slices.Compact(as)
}

// verify says whether the key that a target proved is its own.
func (h hosts) verify(key ssh.PublicKey, now time.Time) error {
	cert, is := key.(*ssh.Certificate)
	if !is {
		if !known(key, h.keys) || h.trust.Revoked(key) {
			return errors.New("the target's host key is not the one that is known of it: " + ssh.FingerprintSHA256(key))
		}
		return nil
	}
	if err := h.trust.check(cert, ssh.HostCert, h.authorities, nil, longestOfHost, now); err != nil {
		return fmt.Errorf("the target's host certificate is not taken: %w", err)
	}
	if h.name == "" || !slices.Contains(cert.ValidPrincipals, h.name) {
		return fmt.Errorf("the target's host certificate is for %q, not for %q", cert.ValidPrincipals, h.name)
	}
	return nil
}
