package access

import "time"

// Favourite is something that a person often asks for, under a name of theirs. It is a
// note of what to ask, and no right to it: each use is a request like any other.
type Favourite struct {
	Person   Person
	Name     string
	Resource ResourceName
	Role     RoleName
	Duration time.Duration
	SavedAt  time.Time
}

// MaxFavourites is how many one person can keep.
const MaxFavourites = 100
