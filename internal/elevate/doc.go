// Package elevate is the conversation by which a person's program has one command run
// with more privilege on the host it is on: frames over a local socket, and the client's
// side of them. The other side is package runner.
//
//	stint elevate ── ask, input, size, signal ──►  socket  ──► runner ──► command
//	              ◄── accepted, output, exit ────
//
// A frame is a kind (1), a length (4, big-endian) and so many bytes, at most MaxPayload.
// The client begins with one Ask. The runner answers with Accepted, or with Refused and the
// end of the connection; then both send what there is, and the runner ends with Exited.
//
// Of input a client sends no more than MaxAhead before it is told that the command has Taken
// some. Whatever else it has to say therefore never waits behind input that nobody reads.
//
// Nothing in a frame says who asks: the kernel does, by SO_PEERCRED. And nothing in one
// is a right: the runner compares the command with what is lent to that account.
package elevate
