package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // to change a row behind stintd's back
)

// The lie: the record of the approval, with mira in omar's place.
const (
	approval = "request.approved"
	truth    = `"person":"omar"`
	lie      = `"person":"mira"`
)

func (a *act) verify() {
	a.sequenced()
	a.run(a.root, done, "audit", "verify")
	a.run(a.root, done, "audit", "export", "--out", "log.jsonl")
	// What was pinned when root signed in, and nothing that came with the log.
	var pins map[string]struct {
		Key string `json:"log_key"`
	}
	text, err := os.ReadFile(filepath.Join(a.root.Home, "pins.json"))
	if err == nil {
		err = json.Unmarshal(text, &pins)
	}
	a.fail(err)
	a.fail(os.WriteFile(a.file("log.pub"), []byte(pins[a.stage.URL].Key+"\n"), 0o600))
	a.run(a.omar, done, "audit", "verify", "--export", "log.jsonl", "--key", "log.pub")
}

// sequenced waits until the log has the last thing that happened: the end of the
// grant that the crash met. Records are numbered within a second.
func (a *act) sequenced() {
	for deadline := time.Now().Add(3 * time.Second); a.err == nil; {
		r := a.mira.Run(a.ctx, "audit", "search", "--type", "grant.ended", "--entity", a.met, "-o", "name")
		a.fail(r.Failed())
		if r.Out != "" {
			return
		}
		if time.Now().After(deadline) {
			a.claim(false, "the log has the end of the grant that the crash met", "its record within 3 s", "none")
		}
	}
}

func (a *act) file(name string) string { return filepath.Join(a.stage.Dir, name) }

func (a *act) tamper() {
	text, err := os.ReadFile(a.file("log.jsonl"))
	a.fail(err)
	seq := -1
	lines := bytes.SplitAfter(text, []byte("\n"))
	for i, l := range lines {
		var rec struct{ Seq int }
		if bytes.Contains(l, []byte(`"type":"`+approval+`"`)) && bytes.Contains(l, []byte(truth)) && json.Unmarshal(l, &rec) == nil {
			lines[i], seq = bytes.Replace(l, []byte(truth), []byte(lie), 1), rec.Seq
			break
		}
	}
	if seq < 0 {
		a.fail(errors.New("the log has no record of omar's approval"))
		return
	}
	a.fail(os.WriteFile(a.file("forged.jsonl"), bytes.Join(lines, nil), 0o600))
	name := fmt.Sprintf("record %d ", seq)
	a.said(fmt.Sprintf("In a copy of the export, omar's name in record %d was replaced by mira's:", seq))
	out := a.run(a.omar, damaged, "audit", "verify", "--export", "forged.jsonl", "--key", "log.pub")
	a.holds("it names "+name+"of the file", out, name)
	a.said("The same in a copy of stintd's database, its rules against it switched off, and stintd started on the copy:")
	a.behindItsBack(func() {
		out := a.run(a.root, damaged, "audit", "verify")
		a.holds("it names "+name+"of the database", out, name)
	})
	a.said("And stintd on the true database again:")
	a.run(a.root, done, "audit", "verify")
}

// behindItsBack starts stintd on a forged copy of its database, and afterwards
// on the true one again.
func (a *act) behindItsBack(look func()) {
	if a.err != nil {
		return
	}
	swap, back := a.swapFiles, a.unswapFiles
	if a.stage.Memory != nil {
		swap, back = a.swapDatabase, a.unswapDatabase
	}
	a.fail(a.stage.Stop())
	if a.err == nil {
		a.fail(swap())
	}
	if a.err == nil {
		a.fail(a.stage.Start(a.ctx))
	}
	look()
	a.fail(a.stage.Stop())
	if a.err == nil {
		a.fail(back())
	}
	if a.err == nil {
		a.fail(a.stage.Start(a.ctx))
	}
}

// With SQLite, the true database is a folder that steps aside.

func (a *act) swapFiles() error {
	data := a.stage.DataDir()
	if err := os.Rename(data, data+".true"); err != nil {
		return err
	}
	if err := os.CopyFS(data, os.DirFS(data+".true")); err != nil {
		return err
	}
	if err := os.Chmod(data, 0o700); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(data, "*.db"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("the data folder has %d databases: %w", len(files), errors.Join(err))
	}
	db, err := sql.Open("sqlite", files[0])
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	return errors.Join(forge(db), db.Close())
}

func (a *act) unswapFiles() error {
	data := a.stage.DataDir()
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	return os.Rename(data+".true", data)
}

// forge changes the record as somebody with all rights on the file would.
func forge(db *sql.DB) error {
	rows, err := db.Query(`SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_records'`)
	if err != nil {
		return err
	}
	var rules []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		rules = append(rules, name)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, name := range rules {
		if _, err := db.Exec(`DROP TRIGGER "` + strings.ReplaceAll(name, `"`, `""`) + `"`); err != nil {
			return err
		}
	}
	done, err := db.Exec(`UPDATE audit_records SET body = CAST(replace(CAST(body AS TEXT), ?, ?) AS BLOB) WHERE type = ?`, truth, lie, approval)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return fmt.Errorf("no record was forged: %w", errors.Join(err))
	}
	return nil
}

// With PostgreSQL, the true database takes another name.

func (a *act) swapDatabase() error {
	memory := a.stage.Memory
	if err := memory.Exec(a.ctx, "postgres", `ALTER DATABASE stint RENAME TO stint_true`, `CREATE DATABASE stint TEMPLATE stint_true`); err != nil {
		return err
	}
	return memory.Exec(a.ctx, "stint", `ALTER TABLE audit_records DISABLE TRIGGER ALL`,
		`UPDATE audit_records SET body = convert_to(replace(convert_from(body, 'UTF8'), '`+truth+`', '`+lie+`'), 'UTF8') WHERE type = '`+approval+`'`,
		`ALTER TABLE audit_records ENABLE TRIGGER ALL`)
}

func (a *act) unswapDatabase() error {
	memory := a.stage.Memory
	if err := memory.DropDatabase(a.ctx, "stint"); err != nil {
		return err
	}
	return memory.Exec(a.ctx, "postgres", `ALTER DATABASE stint_true RENAME TO stint`)
}
