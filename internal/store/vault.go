package store

import (
	"time"

	"stint/internal/access"
	"stint/internal/vault"
)

var vaultTable = table{
	name: "vault", noun: "vault entry", keys: 1, versioned: true,
	columns: []column{{"name", text}, {"version", integer}, {"place", text}, {"account", text}, {"lent", text}, {"due_at", integer}, {"removed_at", integer}, {"body", text}},
}.build()

type vaultBody struct {
	Resource    string        `json:"resource"`
	Kind        string        `json:"kind"`
	Secrets     []secretBody  `json:"secrets,omitempty"`
	RotateEvery time.Duration `json:"rotate_every,omitempty"`
	Wanted      string        `json:"wanted,omitempty"`
	DriftAt     stamp         `json:"drift_at,omitempty"`
	NextAt      stamp         `json:"next_at,omitempty"`
	Trouble     string        `json:"trouble,omitempty"`
	UnreadAt    stamp         `json:"unread_at,omitempty"`
	NeverAt     stamp         `json:"never_at,omitempty"`
	CreatedAt   stamp         `json:"created_at"`
}

// secretBody is one version; the ciphertext is bound to its place, and not to be read here.
type secretBody struct {
	Number int64  `json:"number"`
	State  string `json:"state"`
	Sealed []byte `json:"sealed,omitempty"`
	Why    string `json:"why,omitempty"`
	MadeAt stamp  `json:"made_at"`
	UsedAt stamp  `json:"used_at,omitempty"`
	DeadAt stamp  `json:"dead_at,omitempty"`
	Until  stamp  `json:"not_after,omitempty"`
}

func vaultRow(e vault.Entry) (write, error) {
	b := vaultBody{Resource: string(e.Resource), Kind: string(e.Kind), RotateEvery: e.RotateEvery, Wanted: e.Wanted, DriftAt: stampOf(e.DriftAt),
		NextAt: stampOf(e.NextAt), Trouble: e.Trouble, UnreadAt: stampOf(e.UnreadAt), NeverAt: stampOf(e.NeverAt), CreatedAt: stampOf(e.CreatedAt)}
	for _, s := range e.Secrets {
		b.Secrets = append(b.Secrets, secretBody{s.Number, string(s.State), s.Sealed, s.Why, stampOf(s.MadeAt), stampOf(s.UsedAt), stampOf(s.DeadAt), stampOf(s.NotAfter)})
	}
	body, err := encode(b)
	return write{e.Name, e.Version, string(e.At), e.Account, string(e.Out), millis(e.RotateAt()), millis(e.RemovedAt), body}, err
}

const vaultColumns = "SELECT name, version, place, account, lent, removed_at, body FROM vault"

func scanVault(row row) (vault.Entry, error) {
	var e vault.Entry
	var removed *int64
	var text string
	if err := row.Scan(&e.Name, &e.Version, &e.At, &e.Account, &e.Out, &removed, &text); err != nil {
		return e, err
	}
	var b vaultBody
	if err := decode(text, "vault entry", e.Name, &b); err != nil {
		return e, err
	}
	e.Resource, e.Kind, e.RotateEvery, e.Wanted = access.ResourceName(b.Resource), vault.Kind(b.Kind), b.RotateEvery, b.Wanted
	e.DriftAt, e.NextAt, e.Trouble, e.UnreadAt = b.DriftAt.time(), b.NextAt.time(), b.Trouble, b.UnreadAt.time()
	e.NeverAt = b.NeverAt.time()
	e.CreatedAt, e.RemovedAt = b.CreatedAt.time(), instantOf(removed)
	for _, s := range b.Secrets {
		e.Secrets = append(e.Secrets, vault.Version{Number: s.Number, State: vault.State(s.State), Sealed: s.Sealed, Why: s.Why,
			MadeAt: s.MadeAt.time(), UsedAt: s.UsedAt.time(), DeadAt: s.DeadAt.time(), NotAfter: s.Until.time()})
	}
	return e, nil
}

// Vaulted reads a vault entry, also one that was removed.
func (tx *Tx) Vaulted(name string) (vault.Entry, error) {
	return one(tx, "vault entry", scanVault, vaultColumns+" WHERE name = $1", name)
}

// VaultedAt reads the entry of an account, which is not removed.
func (tx *Tx) VaultedAt(p access.Place, account string) (vault.Entry, error) {
	return one(tx, "vault entry", scanVault, vaultColumns+" WHERE place = $1 AND account = $2 AND removed_at IS NULL", string(p), account)
}

// Vault lists all entries by name, without those that were removed.
func (tx *Tx) Vault() ([]vault.Entry, error) {
	return list(tx, scanVault, vaultColumns+" WHERE removed_at IS NULL ORDER BY name")
}

// DueVault lists so many entries that are to be rotated, the longest due first, and then
// those whose secret is given out, from the one after on; the zero Entry: from the first.
func (tx *Tx) DueVault(after vault.Entry, limit int) (due []vault.Entry, err error) {
	now, at := tx.now.UnixMilli(), after.RotateAt()
	passed := after.Name // among those that are only given out
	if after.Name == "" || !at.IsZero() && at.UnixMilli() <= now {
		from := int64(0)
		if !at.IsZero() {
			from = at.UnixMilli()
		}
		passed = ""
		due, err = list(tx, scanVault, vaultColumns+" WHERE due_at <= $1 AND (due_at > $2 OR due_at = $2 AND name > $3) ORDER BY due_at, name LIMIT $4", now, from, after.Name, limit)
		if err != nil || len(due) >= limit {
			return due, err
		}
	}
	out, err := list(tx, scanVault, vaultColumns+" WHERE lent <> '' AND (due_at IS NULL OR due_at > $1) AND name > $2 ORDER BY name LIMIT $3", now, passed, limit-len(due))
	return append(due, out...), err
}

// SaveVault writes entries.
func (tx *Tx) SaveVault(es ...vault.Entry) error {
	rows := make([]write, 0, len(es))
	for _, e := range es {
		w, err := vaultRow(e)
		if err != nil {
			return tx.fail(err)
		}
		rows = append(rows, w)
	}
	return tx.save(vaultTable, rows)
}
