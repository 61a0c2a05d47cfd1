// Package httpgate is the gateway for web applications and HTTP APIs: it takes requests of
// whoever has a grant, and sends them on to one application, with a login that the person
// never sees.
//
//	browser ──cookie of one host──┐
//	program ──TLS, a device's key─┴─► session ──► one reading ──► rules ──► recorded ──► application
//	                                     │         of the path                 login, who it is
//	                              end ───┘  requests, websockets and streams stop, and say why
//
// A session is one browser that came from the control plane's sign-in, or one device's key,
// with one resource under one grant. Each resource has a host name of its own, so that
// browsers keep applications apart. What a session may do inside the application is the
// application's; rules here say which requests reach it.
//
// Where a form takes the login, the gateway is who is logged in: the application's cookies
// stay here, and the browser gets those that its resource names.
//
// It does not change pages. What an application shows of the requests that it gets, it
// shows: one with a page that prints them prints the login, too.
//
// Invariants, each held by a test of this package:
//
//  1. Nothing is believed before TLS 1.3. A browser is known by a secret that only its
//     cookie has, a program by the key that its handshake proved; neither is worth
//     anything at another host, and the application sees neither.
//  2. A request is read in one way or refused: what two programs could take for two paths,
//     two lengths or two hosts reaches no application. The path that the rules judge is the one that is
//     recorded and the one that is sent.
//  3. A request is recorded before a byte of it is sent on.
//  4. What says who somebody is comes from the gateway alone: no header of that kind
//     passes in any spelling. A login is sent to the application that the permit names, known by
//     its certificate, and to nothing else: no redirect is followed.
//  5. What an application sets stays with its own host.
//  6. Opening a websocket is a right of its own. From another origin nothing is opened, and
//     nothing is changed.
//  7. At a session's end, what runs stops within a second. Websockets and event streams say
//     why, where they are between two messages, and each later request does.
//  8. Memory is bounded by the buffers, whatever the size of bodies, and no peer holds a
//     connection by being slow.
package httpgate
