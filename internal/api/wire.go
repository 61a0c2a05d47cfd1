package api

// Prefix begins the path of every call.
const Prefix = "/v1"

// Names of headers and media types of the wire.
const (
	// HeaderProof carries the proof of a call, RFC 9449 section 4.1.
	HeaderProof = "DPoP"
	// HeaderIdempotency carries a key that is the same for all attempts of one
	// call that changes something.
	HeaderIdempotency = "Idempotency-Key"
	// HeaderTrace names a call in the server's log.
	HeaderTrace = "Stint-Trace"
	// HeaderVersion is the version of the server.
	HeaderVersion = "Stint-Version"

	problemType = "application/problem+json"
	jsonType    = "application/json"
	linesType   = "application/x-ndjson"
	archiveType = "application/x-tar"
)

// Page is one part of a list. Items is never null. Next is the cursor of what
// follows, empty at the end.
type Page[T any] struct {
	Items []T    `json:"items" nullable:"false" doc:"The items of this page"`
	Next  string `json:"next,omitempty" doc:"The cursor of the next page; absent at the end"`
}
