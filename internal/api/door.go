package api

// DoorKeyAsk is a key by which the doors of gateways, for databases, the web and TCP, shall
// know a program of the caller's.
type DoorKeyAsk struct {
	PublicKey []byte `json:"public_key" maxLength:"1024" doc:"DER, SubjectPublicKeyInfo: Ed25519 or ECDSA on P-256"`
}
