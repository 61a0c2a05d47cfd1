package recording

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// S3 is a Store in a bucket of an S3-compatible service: the five calls that a Store
// needs, signed by AWS Signature Version 4, with the bucket in the path.
type S3 struct {
	endpoint *url.URL
	bucket   string
	prefix   string
	region   string
	access   string
	key      func() []byte // fmt prints of a function where it is
	client   *http.Client
	now      func() time.Time
}

// S3Options are of an S3. Endpoint is https, or http on this machine.
type S3Options struct {
	Endpoint string // "https://s3.example.com"
	Region   string // empty: us-east-1
	Bucket   string
	Prefix   string // before all names, such as "recordings/"
	Access   string // the access key's id
	Key      []byte // and its secret half
	Client   *http.Client
}

// maxObject is what one call can put.
const maxObject = 5 << 30

// NewS3 checks the options; it calls nobody.
func NewS3(o S3Options) (*S3, error) {
	bad := func(why string) (*S3, error) {
		return nil, &Error{Message: "recordings cannot be kept in the bucket " + o.Bucket, Why: why, Next: "mend the settings of the recordings' store"}
	}
	u, err := url.Parse(o.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return bad("its endpoint must be the address of a service, such as https://s3.example.com, and nothing else")
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		return bad("its endpoint must be https: recordings' sizes and names would be in clear otherwise, and could be replaced")
	case !bucketName(o.Bucket):
		return bad("its name must be 3 to 63 small letters, digits, dots and hyphens")
	case strings.HasPrefix(o.Prefix, "/") || strings.Trim(o.Prefix, nameLetters+"./") != "" || strings.Contains(o.Prefix, ".."):
		return bad("the prefix may have letters, digits, hyphens, underscores, dots and slashes")
	case o.Access == "" || len(o.Key) == 0:
		return bad("an access key and its secret are needed")
	case o.Client == nil:
		return nil, errors.New("a store in a bucket needs an HTTP client")
	}
	key := slices.Clone(o.Key)
	s := &S3{endpoint: u, bucket: o.Bucket, prefix: o.Prefix, region: o.Region, access: o.Access,
		key: func() []byte { return key }, client: o.Client, now: time.Now}
	if s.region == "" {
		s.region = "us-east-1"
	}
	return s, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func bucketName(s string) bool {
	return len(s) >= 3 && len(s) <= 63 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" && !strings.Contains(s, "..")
}

func (s *S3) Put(ctx context.Context, name string, size int64, r io.ReadSeeker) error {
	if !validObject(name) {
		return errObject(name)
	}
	if size > maxObject {
		return fmt.Errorf("%s has %d bytes, and a bucket takes %d at once", name, size, maxObject)
	}
	h := sha256.New()
	if n, err := io.Copy(h, r); err != nil || n != size {
		return fmt.Errorf("%s has %d bytes, and %d were said: %w", name, n, size, errors.Join(err, io.ErrUnexpectedEOF))
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	// A service that does not know the condition is asked before.
	switch res, err := s.call(ctx, http.MethodHead, name, nil, nil, 0, emptySum); {
	case err == nil:
		_ = res.Body.Close() // a HEAD has none
		return ErrExists
	case !errors.Is(err, ErrNotFound):
		return err
	}
	var body io.Reader = http.NoBody // anything else of no length would be sent without one
	if size > 0 {
		body = io.NopCloser(r)
	}
	res, err := s.call(ctx, http.MethodPut, name, nil, body, size, hex.EncodeToString(h.Sum(nil)))
	if err != nil {
		return err
	}
	return drain(res)
}

func (s *S3) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if !validObject(name) {
		return nil, errObject(name)
	}
	res, err := s.call(ctx, http.MethodGet, name, nil, nil, 0, emptySum)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

func (s *S3) Delete(ctx context.Context, name string) error {
	if !validObject(name) {
		return errObject(name)
	}
	res, err := s.call(ctx, http.MethodDelete, name, nil, nil, 0, emptySum)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return drain(res)
}

func (s *S3) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for token := ""; ; {
			q := url.Values{"list-type": {"2"}, "prefix": {s.prefix + prefix}}
			if token != "" {
				q.Set("continuation-token", token)
			}
			page, err := s.page(ctx, q)
			if err != nil {
				yield(Object{}, err)
				return
			}
			for _, c := range page.Contents {
				name, ok := strings.CutPrefix(c.Key, s.prefix)
				if ok && validObject(name) && !yield(Object{name, c.Size, c.LastModified}, nil) {
					return
				}
			}
			if !page.IsTruncated {
				return
			}
			if page.NextContinuationToken == "" || page.NextContinuationToken == token {
				yield(Object{}, errors.New("the bucket's list does not go on where it says that it does"))
				return
			}
			token = page.NextContinuationToken
		}
	}
}

