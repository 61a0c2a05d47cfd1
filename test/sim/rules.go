package sim

import (
	"fmt"
	"strings"
	"time"

	"stint/internal/access"
)

// roles that can be asked for, each with the longest time.
var roleTimes = map[access.RoleName]time.Duration{"reader": 2 * time.Hour, "writer": time.Hour, "owner": time.Hour, "both": time.Hour, "shared": 30 * time.Minute,
	"admin": 30 * time.Minute, "watched": 30 * time.Minute, "mender": time.Hour}

// documents are the policy of the day before anybody edits it.
func (w *world) documents() string {
	var b strings.Builder
	for i, at := range w.places {
		fmt.Fprintf(&b, "kind: Resource\nname: db%d\ntype: %s\ncriticality: high\nowners: [user:omar]\nconnection: {address: %q, credential: %s}\n---\n", i, kind, at.Address, at.Credential)
	}
	for _, r := range []string{
		"reader\nmechanism: account\n%[1]s: {memberOf: [app_read]}\nmaxDuration: 2h",
		"writer\nmechanism: account\n%[1]s: {memberOf: [app_read, app_write]}\nmaxDuration: 1h",
		"watched\nmechanism: account\n%[1]s: {memberOf: [app_read]}\nmaxDuration: 30m\nendOn: {logout: true, idle: 3m}",
		"owner\nmechanism: group\n%[1]s: {account: \"{{ .person }}\", memberOf: [app_owner]}\nmaxDuration: 1h",
		"both\nmechanism: group\n%[1]s: {account: \"{{ .person }}\", memberOf: [app_read, app_write]}\nmaxDuration: 1h",
		"shared\nmechanism: enable\n%[1]s: {account: dba}\nmaxDuration: 30m",
		"admin\nmechanism: enable\n%[1]s: {account: chief}\nexclusive: true\nmaxDuration: 30m",
	} {
		fmt.Fprintf(&b, "kind: Role\nresources: {type: %[1]s}\nname: "+r+"\n---\n", kind)
	}
	b.WriteString("kind: Policy\nname: at-once\nsubjects: [group:platform]\nroles: [reader, owner, both, shared, admin, watched]\nrequire: {maxDuration: 2h}\n---\n")
	b.WriteString(needs("guests-ask", "guests", "reader, owner", 1) + "---\n" + writers + glassDocument + vendorDocument + agentDocument)
	fmt.Fprintf(&b, deskDocument, kind)
	return b.String()
}

// writers need two persons one after the other; who is asked is reminded, others are asked
// besides, and in the end it is too late.
const writers = "kind: Policy\nname: platform-writes\nsubjects: [group:platform]\nroles: [writer]\nrequire:\n" +
	"  approvals: [{from: [group:dba]}, {from: [group:dba], stage: 2, escalate: {after: 30m, to: [user:root]}}]\n" +
	"  answerWithin: 6h\n  remindAfter: 20m\n  maxDuration: 2h\n"

func needs(name, group, roles string, n int) string {
	return fmt.Sprintf("kind: Policy\nname: %s\nsubjects: [group:%s]\nroles: [%s]\nrequire: {approvals: [{from: [group:dba], count: %d}], maxDuration: 2h}\n", name, group, roles, n)
}
