package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stint/internal/policy"
)

// maxFile bounds a document file, as the server does.
const maxFile = 1 << 20

var errTooLarge = errors.New("it is too large")

// readAtMost reads all of r, and refuses more than most bytes.
func readAtMost(r io.Reader, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%w: more than %d bytes", errTooLarge, most)
	}
	return text, err
}

// readDocuments reads files, and of directories every *.yaml below them in
// order of name, but for the tests that live beside policies; "-" is stdin.
// With tests it is the other way round: only *.test.yaml of directories.
func (c *cli) readDocuments(paths []string, tests bool) ([]policy.File, error) {
	var out []policy.File
	for _, p := range paths {
		if p == "-" {
			text, err := readAtMost(c.in, maxFile)
			if err != nil {
				return nil, wrong("unreadable-file", "cannot read standard input", cause(err), "")
			}
			out = append(out, policy.File{Name: "stdin", Text: string(text)})
			continue
		}
		names, err := documentsBelow(p, tests)
		if err != nil {
			return nil, wrong("unreadable-file", "cannot read "+p, cause(err), "")
		}
		for _, name := range names {
			f, err := os.Open(name)
			if err != nil {
				return nil, wrong("unreadable-file", "cannot read "+name, cause(err), "")
			}
			text, err := readAtMost(f, maxFile)
			f.Close()
			if err != nil {
				return nil, wrong("unreadable-file", "cannot read "+name, cause(err), "")
			}
			out = append(out, policy.File{Name: filepath.ToSlash(name), Text: string(text)})
		}
	}
	return out, nil
}

func documentsBelow(path string, tests bool) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var names []string
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != path && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() || policy.IsTestFile(name) != tests:
		case strings.HasSuffix(name, ".yaml"):
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}
