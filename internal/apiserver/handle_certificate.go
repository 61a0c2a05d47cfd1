package apiserver

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/sshcert"
	"stint/internal/sshcert/krl"
)

// Authorities sign SSH certificates. The broker decides, they sign; here the two meet.
type Authorities struct{ Users, Hosts *sshcert.Authority }

type certificateIn struct {
	ByID
	Body api.CertificateAsk
}

// certificate gives the holder of a grant a certificate for a key of theirs. It is
// built and checked, then written down, then signed.
func (s *Server) certificate(ctx context.Context, c call, in *certificateIn) (*reply[api.Certificate], error) {
	ca := s.ssh.Users
	if ca == nil || s.ssh.Hosts == nil {
		return nil, noAuthority()
	}
	if err := s.certs.take(string(c.Principal.ID)); err != nil {
		return nil, err
	}
	if err := ca.Ready(); err != nil { // before anything is written down
		return nil, err
	}
	key, err := sshcert.ParseKey(in.Body.PublicKey)
	if err != nil {
		return nil, badKey(err)
	}
	var draft sshcert.Draft
	through, none := s.wayIn(ctx)
	o, err := s.broker.Certify(ctx, c.asked(nil), in.ID, broker.CertificateAsk{Fingerprint: key.Fingerprint(), Authority: ca.Keys()[0].Fingerprint(),
		Prepare: func(o broker.CertificateOrder) (err error) {
			if o.Gateway && none != nil {
				return none
			}
			draft, err = prepare(ca, key, o)
			return err
		}})
	if err != nil {
		return nil, err
	}
	cert, err := draft.Sign(rand.Reader)
	if err != nil { // it is in the log and was never made: as if it had been lost on the way
		return nil, notSigned(err)
	}
	out := api.Certificate{Request: string(o.Held.Request), Grant: string(o.Held.ID), Certificate: cert.Line(), Serial: o.Serial.String(), KeyID: o.KeyID, Principals: o.Principals,
		Fingerprint: o.Fingerprint, ValidAfter: api.At(o.NotBefore), ValidBefore: api.At(o.NotAfter), ExpiresAt: api.At(o.Held.ExpiresAt), Logins: []api.SSHLogin{}, Hosts: toAuthorities(s.ssh.Hosts)}
	for _, l := range o.Logins {
		if o.Gateway { // which finds the host by its name
			l.Address, l.Account = through, l.Account+"@"+string(l.Resource)
		}
		out.Logins = append(out.Logins, api.SSHLogin{Resource: string(l.Resource), Address: l.Address, Account: l.Account})
	}
	return answer(out), nil
}

// wayIn is the address of a gateway: of one that is heard of, if any is.
func (s *Server) wayIn(ctx context.Context) (address string, err error) {
	none := access.Fail(access.Unavailable, "no-gateway", "the role's sessions go through a gateway, and none is enrolled that carries ssh").
		Try("an administrator enrols one: stint admin gateway enroll NAME --address HOST:PORT")
	if s.hosts.Register == nil {
		return "", none
	}
	if w := s.way.Load(); w != nil && s.now().Sub(w.at) < wayFor {
		return w.address, nil
	}
	all, err := s.hosts.Register.Gateways(ctx)
	if err != nil {
		return "", err
	}
	best := access.Host{}
	for _, h := range all {
		if h.Enrolled() && h.MayCarry(access.SSH) && h.Address != "" && (best.Name == "" || h.SeenAt.After(best.SeenAt)) {
			best = h
		}
	}
	if best.Name == "" {
		return "", none
	}
	s.way.Store(&way{best.Address, s.now()})
	return best.Address, nil
}

// way is where the gateway is that was found last.
type way struct {
	address string
	at      time.Time
}

// wayFor is how long that is good: certificates are asked for often.
const wayFor = 2 * time.Second

// HostCertificate is what a host gets of its key.
type HostCertificate struct {
	Certificate string // one line
	Serial      access.Serial
	NotAfter    time.Time
}

// CertifyHost has a certificate made by which clients know a host, for the names they
// call it by. Whoever calls has seen that the key is the host's own.
func (s *Server) CertifyHost(ctx context.Context, actor access.Actor, resource access.ResourceName, names []string, publicKey string) (HostCertificate, error) {
	ca := s.ssh.Hosts
	if ca == nil {
		return HostCertificate{}, noAuthority()
	}
	key, err := sshcert.ParseKey(publicKey)
	if err != nil {
		return HostCertificate{}, badKey(err)
	}
	if err := ca.Ready(); err != nil {
		return HostCertificate{}, err
	}
	var draft sshcert.Draft
	o, err := s.broker.CertifyHost(ctx, actor, resource, names, broker.CertificateAsk{Fingerprint: key.Fingerprint(), Authority: ca.Keys()[0].Fingerprint(),
		Prepare: func(o broker.CertificateOrder) (err error) { draft, err = prepare(ca, key, o); return err }})
	if err != nil {
		return HostCertificate{}, err
	}
	cert, err := draft.Sign(rand.Reader)
	if err != nil {
		return HostCertificate{}, notSigned(err)
	}
	return HostCertificate{cert.Line(), o.Serial, o.NotAfter}, nil
}

// permitted are the permits of what a role lets sessions forward.
var permitted = map[string]sshcert.Permit{"ports": sshcert.PortForwarding, "agent": sshcert.AgentForwarding, "x11": sshcert.X11Forwarding}

