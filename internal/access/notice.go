package access

import "time"

// Notice is a hint from one replica to the others: what changed, and when to look
// again. It holds names of things and no more. It may come late, twice or never;
// whoever gets one reads the rows.
type Notice struct {
	Requests []RequestID // changed, or their grants did
	// Due is when something becomes due; zero when nothing does.
	Due time.Time
	// Again asks for all live grants to be decided again: the documents or
	// somebody's groups changed.
	Again bool
}
