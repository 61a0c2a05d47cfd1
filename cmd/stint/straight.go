package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"stint/internal/api"
	"stint/internal/wholefile"
)

// The files of a client that connects to a gateway by itself. Each is put in its place as a
// whole; what libpq reads of a key is one file, so that it never has the key of one and the
// certificate of another.
const (
	straightGateway = "gateway.crt" // by which the gateway is known
	straightPair    = "client.pem"  // certificate and key, for libpq
	straightCert    = "client.crt"  // and each by itself, for drivers in Java,
	straightKey     = "client.pk8"  // which take keys as DER (PKCS 8)
)

var straightFiles = []string{straightGateway, straightPair, straightCert, straightKey}

// straightView is where such a client connects. Nothing of it is secret.
type straightView struct {
	URI      string   `json:"uri"`
	JDBC     string   `json:"jdbc"`
	Host     string   `json:"host"`
	Port     string   `json:"port"`
	User     string   `json:"user"`
	Database string   `json:"database"`
	Folder   string   `json:"folder"`
	Request  string   `json:"request"`
	Until    api.Time `json:"valid_before"`
	Ends     api.Time `json:"expires_at"`
}

// straight writes a key and its certificate for a session with a database into a folder: it
// opens what the grant opens, through the gateway that records it, and no longer.
func (c *cli) straight(ctx context.Context, conn *connection, id, folder string) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return stateError(folder, cause(err), "name a folder that can be reached")
	}
	if err := ownFolder(folder); err != nil {
		return err
	}
	r, err := conn.Request(ctx, id, api.Wait{})
	if err != nil {
		return err
	}
	l := &line{speech: postgresSpeech, c: c, conn: conn, request: r}
	k, err := l.newKey(ctx)
	if err != nil {
		return err
	}
	if err := k.write(folder); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(k.gateway)
	at := func(name string) string { return filepath.Join(folder, name) }
	query := url.Values{"sslmode": {"verify-full"}, "sslrootcert": {at(straightGateway)}, "sslcert": {at(straightPair)}, "sslkey": {at(straightPair)}}
	uri := url.URL{Scheme: "postgresql", User: url.User(r.Resource), Host: k.gateway, Path: "/" + k.database, RawQuery: plainQuery(query)}
	query.Set("sslcert", at(straightCert))
	query.Set("sslkey", at(straightKey))
	query.Set("user", r.Resource)
	jdbc := url.URL{Scheme: "postgresql", Host: k.gateway, Path: "/" + k.database, RawQuery: plainQuery(query)}
	v := straightView{URI: uri.String(), JDBC: "jdbc:" + jdbc.String(), Host: host, Port: port, User: r.Resource, Database: k.database, Folder: folder,
		Request: r.ID, Until: api.At(k.until), Ends: api.At(k.ends)}
	if err := c.show(result{value: v, names: []string{v.URI}, text: facts("uri", v.URI, "jdbc", v.JDBC, "host", host, "port", port, "user", v.User, "database", v.Database,
		"files", folder, "until", timeFact(v.Until, c), "access ends", timeFact(v.Ends, c))}); err != nil {
		return err
	}
	if k.until.Before(k.ends.Truncate(1e9)) {
		c.hint("run it again before " + clock(k.until, c.now()) + " for another key; connections that are open go on until the access ends")
	}
	return nil
}

// plainQuery writes a query in which a blank is no plus sign, which libpq would take for one.
func plainQuery(q url.Values) string { return strings.ReplaceAll(q.Encode(), "+", "%20") }

// ownFolder makes a folder for its owner alone, or takes one that has been that and holds
// nothing else.
func ownFolder(folder string) error {
	err := os.Mkdir(folder, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		if err != nil {
			return stateError(folder, cause(err), "name a folder in one that is there")
		}
		return nil
	}
	i, err := os.Lstat(folder)
	if err != nil {
		return stateError(folder, cause(err), "name another folder")
	}
	if !i.IsDir() || runtime.GOOS != "windows" && i.Mode().Perm()&0o077 != 0 {
		return wrong("bad-folder", "--certificate: "+folder+" is no folder of yours alone", "others could read the key, or put another in its place", "name a folder that is not there yet, or chmod 700 it")
	}
	there, err := os.ReadDir(folder)
	if err != nil {
		return stateError(folder, cause(err), "name another folder")
	}
	for _, e := range there {
		if !slices.Contains(straightFiles, e.Name()) || !e.Type().IsRegular() {
			return wrong("bad-folder", "--certificate: there is something else in "+folder+": "+printable(e.Name()), "nothing of it is replaced", "name a folder that is not there yet")
		}
	}
	return nil
}

// write puts the key and what belongs to it into a folder.
func (k *doorKey) write(folder string) error {
	private, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return err
	}
	defer clear(private)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.der})
	for _, f := range []struct {
		name string
		text []byte
	}{
		{straightGateway, []byte(k.certificate)}, {straightPair, append(slices.Clone(cert), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)},
		{straightCert, cert}, {straightKey, private},
	} {
		if err := wholefile.Write(filepath.Join(folder, f.name), f.text); err != nil {
			return stateError(folder, cause(err), "see that there is room, and that the folder is yours")
		}
	}
	return nil
}
