// Package broker carries one request from the question to the proof that the access is gone.
package broker
