package sim

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// Who is answered in a step goes on when the step is over and was looked at, also where
// the runtime lets others run in the middle of it, as it does on a busy machine.
func TestNobodyRunsBesideAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSched(1)
		s.plan = func(st *step) { st.at = time.Now().Add(time.Second); s.push(st) }
		went := false
		go func() {
			st := &step{op: "update"}
			st.do = func(st *step) { s.answer(st, "ok") }
			s.park(st)
			<-st.done
			went = true
		}()
		looks := 0
		s.after = func() {
			looks++
			for range 100 {
				runtime.Gosched()
			}
			if went {
				t.Error("the caller went on beside the look at its step")
			}
		}
		s.run(time.Now().Add(time.Minute))
		if looks != 1 || !went {
			t.Errorf("%d steps were looked at; the caller went on: %t", looks, went)
		}
	})
}
