package broker_test

import (
	"errors"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/policy"
)

// TestDoubtStopsGrantsAndNoRevocation: grants fail closed, revocation fails
// open. (I-18)
func TestDoubtStopsGrantsAndNoRevocation(t *testing.T) {
	in := newInstallation(t)
	v := in.hold("mira", "reader", time.Minute)
	w := in.hold("noor", "reader", 300*time.Millisecond)
	in.SetHold("log-damaged", broker.Hold{Why: "the audit log does not add up"})
	in.SetHold("log-not-numbered", broker.Hold{}) // what is over elsewhere ends no other doubt
	if _, err := in.Submit(t.Context(), in.as("mira"), ask("reader", time.Minute)); !errors.Is(err, access.Unavailable) {
		t.Errorf("asking in doubt: %v", err)
	}
	if _, err := in.Credential(t.Context(), in.as("mira"), string(v.Request.ID)); !errors.Is(err, access.Unavailable) {
		t.Errorf("showing a credential in doubt: %v", err)
	}
	if _, err := in.Revoke(t.Context(), in.as("root"), broker.Selector{User: "mira"}, "in doubt"); err != nil {
		t.Fatal(err)
	}
	in.until("mira", string(v.Request.ID), access.Ended)
	in.until("noor", string(w.Request.ID), access.Ended)
	in.clean()
}

// TestCredentialIsForTheDeviceThatAsked. (T-29, T-35)
func TestCredentialIsForTheDeviceThatAsked(t *testing.T) {
	in := newInstallation(t)
	v := in.hold("mira", "reader", time.Minute)
	other := in.as("mira")
	other.Source.Device = "another-device"
	if _, err := in.Credential(t.Context(), other, string(v.Request.ID)); !errors.Is(err, access.Denied) {
		t.Errorf("another device of the holder: %v", err)
	}
	if _, err := in.Credential(t.Context(), in.as("noor"), string(v.Request.ID)); !errors.Is(err, access.NotFound) {
		t.Errorf("another person: %v", err)
	}
	if _, err := in.Credential(t.Context(), in.as("root"), string(v.Request.ID)); !errors.Is(err, access.Denied) {
		t.Errorf("an administrator: %v", err)
	}
	if _, err := in.Credential(t.Context(), in.as("mira"), string(v.Request.ID)); err != nil {
		t.Error(err)
	}
}

// TestDocumentsOfStrangers: who can change no document is refused before anything
// is made of what they sent, however much it is.
func TestDocumentsOfStrangers(t *testing.T) {
	in := newInstallation(t)
	_, err := in.Apply(t.Context(), in.as("mira"), []policy.File{{Name: "x.yaml", Text: "kind: Rule, and not even a document"}}, true)
	if !errors.Is(err, access.Denied) {
		t.Errorf("apply by somebody who owns nothing: %v", err)
	}
	if _, err := in.Delete(t.Context(), in.as("mira"), "Policy", "none", false); !errors.Is(err, access.Denied) {
		t.Errorf("delete by somebody who owns nothing: %v", err)
	}
}

// TestRevokingAnUnknownNameIsNoSuccess: who mistypes a name in an emergency must
// not believe that it is done.
func TestRevokingAnUnknownNameIsNoSuccess(t *testing.T) {
	in := newInstallation(t)
	for _, s := range []broker.Selector{{User: "mria"}, {User: "service:none"}, {Role: "raeder"}, {Resource: "bd"}} {
		if _, err := in.Revoke(t.Context(), in.as("root"), s, "stolen laptop"); !errors.Is(err, access.NotFound) {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []broker.Selector{{User: "mira"}, {Role: "reader"}, {Resource: "db"}, {All: true}} {
		if ended, err := in.Revoke(t.Context(), in.as("root"), s, "nobody holds anything"); err != nil || len(ended) != 0 {
			t.Errorf("%s: %v, %v", s, ended, err)
		}
	}
}
