// Package pgtest runs real PostgreSQL servers for tests, benchmarks and demos.
//
// A Server is a whole cluster of its own: a data folder that is made for it, a
// free port on the loopback address, TLS with a certificate authority made for
// this one server, and passwords over SCRAM. It can be restarted, crashed and
// frozen. A Proxy stands between a client and any server and breaks the
// connection at the worst moment.
//
// What it needs is a PostgreSQL installation: the newest under
// /usr/lib/postgresql (Debian's place), or the one in PATH. Where there is none
// it fails and says which package is missing. It never skips: a test that did
// not run proves nothing.
//
// Invariants:
//
//   - Servers run as an ordinary user. PostgreSQL refuses to run as root, so a
//     process of root starts them as the user postgres.
//   - No server outlives the process that started it (on Linux, also when that
//     process is killed), and Close removes everything it wrote.
//   - Servers listen on 127.0.0.1 only.
//   - A commit that was acknowledged survives Kill. Without Options.Fsync it would
//     not survive the machine's own crash.
package pgtest
