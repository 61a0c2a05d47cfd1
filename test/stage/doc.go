// Package stage sets the scene for everything that proves Stint from outside: a
// real PostgreSQL with a small orders database, the built stintd on either
// store, and people with command lines of their own.
//
// It uses the product only as its users do: binaries, documents, the API's
// types. What it asserts about a target it reads from the target itself.
package stage
