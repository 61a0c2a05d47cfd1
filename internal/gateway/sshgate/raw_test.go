package sshgate

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// raw is a client that does what no library lets one do. It speaks one key exchange,
// curve25519-sha256, and one cipher, aes128-gcm@openssh.com.
type raw struct {
	t        testing.TB
	c        net.Conn
	r        *bufio.Reader
	server   kexInit // what the server offered
	session  []byte
	out, in  cipher.AEAD // nil before the keys are there
	outNonce []byte
	inNonce  []byte
	between  func(*raw) // is called in the middle of the key exchange
}

type kexInit struct {
	Cookie                                  [16]byte `sshtype:"20"`
	Kex, HostKey, CipherCS, CipherSC        []string
	MACCS, MACSC, CompressionCS, CompressSC []string
	LanguageCS, LanguageSC                  []string
	Follows                                 bool
	Reserved                                uint32
}

func dialRaw(t testing.TB, address string) *raw {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &raw{t: t, c: c, r: bufio.NewReader(c)}
}

const rawVersion = "SSH-2.0-Hostile"

// handshake exchanges keys.
func (r *raw) handshake() error {
	if _, err := io.WriteString(r.c, rawVersion+"\r\n"); err != nil {
		return err
	}
	line, err := r.r.ReadString('\n')
	if err != nil {
		return err
	}
	serverVersion := strings.TrimRight(line, "\r\n")
	mine := ssh.Marshal(kexInit{
		Kex: []string{"curve25519-sha256", "kex-strict-c-v00@openssh.com", "ext-info-c"}, HostKey: []string{ssh.KeyAlgoED25519},
		CipherCS: []string{ssh.CipherAES128GCM}, CipherSC: []string{ssh.CipherAES128GCM},
		MACCS: []string{ssh.HMACSHA256ETM}, MACSC: []string{ssh.HMACSHA256ETM}, CompressionCS: []string{"none"}, CompressSC: []string{"none"},
	})
	if err := r.send(mine); err != nil {
		return err
	}
	theirs, err := r.receive()
	if err != nil {
		return err
	}
	if err := ssh.Unmarshal(theirs, &r.server); err != nil {
		return err
	}
	if r.between != nil {
		r.between(r)
	}
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	if err := r.send(ssh.Marshal(struct {
		Public []byte `sshtype:"30"`
	}{key.PublicKey().Bytes()})); err != nil {
		return err
	}
	p, err := r.receive()
	if err != nil {
		return err
	}
	var reply struct {
		HostKey, Public, Signature []byte `sshtype:"31"`
	}
	if err := ssh.Unmarshal(p, &reply); err != nil {
		return err
	}
	theirKey, err := ecdh.X25519().NewPublicKey(reply.Public)
	if err != nil {
		return err
	}
	secret, err := key.ECDH(theirKey)
	if err != nil {
		return err
	}
	k := mpint(secret)
	h := sha256.New()
	for _, f := range [][]byte{[]byte(rawVersion), []byte(serverVersion), mine, theirs, reply.HostKey, key.PublicKey().Bytes(), reply.Public} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(f))))
		h.Write(f)
	}
	h.Write(k)
	r.session = h.Sum(nil)
	derive := func(letter byte, n int) []byte { // RFC 4253 section 7.2
		s := sha256.Sum256(slices.Concat(k, r.session, []byte{letter}, r.session))
		return s[:n]
	}
	if err := r.send([]byte{21}); err != nil {
		return err
	}
	if p, err := r.receive(); err != nil || p[0] != 21 {
		return errors.Join(err, errors.New("no NEWKEYS"))
	}
	gcm := func(key []byte) cipher.AEAD {
		b, err := aes.NewCipher(key)
		if err != nil {
			r.t.Fatal(err)
		}
		a, err := cipher.NewGCM(b)
		if err != nil {
			r.t.Fatal(err)
		}
		return a
	}
	r.outNonce, r.inNonce = derive('A', 12), derive('B', 12)
	r.out, r.in = gcm(derive('C', 16)), gcm(derive('D', 16))
	return nil
}

