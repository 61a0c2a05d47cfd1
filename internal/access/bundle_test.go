package access

import (
	"reflect"
	"testing"
)

// TestBundleDigest: the digest of a bundle, and with it that of each part, changes with
// every field of every part, with their order and with their number.
func TestBundleDigest(t *testing.T) {
	parts := func() []Request {
		first, second := full(), full()
		second.Targets[0].Resource, second.Nonce = "billing-db", [16]byte{9}
		first.Task, second.Task = "OPS-1", "OPS-1"
		return []Request{first, second}
	}
	whole := BundleDigest(parts())
	part := parts()[0]
	alone := requestDigest(part)
	part.Bundle = whole
	if requestDigest(part) == alone {
		t.Error("a part has the digest that it would have alone")
	}
	seen := map[Digest]string{whole: "the bundle", alone: "a part alone"}
	for name, others := range map[string][]Request{
		"one less": parts()[:1], "one more": append(parts(), draft()), "turned around": {parts()[1], parts()[0]}, "none": nil,
	} {
		d := BundleDigest(others)
		if was, twice := seen[d]; twice {
			t.Errorf("%s has the digest of %s", name, was)
		}
		seen[d] = name
	}
	for i := range parts() {
		ps := parts()
		v := reflect.ValueOf(&ps[i]).Elem()
		for j := range v.NumField() {
			name := v.Type().Field(j).Name
			if _, no := notAsked[name]; no || name == "Bundle" || name == "Emergency" { // which is never a part of one
				continue
			}
			variants(v.Field(j), name, func(path string) {
				if BundleDigest(ps) == whole {
					t.Errorf("part %d: %s is not covered", i, path)
				}
				other := parts()[1-i]
				other.Bundle = BundleDigest(ps)
				covered := parts()[1-i]
				covered.Bundle = whole
				if requestDigest(other) == requestDigest(covered) {
					t.Errorf("part %d: %s is not covered by the digest of the other part", i, path)
				}
			})
		}
	}
	ps := parts()
	ps[0].Bundle = Digest{1}
	if BundleDigest(ps) != whole {
		t.Error("the digest of a bundle covers itself")
	}
}

// TestBundledAsk: what approvals bind to is read back with the bundle it is of.
func TestBundledAsk(t *testing.T) {
	r := draft(func(r *Request) { r.Bundle = Digest{7} })
	text := EncodeAsk(r)
	got, err := DecodeAsk(text)
	if err != nil || got.Bundle != r.Bundle || got.Digest != requestDigest(r) {
		t.Errorf("%v, %v", got.Bundle, err)
	}
	if _, err := DecodeAsk(`{"bundle":"sha256:zz",` + text[1:]); err == nil {
		t.Error("a bundle that is no digest was read")
	}
}
