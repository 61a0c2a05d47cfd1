// Package assets is what browsers load beside a page: the style, the scripts, the
// typeface. They are part of the binary, and VENDOR.md says of each foreign one from
// where it came and what its hash is.
//
// An address has the hash of all of them in it, so that a browser may keep them for
// ever, and takes none that it kept for one of another release.
package assets

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed *.css *.js vendor/*.js vendor/*.woff2
var files embed.FS

// Pattern is the address under which Serve is called.
const Pattern = "GET /assets/{hash}/{file...}"

// types are the kinds of files that there are. Nobody guesses: what is sniffed may be
// taken for something else.
var types = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".woff2": "font/woff2"}

// asset is one file as it is sent.
type asset struct {
	kind   string
	plain  []byte
	zipped []byte // nil where that makes it no smaller
}

// all are the files, and the hash of them all.
var all = sync.OnceValues(func() (map[string]asset, string) {
	found, sum := map[string]asset{}, sha256.New()
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		a := asset{kind: types[path.Ext(name)], plain: b}
		if path.Ext(name) != ".woff2" { // which is compressed already
			a.zipped = zipped(b)
		}
		sum.Write([]byte(name + "\x00" + strconv.Itoa(len(b)) + "\x00"))
		sum.Write(b)
		found[name] = a
		return nil
	})
	if err != nil {
		panic(err) // the files are in the binary
	}
	return found, hex.EncodeToString(sum.Sum(nil))[:12]
})

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level exists
	_, _ = z.Write(b)                                       // into memory
	_ = z.Close()
	if out.Len() >= len(b) {
		return nil
	}
	return out.Bytes()
}

// Path is the address of a file, such as app.css.
func Path(name string) string {
	_, hash := all()
	return "/assets/" + hash + "/" + name
}

// Serve answers with a file. While releases change, a page of the one may ask the other
// for its files: it gets those that are here, and keeps them for that one page.
func Serve(w http.ResponseWriter, r *http.Request) {
	found, hash := all()
	a, ok := found[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-store")
	if r.PathValue("hash") == hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	b := a.plain
	if a.zipped != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		b = a.zipped
	}
	h.Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // the browser may be gone
}
