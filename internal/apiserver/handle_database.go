package apiserver

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"strconv"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/envelope"
)

// fingerprintOf names a key as the log does.
func fingerprintOf(key []byte) string {
	sum := sha256.Sum256(key)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// doorKey reads the key that a program will show to gateways: DER, in the one form that it has.
func doorKey(der []byte) error {
	bad := func(why string) error {
		return access.Fail(access.Invalid, "bad-public-key", "the key cannot open sessions through gateways").Because(why).Try("use an Ed25519 key, or one of ECDSA on P-256")
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return bad("it is no public key in DER")
	}
	switch k := key.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return bad("it is on another curve")
		}
	default:
		return bad("it is of another kind")
	}
	if again, err := x509.MarshalPKIXPublicKey(key); err != nil || !bytes.Equal(again, der) {
		return bad("it is not in the one form of its kind")
	}
	return nil
}

// registerDatabaseKey has a key of a grant's holder open sessions through gateways.
func (s *Server) registerDatabaseKey(ctx context.Context, c call, in *struct {
	ByID
	Body api.DoorKeyAsk
}) (*reply[api.DatabaseKey], error) {
	if err := s.certs.take(string(c.Principal.ID)); err != nil {
		return nil, err
	}
	if err := doorKey(in.Body.PublicKey); err != nil {
		return nil, err
	}
	address, door, none := s.doorFor(ctx, access.Postgres)
	o, err := s.broker.RegisterKey(ctx, c.asked(nil), in.ID, broker.KeyAsk{Protocol: access.Postgres, Fingerprint: fingerprintOf(in.Body.PublicKey), Prepare: func(broker.CertificateOrder) error { return none }})
	if err != nil {
		return nil, err
	}
	out := api.DatabaseKey{Request: string(o.Held.Request), Grant: string(o.Held.ID), Serial: o.Serial.String(), Fingerprint: o.Fingerprint, ValidBefore: api.At(o.NotAfter), ExpiresAt: api.At(o.Held.ExpiresAt),
		Gateway: address, Certificate: door.Certificate, Logins: []api.DatabaseLogin{}}
	for _, l := range o.Logins {
		out.Logins = append(out.Logins, api.DatabaseLogin{Resource: string(l.Resource), Database: l.Database})
	}
	return answer(out), nil
}

// doorFor is where a gateway takes connections of a protocol, of those that may.
func (s *Server) doorFor(ctx context.Context, p access.Protocol) (address string, door access.Door, err error) {
	how := map[access.Protocol]string{access.Postgres: "--postgres :6432", access.HTTP: "--http :8443 --http-domain apps.example", access.TCP: "--tcp :8444 --http-domain apps.example"}[p]
	none := access.Fail(access.Unavailable, "no-gateway", "the role's sessions go through a gateway, and none takes connections for "+string(p)).
		Try("an administrator starts one with it: stint-gateway run " + how + ", and says that it carries it: stint admin gateway carry")
	if s.hosts.Register == nil {
		return "", door, none
	}
	all, err := s.hosts.Register.Gateways(ctx)
	if err != nil {
		return "", door, err
	}
	best := access.Host{}
	for _, h := range all {
		if d, has := h.Door(p); has && h.Enrolled() && h.Address != "" && (best.Name == "" || s.sooner(h, best, d, door)) {
			best, door = h, d
		}
	}
	if best.Name == "" {
		return "", door, none
	}
	host, _, err := net.SplitHostPort(best.Address)
	return net.JoinHostPort(host, strconv.Itoa(int(door.Port))), door, err
}

// sooner reports whether clients are sent to a's door and not to b's: to one that is heard
// of, and of several to the one that was there first, so that a newer one draws nobody away.
func (s *Server) sooner(a, b access.Host, at, bt access.Door) bool {
	heard := func(h access.Host) bool { return s.now().Sub(h.SeenAt) <= gatewaySilent }
	switch {
	case heard(a) != heard(b):
		return heard(a)
	case !heard(a) && !a.SeenAt.Equal(b.SeenAt):
		return a.SeenAt.After(b.SeenAt)
	}
	return at.Since.Before(bt.Since)
}