type listPage struct {
	IsTruncated           bool
	NextContinuationToken string
	Contents              []struct {
		Key          string
		Size         int64
		LastModified time.Time
	}
}

func (s *S3) page(ctx context.Context, q url.Values) (p listPage, err error) {
	res, err := s.call(ctx, http.MethodGet, "", q, nil, 0, emptySum)
	if err != nil {
		return p, err
	}
	defer func() { _ = res.Body.Close() }() // only read
	if err := xml.NewDecoder(io.LimitReader(res.Body, 8<<20)).Decode(&p); err != nil {
		return p, fmt.Errorf("read the bucket's list: %w", err)
	}
	return p, nil
}

func drain(res *http.Response) error {
	_, err := io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	return errors.Join(err, res.Body.Close())
}

// emptySum is the SHA-256 of nothing.
const emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// call does a call, and makes errors of answers that are none of success.
func (s *S3) call(ctx context.Context, method, name string, q url.Values, body io.Reader, size int64, sum string) (*http.Response, error) {
	u := *s.endpoint
	u.Path = "/" + s.bucket
	if name != "" {
		u.Path += "/" + s.prefix + name
	}
	u.RawQuery = canonicalQuery(q)
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = size
	if method == http.MethodPut {
		req.Header.Set("If-None-Match", "*")
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	s.sign(req, sum)
	res, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the bucket %s: %w", s.bucket, err)
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }() // only read
	var answer struct{ Code string }
	_ = xml.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&answer) // of a HEAD there is none
	switch {
	case res.StatusCode == http.StatusNotFound && (answer.Code == "" || answer.Code == "NoSuchKey"):
		return nil, ErrNotFound
	case res.StatusCode == http.StatusPreconditionFailed:
		return nil, ErrExists
	}
	return nil, &Error{Message: fmt.Sprintf("the bucket %s refuses: status %d %s", s.bucket, res.StatusCode, plain(answer.Code)),
		Why: "it is a " + method, Next: "look at the bucket, its rules, and the access key's rights: GetObject, PutObject, DeleteObject, ListBucket"}
}

// sign adds the headers of AWS Signature Version 4, for the service s3: all of the host, the
// moment and the body's sum are signed. Others may be changed on the way, to no avail.
func (s *S3) sign(req *http.Request, sum string) {
	now := s.now().UTC()
	moment, day := now.Format("20060102T150405Z"), now.Format("20060102")
	req.Header.Set("X-Amz-Date", moment)
	req.Header.Set("X-Amz-Content-Sha256", sum)
	const signed = "host;x-amz-content-sha256;x-amz-date"
	canonical := strings.Join([]string{req.Method, canonicalPath(req.URL.Path), req.URL.RawQuery,
		"host:" + req.URL.Host, "x-amz-content-sha256:" + sum, "x-amz-date:" + moment, "", signed, sum}, "\n")
	hashed := sha256.Sum256([]byte(canonical))
	scope := strings.Join([]string{day, s.region, "s3", "aws4_request"}, "/")
	key := append([]byte("AWS4"), s.key()...)
	for _, part := range []string{day, s.region, "s3", "aws4_request"} {
		key = mac(key, part)
	}
	signature := mac(key, "AWS4-HMAC-SHA256\n"+moment+"\n"+scope+"\n"+hex.EncodeToString(hashed[:]))
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s.access+"/"+scope+",SignedHeaders="+signed+",Signature="+hex.EncodeToString(signature))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// escaped is a text in which everything but letters, digits and -._~ is escaped, and nothing twice.
func escaped(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

func canonicalPath(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = escaped(p)
	}
	return strings.Join(parts, "/")
}

// canonicalQuery has the names in order and every value escaped; it is sent as it is signed.
func canonicalQuery(q url.Values) string {
	var parts []string
	for name, values := range q {
		for _, v := range values {
			parts = append(parts, escaped(name)+"="+escaped(v))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "&")
}
