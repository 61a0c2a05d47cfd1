package main

import (
	"context"
	"os/exec"
	"runtime"
)

// openPage opens a page for the person, if there is a browser for it.
func (c *cli) openPage(ctx context.Context, at string) bool {
	var argv []string
	switch {
	case c.env["BROWSER"] != "":
		argv = []string{c.env["BROWSER"], at}
	case runtime.GOOS == "darwin":
		argv = []string{"open", at}
	case runtime.GOOS == "windows":
		argv = []string{"rundll32", "url.dll,FileProtocolHandler", at}
	case c.env["DISPLAY"] == "" && c.env["WAYLAND_DISPLAY"] == "":
		return false
	default:
		argv = []string{"xdg-open", at}
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), argv[0], argv[1:]...)
	if cmd.Start() != nil {
		return false
	}
	go func() { _ = cmd.Wait() }() // it may stay for as long as the browser is open
	return true
}
