package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// sources gives the files of a mutant as they are changed, by their path in the
// tree. A text that is not there exactly once is an error: the list has gone stale.
func (m mutant) sources(root string) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range m.edits {
		text, read := files[e.file]
		if !read {
			b, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("mutant %s: the text to replace stands %d times in %s, and must stand there once:\n%s", m.name, n, e.file, e.old)
		}
		if e.old == e.new {
			return nil, fmt.Errorf("mutant %s changes nothing in %s", m.name, e.file)
		}
		files[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return files, nil
}

// overlay writes changed files into a folder, and the file by which the go command
// takes them for those of the tree; the tree itself is never touched.
func overlay(root, folder string, files map[string]string) (path string, err error) {
	var list struct{ Replace map[string]string }
	list.Replace = map[string]string{}
	for file, text := range files {
		to := filepath.Join(folder, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		list.Replace[filepath.Join(root, file)] = to
	}
	b, err := json.Marshal(list)
	if err != nil {
		return "", err
	}
	path = filepath.Join(folder, "overlay.json")
	return path, os.WriteFile(path, b, 0o600)
}