// openDatabaseSession takes the gateway's word for who proved a key, and not for whose key
// it is: the serial of the certificate that the key came in finds the row that says so.
func (s *Server) openDatabaseSession(ctx context.Context, c call, b api.SessionKnock) (*reply[api.SessionPermit], error) {
	knock, err := keyKnock(c, b, "connect with stint db or stint proxy, which get a new one")
	if err != nil {
		return nil, err
	}
	p, err := s.broker.BeginSession(ctx, knock)
	if err != nil {
		return nil, err
	}
	target, err := databaseTarget(p)
	if err != nil {
		return nil, err
	}
	return s.permit(c, b.Nonce, api.SessionPermit{Session: string(p.ID), Grant: string(p.Grant), Person: string(p.Person), Resource: string(p.Resource), End: api.At(p.OverAt),
		RemainingMillis: p.Remaining.Milliseconds(), Keep: p.Keeps, Strict: p.Strict, Principal: p.Principal, Target: target,
		Rules: api.SessionRules{Env: []string{}, Commands: []api.CommandRule{}, Forward: []string{}}, Limits: limitsOf(p.Options)})
}

// keyKnock is the knock of a program whose key proved itself, in a certificate that it made by
// itself: its serial says which row it is.
func keyKnock(c call, b api.SessionKnock, again string) (k broker.Knock, err error) {
	source, err := sourceOf(b)
	if err != nil {
		return k, err
	}
	cert, err := x509.ParseCertificate(b.Certificate)
	if err != nil {
		return k, access.Fail(access.Denied, "bad-certificate", "the certificate is not taken").Because("it is none that can be read").Try(again)
	}
	if !bytes.Equal(cert.RawSubjectPublicKeyInfo, b.Key) {
		return k, badKnock("the certificate is for another key than the one that proved itself")
	}
	if !cert.SerialNumber.IsInt64() || cert.SerialNumber.Sign() <= 0 {
		return k, access.Fail(access.Denied, "bad-certificate", "the certificate is not taken").Because("its serial number is none of this installation's").Try(again)
	}
	return broker.Knock{Gateway: c.gateway, Protocol: access.Protocol(b.Protocol), Serial: access.Serial(cert.SerialNumber.Int64()), Key: fingerprintOf(b.Key), Resource: access.ResourceName(b.Resource), Source: source}, nil
}

// sourceOf is where whoever knocks comes from, as the gateway says.
func sourceOf(b api.SessionKnock) (netip.AddrPort, error) {
	source, err := netip.ParseAddrPort(b.Source)
	if err != nil || !source.Addr().IsValid() {
		return source, badKnock("the source is no address and port")
	}
	return netip.AddrPortFrom(source.Addr().Unmap(), source.Port()), nil
}

// systemAuthorities stands for the certificate authorities of the gateway's machine.
const systemAuthorities = "system"

// databaseTarget says how a gateway knows the server of a session: as its resource says that
// Stint itself knows it.
func databaseTarget(p broker.Permit) (api.SessionTarget, error) {
	host, _, err := net.SplitHostPort(p.Address)
	if err != nil {
		return api.SessionTarget{}, access.Fail(access.Internal, "bad-address", "the resource has no address").Wrap(err)
	}
	o := p.Target.Connection.Options
	out := api.SessionTarget{Address: p.Address, Name: host, Account: p.Account, Database: o["database"], HostKeys: []string{}, HostAuthorities: []string{systemAuthorities}}
	if o["ca"] != "" {
		out.HostAuthorities = []string{o["ca"]}
	}
	switch o["sslmode"] {
	case "disable":
		return out, access.Fail(access.Denied, "no-tls", "the resource is reached without TLS, and a gateway connects with TLS only").
			Because("its connection says sslmode: disable").Try("its owner sets sslmode: verify-full, and ca, where the system does not know the authority")
	case "verify-ca":
		if o["ca"] == "" {
			return out, access.Fail(access.Denied, "no-ca", "any server with a certificate of a public authority would be taken for the resource's").
				Because("its connection says sslmode: verify-ca, and no ca").Try("its owner sets sslmode: verify-full, or ca")
		}
		out.Name = "" // its authority is enough
	}
	return out, nil
}

