package simstore

import (
	"slices"

	"stint/internal/access"
)

// Documents is the newest version of the documents; version 0 and an empty body
// before there are any.
func (tx *Tx) Documents() (version int64, body []byte, err error) {
	if tx.err != nil {
		return 0, nil, tx.err
	}
	all := tx.s.documents
	if len(all) == 0 {
		return 0, nil, nil
	}
	return int64(len(all)), slices.Clone(all[len(all)-1]), nil
}

// DocumentsEdition says which are the newest documents; version 0 before there are any.
func (tx *Tx) DocumentsEdition() (e access.Edition, err error) {
	if n := len(tx.s.documents); n > 0 {
		e = access.Edition{Version: int64(n), MadeMS: tx.s.made[n-1]}
	}
	return e, tx.err
}

// DocumentsAt is one version of the documents.
func (tx *Tx) DocumentsAt(version int64) ([]byte, error) {
	if tx.err != nil {
		return nil, tx.err
	}
	if version < 1 || version > int64(len(tx.s.documents)) {
		return nil, missing("version")
	}
	return slices.Clone(tx.s.documents[version-1]), nil
}

// SaveDocuments adds the next version; access.Conflict when it is not the next.
func (tx *Tx) SaveDocuments(version int64, body []byte) error {
	if err := tx.writes(); err != nil {
		return err
	}
	s, n := tx.s, len(tx.s.documents)
	if version != int64(n)+1 {
		return tx.fail(changed("set of", "documents", version))
	}
	s.documents, s.made = append(s.documents, slices.Clone(body)), append(s.made, tx.now.UnixMilli())
	tx.undone(func() { s.documents, s.made = s.documents[:n:n], s.made[:n:n] })
	return nil
}

// Credential reads a registered connector login.
func (tx *Tx) Credential(name string) (access.Credential, error) {
	if tx.err != nil {
		return access.Credential{}, tx.err
	}
	c, there := tx.s.credentials[name]
	if !there {
		return access.Credential{}, missing("credential")
	}
	c.Sealed = list(c.Sealed)
	return c, nil
}

// SaveCredential writes a connector login.
func (tx *Tx) SaveCredential(c access.Credential) error {
	if err := tx.writes(); err != nil {
		return err
	}
	old, there := tx.s.credentials[c.Name]
	if !there && c.Version != 1 || there && !follows(c.Version, old.Version) {
		return tx.fail(changed("credential", c.Name, c.Version))
	}
	c.Sealed, c.SetAt = list(c.Sealed), instant(c.SetAt)
	putKey(tx, tx.s.credentials, c.Name, c)
	return nil
}

// Setting is a small named value; nil when it is not set.
func (tx *Tx) Setting(name string) ([]byte, error) {
	if tx.err != nil {
		return nil, tx.err
	}
	v, there := tx.s.settings[name]
	if !there {
		return nil, nil
	}
	return append([]byte{}, v...), nil
}

// ChannelState is nil: nothing here reads anything outside.
func (tx *Tx) ChannelState(string) ([]byte, error) { return nil, tx.err }

// SaveSetting sets a named value; nil unsets it.
func (tx *Tx) SaveSetting(name string, value []byte) error {
	if err := tx.writes(); err != nil {
		return err
	}
	if value == nil {
		dropKey(tx, tx.s.settings, name)
		return nil
	}
	putKey(tx, tx.s.settings, name, slices.Clone(value))
	return nil
}
