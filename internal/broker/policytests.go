package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// PolicyTestsSaved reports that the tests that are kept with a policy were changed.
const PolicyTestsSaved access.EventType = "policytests.saved"

// The bounds of tests that are kept with policies.
const (
	maxPolicyTests    = 64 << 10 // of one policy
	maxAllPolicyTests = 1 << 20
)

const policyTestsSetting = "policy-tests"

// policyTests are the tests that are kept with policies, by their names. They decide
// nothing: they are run when a change is looked at.
type policyTests struct {
	Version int64                            `json:"version"`
	Of      map[access.PolicyName]PolicyTest `json:"of"`
}

// PolicyTest is the file of tests that is kept with a policy.
type PolicyTest struct {
	Text string             `json:"text"`
	By   access.PrincipalID `json:"by"`
	At   time.Time          `json:"at"`
}

func readPolicyTests(tx Tx) (t policyTests, err error) {
	body, err := tx.Setting(policyTestsSetting)
	if err != nil {
		return t, err
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &t); err != nil {
			return t, access.Fail(access.Internal, "bad-setting", "the tests of policies cannot be read from the store").Wrap(err)
		}
	}
	if t.Of == nil {
		t.Of = map[access.PolicyName]PolicyTest{}
	}
	return t, nil
}

// MayDocument refuses those who could change no document whatever it says; auditors may
// look at what changes would do.
func (b *Broker) MayDocument(ctx context.Context, c Caller) error {
	if c.Glass == nil && c.Principal.Auditor {
		return nil
	}
	return b.mayDocument(ctx, c)
}

// PolicyTests are the tests that are kept with policies.
func (b *Broker) PolicyTests(ctx context.Context, c Caller) (out map[access.PolicyName]PolicyTest, err error) {
	if err := b.MayDocument(ctx, c); err != nil {
		return nil, err
	}
	err = b.Store.View(ctx, func(tx Tx) error {
		t, err := readPolicyTests(tx)
		out = t.Of
		return err
	})
	return out, err
}

// SavePolicyTests keeps tests with a policy that the caller may write; an empty text
// forgets them. What cannot be understood is not kept, what fails is.
func (b *Broker) SavePolicyTests(ctx context.Context, c Caller, name access.PolicyName, text string) error {
	if err := b.mayDocument(ctx, c); err != nil {
		return err
	}
	if len(text) > maxPolicyTests {
		return access.Fail(access.Invalid, "too-many-tests", "the tests are longer than 64 KiB").Try("keep the others in a file beside the policies: stint policy test")
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return b.update(ctx, func(tx Tx, fx *effects) error {
		set, err := b.documents(tx)
		if err != nil {
			return err
		}
		d, ok := set.Document(policy.KindPolicy, string(name))
		if !ok {
			return access.Fail(access.NotFound, "no-such-policy", fmt.Sprintf("there is no policy %.80q", string(name))).Try("stint get policies lists what there is")
		}
		if err := set.MayWrite(c.Principal, d); err != nil {
			return err
		}
		t, err := readPolicyTests(tx)
		if err != nil {
			return err
		}
		t.Version++
		if strings.TrimSpace(text) == "" {
			delete(t.Of, name)
		} else {
			if _, err := policy.RunTests(set, []policy.File{testFile(name, text)}, tx.Now()); err != nil {
				return err
			}
			t.Of[name] = PolicyTest{Text: text, By: c.Principal.ID, At: tx.Now()}
		}
		body, err := json.Marshal(t)
		if err != nil {
			return err
		}
		if len(body) > maxAllPolicyTests {
			return access.Fail(access.TooMany, "too-many-tests", "there are too many tests with all policies together").Try("keep the others in a file beside the policies: stint policy test")
		}
		fx.event(access.Event{Type: PolicyTestsSaved, At: tx.Now(), Entity: policyTestsSetting, Version: t.Version, Actor: c.Actor,
			Facts: map[string]string{"policy": string(name), "bytes": fmt.Sprint(len(text))}})
		return tx.SaveSetting(policyTestsSetting, body)
	})
}

// forgetTests drops the tests that are kept with policies that are deleted: nobody could
// change them any more, and they would fail with every other change.
func forgetTests(tx Tx, fx *effects, changes []policy.Change, by access.Actor) error {
	var t policyTests
	for _, c := range changes {
		if c.Op != policy.Deleted || !strings.EqualFold(c.Kind, policy.KindPolicy) {
			continue
		}
		if t.Of == nil {
			var err error
			if t, err = readPolicyTests(tx); err != nil {
				return err
			}
		}
		name := access.PolicyName(c.Name)
		if _, ok := t.Of[name]; !ok {
			continue
		}
		delete(t.Of, name)
		t.Version++
		fx.event(access.Event{Type: PolicyTestsSaved, At: tx.Now(), Entity: policyTestsSetting, Version: t.Version, Actor: by,
			Facts: map[string]string{"policy": c.Name, "bytes": "0"}})
		body, err := json.Marshal(t)
		if err != nil {
			return err
		}
		if err := tx.SaveSetting(policyTestsSetting, body); err != nil {
			return err
		}
	}
	return nil
}

func testFile(name access.PolicyName, text string) policy.File {
	return policy.File{Name: string(name) + policy.TestSuffix, Text: text}
}

// PolicyTestRun are results, by the policy that the tests are kept with.
type PolicyTestRun struct {
	Policy  access.PolicyName
	Results policy.TestResults
	Problem string // the tests cannot be understood any more
}

// RunPolicyTests runs all tests that are kept, or those of one policy, under the documents
// that are applied with files put over them. instead, where it is not nil, takes the place
// of what is kept with that one.
func (b *Broker) RunPolicyTests(ctx context.Context, c Caller, only access.PolicyName, instead *string, files []policy.File) (out []PolicyTestRun, err error) {
	kept, err := b.PolicyTests(ctx, c)
	if err != nil {
		return nil, err
	}
	if instead != nil {
		if len(*instead) > maxPolicyTests {
			return nil, access.Fail(access.Invalid, "too-many-tests", "the tests are longer than 64 KiB")
		}
		kept[only] = PolicyTest{Text: *instead}
	}
	var set *policy.Set
	if len(files) > 0 {
		_, set, _, err = b.imagine(ctx, c, files)
	} else {
		set, err = b.Documents(ctx)
	}
	if err != nil {
		return nil, err
	}
	return b.runTests(ctx, set, kept, only, instead != nil)
}

// runTests runs tests under a set. Those that were typed just now are refused where they
// cannot be understood; of those that are kept it is said.
func (b *Broker) runTests(ctx context.Context, set *policy.Set, kept map[access.PolicyName]PolicyTest, only access.PolicyName, typed bool) (out []PolicyTestRun, err error) {
	now := time.Now()
	if err := b.Store.View(ctx, func(tx Tx) error { now = tx.Now(); return nil }); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		if only != "" && name != only || strings.TrimSpace(kept[name].Text) == "" {
			continue
		}
		run := PolicyTestRun{Policy: name}
		if run.Results, err = policy.RunTests(set, []policy.File{testFile(name, kept[name].Text)}, now); err != nil {
			if typed {
				return nil, err
			}
			run.Problem = err.Error()
		}
		out = append(out, run)
	}
	return out, nil
}
