package access

// LevelFor is the least level at which a yes of the principal on the request counts now; false where
// none of theirs does.
func LevelFor(r Request, p Principal) (least Level, asked bool) {
	if !r.MayDecide(p) {
		return LevelConsole, false
	}
	least = LevelClient
	open := r.OpenStage()
	as, _ := r.voice(p, open, open)
	for _, q := range r.Asking() {
		if inAny(q, as) {
			least = min(least, r.Wants(q))
		}
	}
	return least, true
}
