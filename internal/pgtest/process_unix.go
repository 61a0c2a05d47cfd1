//go:build unix && !linux

package pgtest

import "syscall"

// dieWithParent is for Linux only; elsewhere a killed test leaves its server behind.
func dieWithParent(*syscall.SysProcAttr) {}
