//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// signalNames are the signals that stint elevate sends on, as the runner knows them.
var signalNames = map[os.Signal]string{syscall.SIGHUP: "HUP", syscall.SIGINT: "INT", syscall.SIGQUIT: "QUIT", syscall.SIGTERM: "TERM", syscall.SIGUSR1: "USR1", syscall.SIGUSR2: "USR2"}

func notifyOfSize(c chan<- os.Signal) { signal.Notify(c, syscall.SIGWINCH) }
