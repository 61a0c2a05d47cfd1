package notify

import (
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/audit"
	"stint/internal/vault"
)

// TestTroubleOfTheVault: what has gone wrong with an account of the vault is told, found as
// trouble in the log, and over when the account is rotated or taken out.
func TestTroubleOfTheVault(t *testing.T) {
	of := func(kind access.EventType) access.Event {
		return access.Event{Type: kind, Entity: "vault:dba", Version: 1, At: time.Unix(0, 0), Actor: access.System, Facts: map[string]string{"resource": "web1", "account": "deploy"}}
	}
	for _, kind := range []access.EventType{vault.Drifted, vault.Unread, vault.Emptied} {
		if got := audit.ResultOf(kind, []byte(`{}`)); got != audit.Trouble {
			t.Errorf("%s is %q in the log", kind, got)
		}
		m := OfTrouble(of(kind))
		if m.Stage != Open || m.Command == "" || m.Subject != "vault:dba" || !strings.HasSuffix(m.Title, ", on web1") || strings.HasPrefix(m.Title, ",") {
			t.Errorf("%s: %+v", kind, m)
		}
	}
	for _, kind := range []access.EventType{vault.Rotated, vault.Removed} {
		if m := OfTrouble(of(kind)); m.Stage != Closed || m.Subject != "vault:dba" {
			t.Errorf("%s: %+v", kind, m)
		}
	}
}