// prepare builds and checks what the broker decided.
func prepare(ca *sshcert.Authority, key sshcert.Key, o broker.CertificateOrder) (sshcert.Draft, error) {
	spec := sshcert.Spec{Key: key, Serial: uint64(o.Serial), KeyID: o.KeyID, Principals: o.Principals, NotBefore: o.NotBefore.Truncate(time.Second), NotAfter: o.NotAfter,
		ForceCommand: o.ForceCommand, Sources: o.Sources}
	if o.Kind == access.UserCertificate {
		spec.Permits = []sshcert.Permit{sshcert.PTY}
		for _, f := range o.Forwarding {
			p, ok := permitted[f]
			if !ok {
				return sshcert.Draft{}, access.Fail(access.Internal, "bad-option", "the role lets sessions forward something that is not known")
			}
			spec.Permits = append(spec.Permits, p)
		}
	}
	d, err := ca.Prepare(spec, rand.Reader)
	if err != nil {
		return d, access.Fail(access.Internal, "not-certified", "the certificate would not be right, so it is not made").Because(err.Error()).
			Try("an owner of the resource looks at the role, and at the names of the host")
	}
	return d, nil
}

// notSigned is why there is no signature: what holds the key may have said it in words.
func notSigned(err error) error {
	var said *access.Error
	if errors.As(err, &said) {
		return said
	}
	return access.Fail(access.Internal, "not-signed", "the certificate could not be signed").Try("an administrator looks into the server's log").Wrap(err)
}

func noAuthority() error {
	return access.Fail(access.NotFound, "no-authority", "this server makes no SSH certificates").Try("an administrator looks at how it was started")
}

func badKey(err error) error {
	return access.Fail(access.Invalid, "bad-public-key", "the public key cannot be certified").Because(err.Error()).
		Try("use an Ed25519 key: ssh-keygen -t ed25519")
}

func (s *Server) showAuthorities(context.Context, call, *empty) (*reply[api.SSHAuthorities], error) {
	if s.ssh.Users == nil || s.ssh.Hosts == nil {
		return nil, noAuthority()
	}
	return answer(api.SSHAuthorities{Users: toAuthorities(s.ssh.Users), Hosts: toAuthorities(s.ssh.Hosts), KnownHosts: s.ssh.Hosts.KnownHosts("*")}), nil
}

func toAuthorities(a *sshcert.Authority) []api.SSHAuthority {
	out := []api.SSHAuthority{}
	for i, k := range a.Keys() {
		out = append(out, api.SSHAuthority{PublicKey: k.Line(), Fingerprint: k.Fingerprint(), Signs: i == 0})
	}
	return out
}

// revocations is the list that was made last. Whoever asks often gets the same for a
// second, so that strangers cannot make the store work.
type revocations struct {
	last atomic.Pointer[revokedList]
}

type revokedList struct {
	made time.Time // by our clock
	body []byte
}

const revokedFor = time.Second

func (s *Server) showRevoked(ctx context.Context, _ call, _ *empty) (*document, error) {
	if s.ssh.Users == nil || s.ssh.Hosts == nil {
		return nil, noAuthority()
	}
	body, err := s.revokedList(ctx)
	if err != nil {
		return nil, err
	}
	return &document{ContentType: "application/octet-stream", Body: body}, nil
}

// revokedList is the list, at most a second old.
func (s *Server) revokedList(ctx context.Context) ([]byte, error) {
	if l := s.krl.last.Load(); l != nil && s.now().Sub(l.made) < revokedFor {
		return l.body, nil
	}
	asked := s.now() // before the store is read: the list is no older than this says
	cs, at, err := s.broker.RevokedCertificates(ctx)
	if err != nil {
		return nil, err
	}
	body, err := s.revoked(cs, at)
	if err != nil {
		return nil, err
	}
	s.krl.last.Store(&revokedList{made: asked, body: body})
	return body, nil
}

// revoked is the list as hosts read it. One by a key that is no authority's any more is
// named under all that are: serials are of one series, so that this takes nothing away
// from anybody else.
func (s *Server) revoked(cs []access.Certificate, at time.Time) ([]byte, error) {
	l := krl.List{Version: uint64(at.UnixMilli()), Generated: at.UTC().Truncate(time.Second), Comment: "stint"}
	for _, ca := range []*sshcert.Authority{s.ssh.Users, s.ssh.Hosts} {
		kind := access.UserCertificate
		if ca.Kind() == sshcert.Host {
			kind = access.HostCertificate
		}
		keys := ca.Keys()
		known := func(fingerprint string) bool {
			return slices.ContainsFunc(keys, func(k sshcert.Key) bool { return k.Fingerprint() == fingerprint })
		}
		for _, k := range keys {
			a := krl.Authority{Key: k.Blob()}
			var serials []uint64
			for _, c := range cs {
				if c.Kind == kind && (c.Authority == k.Fingerprint() || !known(c.Authority)) {
					serials = append(serials, uint64(c.Serial))
				}
			}
			if a.Serials = krl.Serials(serials...); len(a.Serials) > 0 {
				l.Authorities = append(l.Authorities, a)
			}
		}
	}
	b, err := krl.Marshal(l)
	if err != nil {
		return nil, access.Fail(access.Internal, "no-krl", "the list of certificates that ended early could not be written").Wrap(err)
	}
	return b, nil
}
