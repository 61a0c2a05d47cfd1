package broker

import (
	"context"

	"stint/internal/access"
	"stint/internal/policy"
)

// Without is what deleting a policy would change, and what the others' tests say of that.
type Without struct {
	WhatIf
	Replay Rerun
	Tests  []PolicyTestRun // but those that are kept with it: they go with it
	Alone  bool            // it takes a second person, and one alone may do it here
	MayNot error           // why the caller may look at it and not do it
}

// WithoutPolicy works out what deleting a policy would change. It changes nothing.
func (b *Broker) WithoutPolicy(ctx context.Context, c Caller, name access.PolicyName) (out Without, err error) {
	kept, err := b.PolicyTests(ctx, c) // whoever may see what a change would do
	if err != nil {
		return out, err
	}
	before, err := b.Documents(ctx)
	if err != nil {
		return out, err
	}
	docs, err := policy.Remove(before.Documents(), policy.KindPolicy, string(name))
	if err != nil {
		return out, err
	}
	after, err := b.Sets.Compile(docs, b.schemas, before.Version()+1)
	if err != nil {
		return out, err
	}
	changes := []policy.Change{{Op: policy.Deleted, Kind: policy.KindPolicy, Name: string(name)}}
	if out.WhatIf, err = b.whatIf(ctx, c, before, after, changes); err != nil {
		return out, err
	}
	if out.Replay, err = b.replay(ctx, c, before, after, MostReplayed); err != nil {
		return out, err
	}
	delete(kept, name)
	if out.Tests, err = b.runTests(ctx, after, kept, "", false); err != nil {
		return out, err
	}
	done, err := b.deletePolicy(ctx, c, name, 0, true)
	out.Alone, out.MayNot = done.Alone, err
	return out, nil
}

// DeletePolicyOn deletes a policy, or proposes it where that takes a second person, if the
// documents are still of the version that the caller was shown what would change of.
func (b *Broker) DeletePolicyOn(ctx context.Context, c Caller, name access.PolicyName, version int64) (Applied, error) {
	return b.deletePolicy(ctx, c, name, version+1, false)
}

func (b *Broker) deletePolicy(ctx context.Context, c Caller, name access.PolicyName, on int64, dryRun bool) (Applied, error) {
	if err := b.mayDocument(ctx, c); err != nil {
		return Applied{}, err
	}
	d := deletion{Kind: policy.KindPolicy, Name: string(name)}
	return b.change(ctx, editing{by: c, dryRun: dryRun, on: on, edit: b.delete(d, c.Actor), content: func() (access.ProposalKind, any) { return access.ProposesDeletion, d }})
}
