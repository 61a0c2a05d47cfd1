package postgres

import (
	"encoding/json"
	"net"
	"net/url"
	"strconv"

	"stint/internal/access"
	"stint/internal/connector"
)

// credential is what the holder gets: the object of `stint credentials`, without
// its end. SSLMode and CA say how to check the server as the connector does.
type credential struct {
	Type     string `json:"type"`
	URI      string `json:"uri"`
	Username string `json:"username"`
	Password string `json:"password"`
	Host     string `json:"host"`
	Port     uint16 `json:"port"`
	Database string `json:"database"`
	SSLMode  string `json:"sslmode"`
	CA       string `json:"ca,omitempty"`
}

// receipt says what was made; without a password it carries no credential.
func receipt(t connector.Target, account string, oid uint32, password []byte) (connector.Receipt, error) {
	r := connector.Receipt{Account: account, Creation: oidText(oid)}
	if password == nil {
		return r, nil
	}
	at, err := parsePlace(t.Connection.Address)
	if err != nil {
		return r, err
	}
	mode := t.Connection.Options["sslmode"]
	if mode == "" {
		mode = verifyFull
	}
	database := t.Connection.Options["database"]
	uri := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(account, string(password)),
		Host:     net.JoinHostPort(at.host, strconv.Itoa(int(at.port))),
		Path:     "/" + database,
		RawQuery: url.Values{"sslmode": {mode}}.Encode(),
	}
	b, err := json.Marshal(credential{
		Type: Type, URI: uri.String(), Username: account, Password: string(password),
		Host: at.host, Port: at.port, Database: database, SSLMode: mode, CA: t.Connection.Options["ca"],
	})
	if err != nil {
		return r, access.Fail(access.Internal, "bad-credential", "encode the credential")
	}
	r.Credential = access.NewSecret(b)
	return r, nil
}
