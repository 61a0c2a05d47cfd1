package connectortest

import (
	"testing"

	"stint/internal/access"
)

// Run runs every case for every mechanism.
func Run(t *testing.T, fresh func(*testing.T) World) {
	var served []access.Mechanism
	t.Run("Capabilities", func(t *testing.T) { // in a world that is gone before the others begin
		if served = fresh(t).Connector().Capabilities().Mechanisms; len(served) == 0 {
			t.Fatal("the connector serves no mechanism")
		}
	})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, m := range served {
				if c.only == "" || c.only == m {
					t.Run(string(m), func(t *testing.T) { c.run(newScene(t, fresh(t)), m) })
				}
			}
		})
	}
	t.Run("Check", func(t *testing.T) { check(newScene(t, fresh(t))) })
	t.Run("CheckWithoutRevoke", func(t *testing.T) { checkWeak(newScene(t, fresh(t))) })
	t.Run("Claim", func(t *testing.T) { claim(newScene(t, fresh(t))) })
	t.Run("ClaimUnsigned", func(t *testing.T) { claimUnsigned(newScene(t, fresh(t))) })
	t.Run("Beats", func(t *testing.T) { beats(newScene(t, fresh(t))) })
	t.Run("ClaimRace", func(t *testing.T) { claimRace(newScene(t, fresh(t))) })
	t.Run("Survey", func(t *testing.T) { survey(t, newScene(t, fresh(t))) })
	t.Run("Forget", func(t *testing.T) { forget(newScene(t, fresh(t))) })
}

// cases run for each mechanism, or for one.
var cases = []struct {
	name string
	only access.Mechanism
	run  func(*scene, access.Mechanism)
}{
	{"Life", "", life},
	{"Repeat", "", repeat},
	{"ConcurrentRepeats", "", concurrent},
	{"RevokeTwice", "", revokeTwice},
	{"RevokeNeverProvisioned", "", revokeNever},
	{"RevokeWithoutReceipt", "", revokeWithoutReceipt},
	{"RevokeAfterRestart", "", afterRestart},
	{"RemoveBeforeRevoke", "", removeFirst},
	{"Extend", "", extend},
	{"Rotate", "", rotate},
	{"Inventory", "", inventory},
	{"FailedAndNotDone", "", failedNotDone},
	{"FailedButDone", "", failedButDone},
	{"SilentTarget", "", silent},
	{"HostileNames", "", hostile},
	{"NoEnd", "", noEnd},
	{"OtherClaim", "", otherClaim},
	{"ForgedClaim", "", forgedClaim},
	{"ObjectsOwned", access.Account, owned},
	{"Namesake", access.Account, namesake},
	{"Batch", access.Account, batch},
	{"GrantedBefore", access.Member, grantedBefore},
	{"Turn", access.Checkout, turn},
	{"TurnAlone", access.Checkout, turnAlone},
	{"TurnBroken", access.Checkout, turnBroken},
	{"TurnStale", access.Checkout, turnStale},
}
