package sshgate

import "golang.org/x/crypto/ssh"

// What is offered on both legs. The ciphers are those that a prefix truncation
// (Terrapin, CVE-2023-48795) does not touch even with a peer that knows nothing of
// strict key exchange, because their counter is not the packet's number;
// ChaCha20-Poly1305 is not among them, and neither is anything with SHA-1.
var (
	ciphers      = []string{ssh.CipherAES128GCM, ssh.CipherAES256GCM}
	macs         = []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM}
	keyExchanges = []string{
		ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519,
		ssh.KeyExchangeECDHP256, ssh.KeyExchangeECDHP384, ssh.KeyExchangeECDHP521,
	}
	signatures = []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512,
	}
	hostCertificates = []string{
		ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
		ssh.CertAlgoRSASHA256v01, ssh.CertAlgoRSASHA512v01,
	}
)

// version is what both legs introduce themselves with.
const version = "SSH-2.0-Stint"

func common() ssh.Config {
	return ssh.Config{Ciphers: ciphers, MACs: macs, KeyExchanges: keyExchanges}
}

// hostKeyAlgorithms are those by which a key of this type proves itself.
func hostKeyAlgorithms(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}
