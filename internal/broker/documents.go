package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"stint/internal/access"
	"stint/internal/policy"
)

// Applied is what an apply did, or would do.
type Applied struct {
	Version  int64 // of the documents, new if something changed
	Changes  []policy.Change
	Warnings []policy.Problem
	// Grave are the changes that one person alone may not make where two are asked
	// for. Where they are, Proposal is what was made instead (nil with dry run); where
	// they are not, Alone says that one person made them all the same.
	Grave    []policy.Grave
	Proposal *access.Proposal
	Alone    bool
}

// edition is a compiled set, and which edition of the documents it was made of.
type edition struct {
	*policy.Set
	of access.Edition
}

// documents are the compiled documents of the transaction's moment. Compiling
// is done once per edition: the version alone does not tell, after a failover that
// lost commits, whether these are still those.
func (b *Broker) documents(tx Tx) (*policy.Set, error) {
	now, err := tx.DocumentsEdition()
	if err != nil {
		return nil, err
	}
	if have := b.docs.Load(); have != nil && have.of == now {
		return onDuty(tx, have.Set)
	}
	b.docsMu.Lock()
	defer b.docsMu.Unlock()
	if have := b.docs.Load(); have != nil && have.of == now {
		return onDuty(tx, have.Set)
	}
	docs, v, err := readDocuments(tx)
	if err != nil {
		return nil, err
	}
	set, err := b.Sets.Compile(docs, b.schemas, v)
	if err != nil {
		return nil, access.Fail(access.Internal, "documents", "the stored documents do not compile").Wrap(err)
	}
	if v == now.Version {
		b.docs.Store(&edition{set, now})
	}
	return onDuty(tx, set)
}

func readDocuments(tx Tx) ([]policy.Document, int64, error) {
	v, body, err := tx.Documents()
	if err != nil || v == 0 {
		return nil, v, err
	}
	var docs []policy.Document
	if err := json.Unmarshal(body, &docs); err != nil {
		return nil, 0, access.Fail(access.Internal, "documents", "the stored documents cannot be read").Wrap(err)
	}
	return docs, v, nil
}

// documentsOrNone are the documents, or none where they do not load. None allows
// nothing, so that whatever ends access goes on, and nothing begins.
func (b *Broker) documentsOrNone(tx Tx) *policy.Set {
	set, err := b.documents(tx)
	if err == nil {
		return set
	}
	b.Log.Error("the documents do not load; nothing is allowed", "error", err)
	if set, err = policy.Compile(nil, b.schemas, 0); err != nil {
		panic("broker: no documents do not compile: " + err.Error())
	}
	return set
}

// Documents are the compiled documents of this moment.
func (b *Broker) Documents(ctx context.Context) (set *policy.Set, err error) {
	err = b.Store.View(ctx, func(tx Tx) (err error) { set, err = b.documents(tx); return err })
	return set, err
}

var errNoDocuments = access.Fail(access.Invalid, "no-documents", "there is no document in what was sent").
	Because("a document begins with kind: and name:")

// Apply checks documents and makes them the newest version, all or nothing.
// With dryRun it only says what it would do.
func (b *Broker) Apply(ctx context.Context, c Caller, files []policy.File, dryRun bool) (Applied, error) {
	return b.applyOn(ctx, c, files, dryRun, 0)
}

// ApplyOn does the same if the documents are still of the version that the caller was
// shown what would change of.
func (b *Broker) ApplyOn(ctx context.Context, c Caller, files []policy.File, version int64) (Applied, error) {
	return b.applyOn(ctx, c, files, false, version+1)
}

func (b *Broker) applyOn(ctx context.Context, c Caller, files []policy.File, dryRun bool, on int64) (Applied, error) {
	if !slices.ContainsFunc(files, func(f policy.File) bool { return strings.TrimSpace(f.Text) != "" }) {
		return Applied{}, errNoDocuments
	}
	if err := b.mayDocument(ctx, c); err != nil {
		return Applied{}, err
	}
	docs, err := policy.Parse(files)
	switch {
	case err != nil:
		return Applied{}, err
	case len(docs) == 0:
		return Applied{}, errNoDocuments
	}
	return b.change(ctx, editing{by: c, dryRun: dryRun, on: on, ahead: b.compileAhead(written(docs, c.Principal.ID)), edit: apply(written(docs, c.Principal.ID)),
		content: func() (access.ProposalKind, any) { return access.ProposesDocuments, files }})
}

// written are documents with their author.
func written(docs []policy.Document, by access.PrincipalID) []policy.Document {
	docs = slices.Clone(docs)
	for i := range docs {
		docs[i].Author = by
	}
	return docs
}

// apply puts documents over those there are.
func apply(docs []policy.Document) edit {
	return func(_ Tx, _ *effects, have []policy.Document) ([]policy.Document, []policy.Change, error) {
		merged, changes := policy.Merge(have, docs)
		return merged, changes, nil
	}
}

