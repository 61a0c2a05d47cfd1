package main

// placeLock is of a place where nothing was.
type placeLock struct{}

// lockPlace refuses a place where something is, whoever left it.
func lockPlace(at string) (*placeLock, error) {
	if !empty(at) {
		return nil, errPlaceTaken
	}
	return &placeLock{}, nil
}

func (*placeLock) free() {}