func mpint(b []byte) []byte {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	if len(b) > 0 && b[0]&0x80 != 0 {
		b = append([]byte{0}, b...)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func count(nonce []byte) { // RFC 5647 section 7.1
	for i := 11; i >= 4; i-- {
		if nonce[i]++; nonce[i] != 0 {
			return
		}
	}
}

// send sends one packet.
func (r *raw) send(p []byte) error {
	block, head := 8, 5
	if r.out != nil {
		block, head = 16, 1
	}
	padding := block - (head+len(p))%block
	if padding < 4 {
		padding += block
	}
	body := append([]byte{byte(padding)}, p...)
	body = append(body, make([]byte, padding)...)
	length := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	if r.out == nil {
		_, err := r.c.Write(append(length, body...))
		return err
	}
	sealed := r.out.Seal(nil, r.outNonce, body, length)
	count(r.outNonce)
	_, err := r.c.Write(append(length, sealed...))
	return err
}

// receive reads one packet.
func (r *raw) receive() ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r.r, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(length[:]))
	if n > 1<<20 {
		return nil, errors.New("too long")
	}
	tag := 0
	if r.in != nil {
		tag = 16
	}
	body := make([]byte, n+tag)
	if _, err := io.ReadFull(r.r, body); err != nil {
		return nil, err
	}
	if r.in != nil {
		var err error
		if body, err = r.in.Open(nil, r.inNonce, body, length[:]); err != nil {
			return nil, err
		}
		count(r.inNonce)
	}
	return body[1 : len(body)-int(body[0])], nil
}

// until reads packets until one is of a type, or the server closes; it says which came.
func (r *raw) until(kinds ...byte) (seen []byte, got []byte) {
	for {
		p, err := r.receive()
		if err != nil {
			return seen, nil
		}
		seen = append(seen, p[0])
		if slices.Contains(kinds, p[0]) {
			return seen, p
		}
	}
}

func (r *raw) service() {
	if err := r.send(ssh.Marshal(struct {
		Name string `sshtype:"5"`
	}{"ssh-userauth"})); err != nil {
		r.t.Fatal(err)
	}
	r.until(6)
}

// The messages of authentication, RFC 4252.
type rawAuth struct {
	User, Service, Method string `sshtype:"50"`
	Rest                  []byte `ssh:"rest"`
}

type rawKey struct {
	Signed    bool
	Algorithm string
	Key       []byte
	Rest      []byte `ssh:"rest"`
}

// offer asks whether a key would do, without signing.
func (r *raw) offer(user string, key ssh.PublicKey) byte {
	_ = r.send(ssh.Marshal(rawAuth{user, "ssh-connection", "publickey", ssh.Marshal(rawKey{false, key.Type(), key.Marshal(), nil})}))
	_, p := r.until(51, 52, 60)
	if p == nil {
		return 0
	}
	return p[0]
}

// sign signs in with one key's name and any signer's signature over any session.
func (r *raw) sign(user string, key ssh.PublicKey, by ssh.Signer, session []byte) byte {
	head := rawKey{true, key.Type(), key.Marshal(), nil}
	request := ssh.Marshal(rawAuth{user, "ssh-connection", "publickey", ssh.Marshal(head)})
	signed := append(binary.BigEndian.AppendUint32(nil, uint32(len(session))), session...)
	sig, err := by.Sign(rand.Reader, append(signed, request...))
	if err != nil {
		r.t.Fatal(err)
	}
	head.Rest = ssh.Marshal(struct{ S []byte }{ssh.Marshal(*sig)})
	_ = r.send(ssh.Marshal(rawAuth{user, "ssh-connection", "publickey", ssh.Marshal(head)}))
	_, p := r.until(51, 52)
	if p == nil {
		return 0
	}
	return p[0]
}

func (r *raw) none(user string) byte {
	_ = r.send(ssh.Marshal(rawAuth{user, "ssh-connection", "none", nil}))
	_, p := r.until(51, 52)
	if p == nil {
		return 0
	}
	return p[0]
}