// compileAhead compiles what applying the documents will lead to, probably.
func (b *Broker) compileAhead(docs []policy.Document) (ahead compiled) {
	if have := b.docs.Load(); have != nil {
		ahead.version = have.Version() + 1
		ahead.docs, _ = policy.Merge(have.Documents(), docs)
		ahead.set, ahead.err = b.Sets.Compile(ahead.docs, b.schemas, ahead.version)
	}
	return ahead
}

// compiled is what an apply would lead to, compiled ahead of its transaction:
// that can take seconds, in which nobody else could write, not even a revocation.
type compiled struct {
	docs    []policy.Document
	version int64
	set     *policy.Set
	err     error
}

// of gives the set of the documents, from what was compiled ahead unless they were
// changed by somebody whom we have not heard of.
func (c compiled) of(docs []policy.Document, b *Broker, version int64) (*policy.Set, error) {
	if c.version == version && slices.Equal(c.docs, docs) {
		return c.set, c.err
	}
	return b.Sets.Compile(docs, b.schemas, version)
}

// mayDocument refuses those who could change no document whatever it says, before
// anything is made of what they sent.
func (b *Broker) mayDocument(ctx context.Context, c Caller) error {
	if c.Principal.Admin || c.Principal.Author {
		return nil
	}
	set, err := b.Documents(ctx)
	if err != nil {
		return err
	}
	for _, r := range set.Resources() {
		if slices.ContainsFunc(r.Owners, c.Principal.In) {
			return nil
		}
	}
	return access.Fail(access.Denied, "not-yours-to-write", "documents are for administrators, policy authors and owners of resources").
		Because(string(c.Principal.ID) + " owns none").Try("ask an administrator")
}

// Delete removes one document. Live access that depends on it makes that a
// conflict, unless revoke says to end it.
func (b *Broker) Delete(ctx context.Context, c Caller, kind, name string, revoke bool) (Applied, error) {
	if err := b.mayDocument(ctx, c); err != nil {
		return Applied{}, err
	}
	d := deletion{Kind: kind, Name: name, Revoke: revoke}
	return b.change(ctx, editing{by: c, edit: b.delete(d, c.Actor), content: func() (access.ProposalKind, any) { return access.ProposesDeletion, d }})
}

// deletion is the removal of one document.
type deletion struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Revoke bool   `json:"revoke,omitempty"`
}

func (b *Broker) delete(d deletion, actor access.Actor) edit {
	return func(tx Tx, fx *effects, have []policy.Document) ([]policy.Document, []policy.Change, error) {
		kind, name := d.Kind, d.Name
		kept, err := policy.Remove(have, kind, name)
		if err != nil {
			return nil, nil, err
		}
		q := access.GrantQuery{States: append([]access.GrantState{access.Ending}, live...), Limit: dueBatch}
		switch strings.ToLower(kind) {
		case "resource":
			q.Resource = access.ResourceName(name)
		case "role":
			q.Role = access.RoleName(name)
		default:
			return kept, []policy.Change{{Op: policy.Deleted, Kind: kind, Name: name}}, nil
		}
		gs, err := tx.Grants(q)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case len(gs) > 0 && !d.Revoke:
			return nil, nil, access.Fail(access.Conflict, "in-use", fmt.Sprintf("%d live grants depend on %s %s", len(gs), strings.ToLower(kind), name)).
				Try("end them in the same step with --revoke")
		case len(gs) == dueBatch:
			return nil, nil, access.Fail(access.Conflict, "in-use", "too many live grants depend on it to end them in one step").Try("revoke them first")
		}
		if _, err := b.endGrants(tx, fx, gs, access.ByPerson, "the "+strings.ToLower(kind)+" "+name+" was deleted", actor); err != nil {
			return nil, nil, err
		}
		return kept, []policy.Change{{Op: policy.Deleted, Kind: kind, Name: name}}, nil
	}
}

// edit makes of the documents there are those that are to be. Whatever else it does is
// in the effects only, and is forgotten when the change is proposed and not made.
type edit func(Tx, *effects, []policy.Document) ([]policy.Document, []policy.Change, error)

// editing is one change of the documents.
type editing struct {
	by     Caller
	dryRun bool
	on     int64 // one more than the version that it is made on; 0: whichever there is
	ahead  compiled
	edit   edit
	// content is the change as a proposal holds it.
	content func() (access.ProposalKind, any)
	// second is asked, in the transaction, about a change that was proposed and that
	// a second person says yes to now; it looks at the rights of both. done is called
	// when the change was made. nil: nobody has said yes yet.
	second func(tx Tx, fx *effects, v int64, old, next *policy.Set, changes []policy.Change) error
	done   func(tx Tx, fx *effects, v int64) error
	facts  map[string]string // more, for the log
}

