// Package ui is what the pages of the console are made of: the frame around each page,
// and the parts inside, such as buttons, chips, timers and tables. It knows nothing of
// access; the page /_ui shows every part.
//
//	views ─► ui ─► assets
//
// House rules: the *.templ files are the source and `make generate` makes the rest; a
// call of a component stands on a line of its own, and text comes from { }; every
// action that htmx does is written by Hx, which adds the nonce; names and reasons are
// text, and nothing here writes markup that was not in a template, but Icon.
package ui
