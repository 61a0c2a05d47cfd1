package access

// SecretKind is what the secret of a vaulted account is. Stored: only append.
type SecretKind string

// The kinds.
const (
	PasswordSecret SecretKind = "password" // a text that the account is given
	TokenSecret    SecretKind = "token"    // a text that the target makes
	KeySecret      SecretKind = "key"      // the private half of a pair, of which the target has the public one
	// CertificateSecret is a certificate of X.509, which the target knows, and its key.
	CertificateSecret SecretKind = "certificate"
)

// SecretOption is the option of a connection that says what kind its accounts open with.
const SecretOption = "secret"

// GivenToken is what the vault writes before a token that somebody brought. What it makes
// itself for a token has no colon: it opens the note in which the token is.
const GivenToken = "given:"

// SecretKind is of the accounts behind a connection.
func (c Connection) SecretKind() SecretKind {
	if k := c.Options[SecretOption]; k != "" {
		return SecretKind(k)
	}
	return PasswordSecret
}