// limitsOf are what a role's options say of sessions with databases.
func limitsOf(o map[string]string) api.SessionLimits {
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(o[name], 10, 64) // the schema has it a number, or not there
		return max(n, 0)
	}
	l := api.SessionLimits{Rows: number("maxRows"), Bytes: number("maxBytes"), ReadOnly: o["readOnly"] == "true"}
	for name, of := range map[string]*[]string{"denyStatements": &l.Deny, "denyTables": &l.DenyTables, "denyFunctions": &l.DenyFunctions} {
		if o[name] != "" {
			*of = listed(o[name])
		}
	}
	return l
}

func (s *Server) lendLogin(ctx context.Context, c call, in *struct{ Body api.SessionLoginAsk }) (*reply[api.SessionLogin], error) {
	b := in.Body
	if len(b.Key) != 32 {
		return nil, access.Fail(access.Invalid, "bad-key", "the login can be sealed to an X25519 key only").Because("the key has " + strconv.Itoa(len(b.Key)) + " bytes")
	}
	sealed, err := s.broker.LendLogin(ctx, c.gateway, access.SessionID(b.Session), broker.LoginAsk{Key: b.Key, Fingerprint: fingerprintOf(b.Key), Info: api.SessionLoginInfo(b.Session)})
	if err != nil {
		return nil, err
	}
	word, err := s.word(c, b.Nonce, envelope.AboutLogin, api.SealedLogin{Session: b.Session, Sealed: sealed})
	if err != nil {
		return nil, err
	}
	return answer(api.SessionLogin{Word: word}), nil
}

// keepDoors notes where a gateway takes connections. Who calls has proved to be the gateway;
// the host is what an administrator said, and the certificate has to be for it.
func (s *Server) keepDoors(ctx context.Context, c call, in *struct{ Body api.GatewayDoors }) (*reply[api.GatewayDoors], error) {
	host, _, err := net.SplitHostPort(c.host.Address)
	if err != nil {
		return nil, access.Fail(access.Conflict, "no-address", "nobody said where the gateway is reached").Try("an administrator enrols it anew: stint admin gateway enroll " + c.gateway + " --address HOST:PORT")
	}
	doors := []access.Door{}
	for _, d := range in.Body.Doors {
		named, err := doorHost(d, host)
		if err != nil {
			return nil, err
		}
		if err := doorCertificate(d.Certificate, named); err != nil {
			return nil, access.Fail(access.Invalid, "bad-door", "the certificate of a door is not taken").Because(err.Error())
		}
		for _, other := range doors {
			if string(other.Protocol) == d.Protocol {
				return nil, access.Fail(access.Invalid, "bad-door", "there are two doors for "+d.Protocol)
			}
		}
		doors = append(doors, access.Door{Protocol: access.Protocol(d.Protocol), Port: d.Port, Certificate: d.Certificate, Domain: d.Domain})
	}
	if _, err := s.hosts.Register.KeepDoors(ctx, c.source.Device, doors); err != nil {
		return nil, err
	}
	return answer(in.Body), nil
}

// doorHost is a host for which the certificate of a door has to be: that of its gateway's
// address, or any of its domain.
func doorHost(d api.GatewayDoor, host string) (string, error) {
	web := d.Protocol == string(access.HTTP) || d.Protocol == string(access.TCP)
	switch {
	case web != (d.Domain != ""), web && !webDomain.MatchString(d.Domain):
		return "", access.Fail(access.Invalid, "bad-door", "a door for the web or for TCP has a domain, and no other has").Because("its domain is " + strconv.Quote(d.Domain))
	case web:
		return "any." + d.Domain, nil
	}
	return host, nil
}

// doorCertificate says whether a text is one certificate, for a host.
func doorCertificate(text, host string) error {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return errors.New("it is not one certificate in PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	return cert.VerifyHostname(host)
}
