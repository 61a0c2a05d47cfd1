// Package ticket reads single tickets of Jira, ServiceNow, GitHub, GitLab, and of
// whatever answers a simple format over HTTP. It only reads, and one ticket at a time.
//
// It trusts nothing that it is told: ids have a narrow grammar for each type and are
// escaped besides, so that none reaches another path, query or project; answers are
// bounded, of the right content type, about the very ticket that was asked for, and
// never followed anywhere. What is not there and what may not be seen is the same
// error, access.NotFound, whose words do not tell them apart. Everything else that
// goes wrong is access.Unavailable: nothing is known then, and the caller grants
// nothing on it. It matches nobody by name or mail address: people are the ids that
// the system gives them.
//
// It keeps nothing and remembers nothing; whoever calls decides how long an answer is
// good. The caller's HTTP client says which addresses may be called.
package ticket
