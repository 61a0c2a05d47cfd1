package linux

import (
	"strings"
	"testing"
)

// FuzzOptions: what is taken from a role holds nothing that a line of sshd's or sudo's
// would read as more than itself.
func FuzzOptions(f *testing.F) {
	f.Add("10.0.0.0/8,fe80::1", "/usr/bin/id", "ports,agent", "/bin/bash", "root", "archive")
	f.Add("0.0.0.0/0", `x" command="y`, "x11", "/bin/sh\n", "ALL", "")
	f.Add("", "a\\", ",", "/../", "#0", "remove")
	f.Fuzz(func(t *testing.T, source, command, forwarding, shell, as, home string) {
		o, err := ParseOptions(map[string]string{"sourceAddress": source, "forceCommand": command, "forwarding": forwarding, "shell": shell, "runAs": as, "home": home})
		if err != nil {
			return
		}
		for _, p := range o.SourceAddress {
			if p != p.Masked() || strings.ContainsAny(p.String(), "\" ,\n%") {
				t.Errorf("the source %q", p)
			}
		}
		if strings.ContainsAny(o.ForceCommand, "\n\r\x00#") || strings.HasSuffix(o.ForceCommand, `\`) {
			t.Errorf("the command %q", o.ForceCommand)
		}
		if strings.ContainsAny(o.Shell, " :\n\"") || !strings.HasPrefix(o.Shell, "/") || !ValidName(o.RunAs) || o.Home != HomeRemove && o.Home != HomeArchive {
			t.Errorf("%+v", o)
		}
		for _, x := range o.Forwarding {
			if x != ForwardPorts && x != ForwardAgent && x != ForwardX11 {
				t.Errorf("it forwards %q", x)
			}
		}
	})
}
