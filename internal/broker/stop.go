package broker

import (
	"context"
	"time"
)

// stopWithin is for how long Run goes on with what is at hand after its context has
// ended. A call that makes something has its answer by then (callWithin), and most
// that remove do. One that is cut off is done again by whoever runs next: nothing of
// it counts before it was read back.
const stopWithin = callWithin + time.Second

// outlive is a context for what is not cut off half-way: it ends after within, and
// stopWithin after ctx has.
func outlive(ctx context.Context, within time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	stop := context.AfterFunc(ctx, func() {
		if pause(longer, stopWithin) {
			cancel()
		}
	})
	return longer, func() { stop(); cancel() }
}
