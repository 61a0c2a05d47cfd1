//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// passedSignals are those that a child shall handle in our place. What we were
// started to ignore, as by nohup, stays ignored.
func passedSignals() []os.Signal {
	list := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}
	return append(list, hangup()...)
}

// endSignals are those that interrupt us.
func endSignals() []os.Signal {
	return append([]os.Signal{syscall.SIGINT, syscall.SIGTERM}, hangup()...)
}

func hangup() []os.Signal {
	if signal.Ignored(syscall.SIGHUP) {
		return nil
	}
	return []os.Signal{syscall.SIGHUP}
}

// reloadSignals are those by which programs are told to read their files again.
var reloadSignals = map[string]os.Signal{"HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2}

// fromKeyboard holds for signals that a terminal sends to the child, too.
func fromKeyboard(s os.Signal) bool { return s == syscall.SIGINT || s == syscall.SIGQUIT }

// signalCode is 128 and the signal that ended the process, if one did.
func signalCode(state *os.ProcessState) (int, bool) {
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return 0, false
	}
	return 128 + int(status.Signal()), true
}
