package audit

// secretNames end the names under which a secret would be written down. They
// are in lower case without separators: "clientsecret" also stands for
// client_secret, client-secret and clientSecret. The end of a name says what
// the value is: session_token is refused, token_id is not.
var secretNames = [...]string{
	"password", "passwd", "passphrase", "secret", "token", "cookie", "apikey", "privatekey", "sealkey",
	"credentialplain", "scramverifier", "enrolmentcode", "enrollcode",
}

// secretName is the last guard against a secret in the log. The first ones are
// types that do not print; this one catches a fact that was named honestly.
func secretName(name string) bool {
	for _, s := range secretNames {
		if endsIn(name, s) {
			return true
		}
	}
	return false
}

// endsIn reports whether name ends in suffix, but for case and separators.
func endsIn(name, suffix string) bool {
	i := len(name) - 1
	for j := len(suffix) - 1; j >= 0; i-- {
		if i < 0 {
			return false
		}
		c := name[i]
		if c == '_' || c == '-' || c == '.' || c == ' ' {
			continue
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != suffix[j] {
			return false
		}
		j--
	}
	return true
}
