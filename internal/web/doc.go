// Package web is the pages that people see in a browser: signing in, asking and
// deciding, one's own passkeys and sign-ins. They are plain HTML forms that work without
// a script, on a phone, and in the dark; where scripts run, they stay true by a stream.
//
//	browser ─► Site ─► page ─► Doors (the control plane, behind an interface)
//	           cookie,  form,
//	           headers  views (templates), in the frame of ui
//
// It decides nothing: what a person may do, the doors know. It holds no state but
// what is in cookies, and knows the control plane by package api alone.
//
// Invariants, each held by a test here or in package apiserver:
//
//  1. No GET changes anything, but one: who comes back from a provider is signed in,
//     if this very browser had set out (state, cookie and nonce).
//  2. A form is taken only from a page of our own: the browser says so (Sec-Fetch-Site
//     or Origin), and one that says nothing is refused.
//  3. A session is a cookie that scripts cannot read, that goes to this host alone
//     (__Host-, Secure, HttpOnly, SameSite=Lax); over plain http on loopback only.
//  4. A page runs no script but ours, by a nonce, loads nothing from elsewhere, is in
//     nobody's frame, and is kept in no cache. Nothing in it acts by itself but what bears
//     that nonce (see ui.Hx). Pages that show a secret run no script.
//  5. After signing in a browser goes to a page of ours or to a loopback address that
//     the person has just confirmed, and nowhere else.
package web
