// Package e2e tells, person by person, what must hold of the built binaries in
// front of a real PostgreSQL: the main job with each mechanism, and bad input of
// every kind. Its tests need the binaries and are built with the tag e2e:
//
//	make e2e
package e2e
