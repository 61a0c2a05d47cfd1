package hook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"stint/internal/connector"
)

// A hook may also be elsewhere: then a file of the folder, NAME.https, says where, whose
// certificate is believed there, and with which key questions are signed.

// httpsSuffix is what the name of such a file ends with.
const httpsSuffix = ".https"

// remote is what such a file says.
type remote struct {
	URL string `json:"url"`
	CA  string `json:"ca"`  // PEM: nobody else vouches for the server
	Key string `json:"key"` // of the signature, as Standard Webhooks write it: whsec_ and base64
}

const (
	keyPrefix = "whsec_"
	leastKey  = 24
	mostFile  = 1 << 20
)

// readRemote reads a file that program found fit.
func readRemote(path string) (r remote, key []byte, pool *x509.CertPool, err error) {
	bad := func(why string) error {
		return &connector.Error{Outcome: connector.NotDone, Message: "the hook is not called", Next: path + ": " + why}
	}
	f, err := os.Open(path)
	if err != nil {
		return r, nil, nil, bad("stintd cannot read it")
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostFile))
	defer clear(text)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err != nil || d.Decode(&r) != nil { // its error could quote the key
		return r, nil, nil, bad(`write it like {"url": "https://…", "ca": "-----BEGIN CERTIFICATE-----…", "key": "whsec_…"}`)
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return r, nil, nil, bad("url has to be an https address")
	}
	key, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Key, keyPrefix))
	if err != nil || !strings.HasPrefix(r.Key, keyPrefix) || len(key) < leastKey {
		return r, nil, nil, bad("key has to be whsec_ and at least 24 bytes in base64")
	}
	pool = x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(r.CA)) {
		return r, nil, nil, bad("ca has to be the certificate of who vouches for the server, as PEM")
	}
	return r, key, pool, nil
}

// post asks a hook that is elsewhere, and gives what it answers. Where it was not reached, or
// said anything but an answer, nobody knows what became of it.
func post(ctx context.Context, path string, question []byte) ([]byte, error) {
	to, key, pool, err := readRemote(path)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(question))
	if err != nil {
		return nil, &callError{"the hook cannot be asked", nil}
	}
	id, at := "msg_"+rand.Text(), strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("webhook-id", id)
	r.Header.Set("webhook-timestamp", at)
	r.Header.Set("webhook-signature", signature(key, id, at, question))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	switch {
	case ctx.Err() != nil:
		return nil, &callError{"the hook did not answer in time", ctx.Err()}
	case err != nil:
		return nil, &callError{"the hook was not reached: " + reason(err), nil}
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, &callError{"the hook failed: it answers " + strconv.Itoa(res.StatusCode), nil}
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case ctx.Err() != nil:
		return nil, &callError{"the hook did not answer in time", ctx.Err()}
	case err != nil:
		return nil, &callError{"the hook's answer was cut off", nil}
	case len(text) > maxAnswer:
		return nil, &callError{"the hook answers too much", nil}
	}
	return text, nil
}

// signature is that of Standard Webhooks, version 1.
func signature(key []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, id+"."+at+".")
	_, _ = mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// reason says why nobody was reached, without the address.
func reason(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		return "its certificate is not of the authority that the file names"
	case errors.As(err, &name):
		return "its certificate is for another name"
	}
	return "no connection"
}
