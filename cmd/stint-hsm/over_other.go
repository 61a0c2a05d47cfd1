//go:build !linux

package main

import "golang.org/x/sys/unix"

func over(fd, at int) error { return unix.Dup2(fd, at) }

// shield keeps a core file from the PIN in our memory.
func shield() error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }
