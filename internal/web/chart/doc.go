// Package chart draws numbers as SVG, on the server: bars, side by side or one upon the
// other. It writes markup only by its template, takes values and texts that a view chose,
// and decides nothing. A chart stands in a ui.Figure, which says in a sentence what it
// shows and has the same numbers as a table; colour is never the only difference.
package chart
