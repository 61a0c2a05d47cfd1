package archive

import (
	"slices"
	"strings"
	"testing"

	"stint/internal/access"
	"stint/internal/recording"
)

// TestMissing: a recording whose row came back without its file is found to be missing.
func TestMissing(t *testing.T) {
	ctx := t.Context()
	a, m := newTestArchive(nil)
	kept, err := recording.NewDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	a.Kept = kept
	m.r.State = access.RecordingRunning
	if missing, looked, err := a.Missing(ctx, 10); err != nil || looked != 0 || len(missing) > 0 {
		t.Errorf("one that is being written: %v of %d, %v", missing, looked, err)
	}
	for _, state := range []access.RecordingState{access.RecordingWhole, access.RecordingBroken} {
		m.r.State = state
		if missing, looked, err := a.Missing(ctx, 10); err != nil || looked != 1 || !slices.Equal(missing, []string{"ses_1"}) {
			t.Errorf("%s without a file: %v of %d, %v", state, missing, looked, err)
		}
	}
	if err := kept.Put(ctx, "ses_1.rec", 3, strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	if missing, looked, err := a.Missing(ctx, 10); err != nil || looked != 1 || len(missing) > 0 {
		t.Errorf("with it: %v of %d, %v", missing, looked, err)
	}
	m.r.State = access.RecordingGone
	if _, looked, err := a.Missing(ctx, 10); err != nil || looked != 0 {
		t.Errorf("one that was removed: looked at %d, %v", looked, err)
	}
}
