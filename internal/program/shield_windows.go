package program

// Shield has nothing to do: who may read a process of another is for the system to say.
func Shield() error { return nil }
