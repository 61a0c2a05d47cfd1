package apiserver

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
)

// loud are channels whose one takes messages, or not.
type loud struct {
	fails error
	tried []string
}

func (l *loud) Try(_ context.Context, by access.PrincipalID, name string) error {
	l.tried = append(l.tried, string(by)+" "+name)
	return l.fails
}
func (l *loud) Troubles(context.Context) (map[string]Trouble, error) {
	return map[string]Trouble{"staff": {Why: "it said <no>", Since: time.Now().Add(-time.Hour)}}, nil
}
func (l *loud) Serves(string) bool { return true }
func (l *loud) Behind(context.Context) (map[string]int64, error) {
	return map[string]int64{"staff": 7}, nil
}

// examined is a keeper whose doctor found something.
type examined struct{ Keep }

func (examined) Doctor(context.Context) []api.DoctorCheck {
	return []api.DoctorCheck{{Name: "version", Result: api.CheckOK, Saw: "fine"}, {Name: "disk", Result: api.CheckFail, Saw: "it is full", Why: "nothing can be <written>", Fix: "make room"}}
}
func (examined) Fleet(context.Context) (Fleet, error) {
	return Fleet{Agents: 7, SilentAgents: 1, Gateways: 2, SilentGateways: 1, Behind: 3, Oldest: 90 * time.Second}, nil
}
func (examined) Witnesses(context.Context) (int, int, int64, error) { return 2, 1, 5, nil }

// TestSettings: an administrator sees how the server is and what it is connected to, and
// tries a connection out, with the result that there was. Nobody else does.
func TestSettings(t *testing.T) {
	channels := &loud{}
	w, admin := populated(t, func(c *Config) { c.Channels, c.Keep = channels, examined{} })
	w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	w.as(admin, api.UserAdd{Name: "vera", Auditor: true})
	root, mira, vera := w.guest("root"), w.guest("mira"), w.guest("vera")
	root.get("/settings").want(t, http.StatusOK, "Nothing is connected", "Grants are given", "1 of 2 signed when asked last", "5 records are not witnessed yet", "SHA256:", "Stint handed none out",
		"stint admin backup --out FILE", `href="/settings"`)
	_, err := admin.Apply(t.Context(), api.Apply{Files: []api.File{{Name: "staff.yaml", Text: "kind: Integration\nname: staff\ntype: scim\naddress: https://people.example\ndescription: the <b>staff</b>\n"}}})
	check(t, err)
	root.get("/settings").want(t, http.StatusOK, "Directories and provisioning", "it said &lt;no&gt;", "7 records behind", "never tried from here", "the &lt;b&gt;staff")

	form := url.Values{"name": {"staff"}}
	root.post("/settings/test", form).want(t, http.StatusSeeOther)
	root.get("/settings").want(t, http.StatusOK, "by root:", "it was taken")
	channels.fails = access.Fail(access.Unavailable, "channel-failed", "the message was not taken").Because("<i>refused</i>")
	// It comes back to Settings, with what went wrong beside the connection, and no older word.
	p := root.post("/settings/test", form)
	p.want(t, http.StatusServiceUnavailable, "the message was not taken", "&lt;i&gt;refused", "send another test", "Stint handed none out", "it failed: ")
	if at := strings.Index(p.text, "&lt;i&gt;refused"); at < strings.Index(p.text, "the &lt;b&gt;staff") || strings.Contains(p.text, "it was taken") {
		t.Error("what went wrong does not stand beside what it is about")
	}
	channels.fails = access.Fail(access.Unavailable, "channel-failed", "the message was not taken").Try("give it <more> time")
	root.post("/settings/test", form).want(t, http.StatusServiceUnavailable, "give it &lt;more&gt; time")
	root.until("/settings", "it failed: ")
	if len(channels.tried) != 3 || channels.tried[0] != "user:root staff" {
		t.Errorf("tried: %v", channels.tried)
	}
	channels.fails = access.Fail(access.NotFound, "no-such-integration", "there is no integration")
	root.post("/settings/test", url.Values{"name": {"none"}}).want(t, http.StatusNotFound, "there is no integration", "Stint handed none out")

	root.get("/settings/checks").want(t, http.StatusOK, "1 check failed", "it is full", "nothing can be &lt;written&gt;", "make room")
	_, err = admin.SetStop(t.Context(), api.Stop{Stopped: true, Why: "a <drill>"})
	check(t, err)
	root.get("/settings").want(t, http.StatusOK, "Nothing new is granted: a &lt;drill&gt;", "stint admin resume")

	tried := len(channels.tried)
	for _, g := range []*guest{mira, vera} {
		for _, at := range []string{"/settings", "/settings/checks"} {
			g.get(at).want(t, http.StatusForbidden, "settings are for administrators")
		}
		g.post("/settings/test", form).want(t, http.StatusForbidden, "settings are for administrators")
		if strings.Contains(g.get("/").text, `href="/settings"`) {
			t.Errorf("%s's rail has the settings", g.name)
		}
	}
	root.get("/settings/test").want(t, http.StatusNotFound)
	if len(channels.tried) != tried {
		t.Errorf("somebody else tried: %v", channels.tried)
	}
}
