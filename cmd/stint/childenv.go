package main

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"stint/internal/api"
)

// credentialEnv connects with the grant's credential.
func (c *cli) credentialEnv(ctx context.Context, conn *connection, r api.Request) (map[string]string, error) {
	got, err := conn.Credential(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	add, err := libpq(got)
	if err != nil {
		return nil, err
	}
	if got.Type == "postgres" && got.CA != "" {
		if add["PGSSLROOTCERT"], err = c.authorityFile(got.CA); err != nil {
			return nil, err
		}
	}
	add["STINT_URI"] = got.URI.Reveal()
	return add, nil
}

// childEnv is the environment of a child: ours, without what is not its
// business, and with add, which says how to connect. Of the variables that are
// held back otherwise, those in also are passed on.
func (c *cli) childEnv(r api.Request, add map[string]string, also ...string) []string {
	add["STINT_REQUEST"] = r.ID
	add["STINT_RESOURCE"] = r.Resource
	add["STINT_ROLE"] = r.Role
	if r.Grant != nil {
		add["STINT_GRANT"] = r.Grant.ID
		add["STINT_EXPIRES_AT"] = r.Grant.ExpiresAt.String()
	}
	var env []string
	for name, value := range c.env {
		if _, ours := add[name]; !ours && (passedOn(name) || slices.Contains(also, name)) {
			env = append(env, name+"="+value)
		}
	}
	for name, value := range add {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}

// passedOn refuses our own token, and every PG variable that says where or as
// whom to connect: one left over from before could send the credential to
// another server than the one it is for.
func passedOn(name string) bool {
	switch name {
	case "STINT_TOKEN", "STINT_ID_TOKEN":
		return false
	case "PGAPPNAME", "PGOPTIONS", "PGTZ", "PGDATESTYLE", "PGGEQO", "PGCLIENTENCODING", "PGCONNECT_TIMEOUT", "PGLOCALEDIR":
		return true
	}
	return !strings.HasPrefix(name, "PG")
}

// libpqNames are the connection settings that a credential's URI may carry,
// and the variables by which PostgreSQL's client library knows them.
var libpqNames = map[string]string{
	"sslmode":              "PGSSLMODE",
	"sslrootcert":          "PGSSLROOTCERT",
	"sslcert":              "PGSSLCERT",
	"sslkey":               "PGSSLKEY",
	"sslcrl":               "PGSSLCRL",
	"sslsni":               "PGSSLSNI",
	"sslnegotiation":       "PGSSLNEGOTIATION",
	"channel_binding":      "PGCHANNELBINDING",
	"require_auth":         "PGREQUIREAUTH",
	"target_session_attrs": "PGTARGETSESSIONATTRS",
	"application_name":     "PGAPPNAME",
	"connect_timeout":      "PGCONNECT_TIMEOUT",
	"options":              "PGOPTIONS",
	"hostaddr":             "PGHOSTADDR",
	"gssencmode":           "PGGSSENCMODE",
}

// libpq puts a credential into variables. A setting that has none is an error:
// to leave it out could mean to connect less safely than was meant.
func libpq(got api.Credential) (map[string]string, error) {
	if got.Type != "postgres" {
		return map[string]string{}, nil
	}
	env := map[string]string{"PGHOST": got.Host, "PGPORT": number(got.Port), "PGUSER": got.Username,
		"PGPASSWORD": got.Password.Reveal(), "PGDATABASE": got.Database}
	u, err := url.Parse(got.URI.Reveal())
	if err != nil { // its text would quote the password
		return nil, &api.Error{Kind: api.Internal, Code: "bad-credential", Message: "the credential's address is not readable"}
	}
	for name, values := range u.Query() {
		variable, ok := libpqNames[name]
		if !ok || len(values) != 1 {
			return nil, &api.Error{Kind: api.Internal, Code: "bad-credential", Message: "the credential has a setting that psql cannot be told: " + name,
				Next: "use stint credentials, and a newer version of stint"}
		}
		env[variable] = values[0]
	}
	for name, value := range env {
		if value == "" {
			delete(env, name)
		}
	}
	return env, nil
}
