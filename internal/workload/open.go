package workload

import (
	"maps"
	"slices"
	"strings"
)

// owned are the claims that say whose a program is, of issuers at which everybody in
// the world can get a token: a condition on one of them is what keeps them out. The
// value is what a text of it begins with, where the claim can be made to say something
// else than whose it is (GitHub's and GitLab's sub can be composed anew). GitHub's
// job_workflow_ref is none of them: whoever calls a workflow that others may call has it,
// in a repository and on a machine of their own.
var owned = map[string]map[string]string{
	"https://token.actions.githubusercontent.com": {"repository": "", "repository_id": "", "repository_owner": "", "repository_owner_id": "",
		"workflow_ref": "", "enterprise_id": "", "sub": "repo:"},
	"https://gitlab.com":          {"project_path": "", "project_id": "", "namespace_path": "", "namespace_id": "", "sub": "project_path:"},
	"https://accounts.google.com": {"sub": "", "email": "", "hd": ""},
	"https://app.terraform.io":    {"terraform_organization_id": "", "terraform_organization_name": "", "terraform_workspace_id": "", "sub": "organization:"},
	"https://agent.buildkite.com": {"organization_slug": "", "organization_id": "", "pipeline_id": "", "sub": "organization:"},
}

// Open names the claims of which one needs a condition, where everybody in the world
// could meet the conditions there are; nil when they are bound to somebody's own.
func Open(issuer string, cs Conditions) []string {
	whose, known := owned[issuer]
	if !known {
		return nil
	}
	for _, x := range cs {
		begins, bound := whose[x.Claim]
		if bound && (len(x.Is) > 0 || len(x.Like) > 0) &&
			!slices.ContainsFunc(x.Is, func(s string) bool { return !strings.HasPrefix(s, begins) }) &&
			!slices.ContainsFunc(x.Like, func(p string) bool { return !ownsPattern(p, begins) }) {
			return nil
		}
	}
	return slices.Sorted(maps.Keys(whose))
}

// ownsPattern reports whether what stands before a pattern's first star names an owner,
// up to the "/" or ":" behind it.
func ownsPattern(p, begins string) bool {
	fixed, _, _ := strings.Cut(p, "*")
	rest, ok := strings.CutPrefix(fixed, begins)
	return ok && strings.IndexAny(rest, separators) > 0
}