// change makes the next version of the documents, or a proposal of it.
func (b *Broker) change(ctx context.Context, e editing) (out Applied, err error) {
	var next *edition
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		out, next = Applied{}, nil
		have, v, err := readDocuments(tx)
		if err != nil {
			return err
		}
		if e.on != 0 && e.on != v+1 {
			return access.Fail(access.Conflict, "base-moved", "the documents have changed since you were shown what would change").
				Because(fmt.Sprintf("you were shown version %d, and they are at %d", e.on-1, v)).Try("look at what would change now")
		}
		old := b.documentsOrNone(tx)
		docs, changes, err := e.edit(tx, fx, have)
		if err != nil {
			return err
		}
		set, err := e.ahead.of(docs, b, v+1)
		if err != nil {
			return err
		}
		out = Applied{Version: v, Changes: changes, Warnings: set.Warnings()}
		if e.second != nil {
			if err := e.second(tx, fx, v, old, set, changes); err != nil {
				return err
			}
		}
		if !changed(changes) {
			if e.done != nil {
				return e.done(tx, fx, v)
			}
			return nil
		}
		if e.second == nil {
			if err := policy.MayChange(old, set, e.by.Principal, changes); err != nil {
				return err
			}
		}
		if err := b.notMoved(tx, old, set); err != nil {
			return err
		}
		if e.second == nil {
			out.Grave = policy.SecondPerson(old, set, changes)
		}
		if len(out.Grave) > 0 {
			two, err := twoPersons(tx)
			if err != nil {
				return err
			}
			if out.Alone = !two; two && !e.dryRun {
				*fx = effects{}
				out.Proposal, err = b.propose(tx, fx, e, v, describe(changes), out.Grave)
				return err
			}
		}
		if e.dryRun {
			return nil
		}
		body, err := json.Marshal(docs)
		if err != nil {
			return err
		}
		out.Version, next = v+1, &edition{set, access.Edition{Version: v + 1, MadeMS: tx.Now().UnixMilli()}}
		if err := tx.SaveDocuments(v+1, body); err != nil {
			return err
		}
		if err := forgetTests(tx, fx, changes, e.by.Actor); err != nil {
			return err
		}
		facts := map[string]string{"changes": describe(changes)}
		maps.Copy(facts, e.facts)
		if out.Alone {
			facts["alone"] = "yes"
		}
		fx.event(access.Event{Type: DocumentsApplied, At: tx.Now(), Entity: "documents", Version: v + 1, Actor: e.by.Actor, Facts: facts})
		if e.done != nil {
			return e.done(tx, fx, v+1)
		}
		return nil
	})
	if err != nil {
		return Applied{}, err
	}
	if next != nil {
		b.docs.Store(next)
		b.nudge() // watchEligibility need not wait for its next look
		b.tellAgain()
		b.examine.poke()   // a new target has no fingerprint yet
		b.surveying.poke() // and was not surveyed
	}
	return out, nil
}

func changed(cs []policy.Change) bool {
	for _, c := range cs {
		if c.Op != "unchanged" {
			return true
		}
	}
	return false
}

func describe(cs []policy.Change) string {
	var parts []string
	for _, c := range cs {
		if c.Op != "unchanged" {
			parts = append(parts, string(c.Op)+" "+c.Kind+" "+c.Name)
		}
	}
	if len(parts) > 50 {
		parts = append(parts[:50], fmt.Sprintf("and %d more", len(parts)-50))
	}
	return strings.Join(parts, ", ")
}

// notMoved refuses to move or drop a resource that something live stands on.
func (b *Broker) notMoved(tx Tx, old, next *policy.Set) error {
	for _, r := range old.Resources() {
		n, ok := next.Resource(r.Name)
		if ok && n.Connection.Equal(r.Connection) {
			continue
		}
		es, err := tx.Entitlements(access.EntitlementQuery{Resource: r.Name,
			States: []access.EntitlementState{access.Intended, access.Present, access.Refreshing}, Limit: 1})
		if err != nil {
			return err
		}
		if len(es) > 0 && ok {
			return access.Fail(access.Conflict, "in-use", "live access stands on resource "+string(r.Name)+", so it cannot be moved").
				Try("end it first with: stint revoke --resource " + string(r.Name) + " --why …")
		}
	}
	return nil
}

// WhoCan lists who may ask for access to a resource, by which role and policy.
func (b *Broker) WhoCan(ctx context.Context, _ Caller, resource access.ResourceName, role access.RoleName) ([]policy.Eligible, error) {
	set, err := b.Documents(ctx)
	if err != nil {
		return nil, err
	}
	if _, ok := set.Resource(resource); !ok {
		return nil, noResource(set, resource)
	}
	return set.WhoCan(resource, role), nil
}
