package store

// Waiting is how many of somebody's transactions wait for their turn to write.
func (s *Store) Waiting(who string) int {
	switch e := s.engine.(type) {
	case *postgresEngine:
		e.turns.mu.Lock()
		defer e.turns.mu.Unlock()
		return len(e.turns.waiting.of[who])
	case *sqliteEngine:
		e.writer.mu.Lock()
		defer e.writer.mu.Unlock()
		return len(e.writer.rest.of[who])
	}
	return 0
}
