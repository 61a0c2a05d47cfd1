package wholefile

// SyncFolder does nothing: this system keeps the names of files by itself, and
// cannot be told to.
func SyncFolder(string) error { return nil }
