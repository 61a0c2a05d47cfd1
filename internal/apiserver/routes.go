package apiserver

import "net/http"

const (
	get  = http.MethodGet
	post = http.MethodPost
	put  = http.MethodPut
	del  = http.MethodDelete
)

// addRoutes is the whole table: what there is, and who may call it.
func (s *Server) addRoutes() {
	// How things are.
	register(s, route{name: "health", method: get, path: "/healthz", who: public, urgent: true, tag: "Health",
		summary: "Whether the process is up"}, s.health)
	register(s, route{name: "ready", method: get, path: "/readyz", who: public, urgent: true, tag: "Health",
		summary: "Whether it can serve", detail: "503 while it cannot."}, s.readiness)
	register(s, route{name: "metrics", method: get, path: "/metrics", who: public, urgent: true, tag: "Health",
		summary: "Numbers for Prometheus", detail: "No names, no addresses."}, s.exposeMetrics)
	register(s, route{name: "openapi", method: get, path: "/openapi.json", who: public, tag: "Health",
		summary: "This description"}, s.describeAPI)

	// Signing in.
	register(s, route{name: "enroll", method: post, path: "/v1/enroll", who: device, body: maxCode, tag: "Sign-in",
		summary: "Exchange a one-time code for a login on this device", detail: "The proof must be by the device_jwk in the body, without a token."}, s.enroll)
	register(s, route{name: "sign-in", method: get, path: "/v1/sign-in", who: public, tag: "Sign-in",
		summary: "How people sign in here"}, s.showSignIn)
	register(s, route{name: "redeem-terminal", method: post, path: "/v1/login/terminal", who: device, browser: true, body: maxCode, tag: "Sign-in",
		summary: "Exchange what a browser brought to a command line for a login", detail: "The code is bound to this device and to the challenge that /login/cli was opened with (RFC 8252, RFC 7636)."}, s.redeemTerminal)
	register(s, route{name: "ask-device", method: post, path: "/v1/login/device", who: device, browser: true, body: maxCode, tag: "Sign-in",
		summary: "Begin to sign in a device that has no browser", detail: "RFC 8628. A person confirms the user code at /device."}, s.askDevice)
	register(s, route{name: "redeem-device", method: post, path: "/v1/login/device/token", who: device, browser: true, body: maxCode, tag: "Sign-in",
		summary: "Poll for the login of such a device", detail: "Until it is there the code is authorization_pending, slow_down, access_denied or expired_token (RFC 8628)."}, s.redeemDevice)
	register(s, route{name: "list-logins", method: get, path: "/v1/logins", who: anyone, urgent: true, enrols: true, tag: "Sign-in",
		summary: "The caller's own logins, newest first"}, s.listLogins)
	register(s, route{name: "end-login", method: del, path: "/v1/logins/{id}", who: anyone, urgent: true, enrols: true, tag: "Sign-in",
		summary: "End one of the caller's own logins"}, s.endLogin)
	register(s, route{name: "whoami", method: get, path: "/v1/whoami", who: anyone, glass: true, enrols: true, tag: "Sign-in",
		summary: "Who the caller is"}, s.whoami)
	register(s, route{name: "logout", method: post, path: "/v1/logout", who: anyone, urgent: true, status: http.StatusNoContent, glass: true, enrols: true, tag: "Sign-in",
		summary: "End the login that makes the call"}, s.logout)
	register(s, route{name: "log-key", method: get, path: "/v1/log/key", who: public, tag: "Audit",
		summary: "The audit log's name and public key", detail: "Clients pin it when they sign in."}, s.showLogKey)

	// Asking and deciding.
	register(s, route{name: "submit", method: post, path: "/v1/requests", who: anyone, held: true, tag: "Requests",
		summary: "Ask for access", detail: "Policy decides what becomes of it. An Idempotency-Key makes a repeat find the first one's request."}, s.submit)
	register(s, route{name: "submit-bundle", method: post, path: "/v1/requests/bundle", who: anyone, tag: "Requests",
		summary: "Ask for several things at once, for one reason", detail: "Each part is a request of its own; the digest of each covers all of them. All are sent, or none; or, with possible, those that policy does not refuse."}, s.submitBundle)
	register(s, route{name: "list-favourites", method: get, path: "/v1/favourites", who: anyone, tag: "Requests",
		summary: "What the caller keeps of what they often ask for"}, s.listFavourites)
	register(s, route{name: "save-favourite", method: put, path: "/v1/favourites/{name}", who: anyone, tag: "Requests",
		summary: "Keep something under a name", detail: "It is a note, and no right to anything."}, s.saveFavourite)
	register(s, route{name: "delete-favourite", method: del, path: "/v1/favourites/{name}", who: anyone, status: http.StatusNoContent, tag: "Requests",
		summary: "Forget one of them"}, s.dropFavourite)
	register(s, route{name: "list-requests", method: get, path: "/v1/requests", who: anyone, glass: true, tag: "Requests",
		summary: "Requests, newest first", detail: "Administrators and auditors see all, everybody else their own."}, s.listRequests)
	register(s, route{name: "get-request", method: get, path: "/v1/requests/{id}", who: anyone, held: true, glass: true, tag: "Requests",
		summary: "One request with its grant", detail: "Whose it is, who is asked to decide, owners of the resource, administrators, auditors."}, s.getRequest)
	register(s, route{name: "approve", method: post, path: "/v1/requests/{id}/approve", who: anyone, tag: "Requests",
		summary: "Vote for a request", detail: "Only whom policy asks, never the requesting person. A vote can shorten and narrow."}, s.approve)
	register(s, route{name: "deny", method: post, path: "/v1/requests/{id}/deny", who: anyone, urgent: true, tag: "Requests",
		summary: "Vote against a request", detail: "Only whom policy asks, never the requesting person. One vote against decides."}, s.deny)
	register(s, route{name: "cancel", method: post, path: "/v1/requests/{id}/cancel", who: anyone, urgent: true, tag: "Requests",
		summary: "Withdraw a pending request", detail: "Only who asked."}, s.cancel)
	register(s, route{name: "question", method: post, path: "/v1/requests/{id}/question", who: anyone, tag: "Requests",
		summary: "Ask something about a pending request", detail: "Only whom policy asks, at this stage or one before it. It changes nothing else."}, s.question)
	register(s, route{name: "answer", method: post, path: "/v1/requests/{id}/answer", who: anyone, tag: "Requests",
		summary: "Answer what was asked about one's own request", detail: "Only who asked for access."}, s.answerQuestion)
	register(s, route{name: "approvals", method: get, path: "/v1/approvals", who: anyone, tag: "Requests",
		summary: "What the caller is asked to decide"}, s.approvals)
	register(s, route{name: "delegate", method: post, path: "/v1/delegations", who: anyone, tag: "Requests",
		summary: "Hand one's approvals to another person for a time", detail: "Whoever delegates may vote all the same; of the two one does. A delegation passes on no further."}, s.delegate)
	register(s, route{name: "list-delegations", method: get, path: "/v1/delegations", who: anyone, tag: "Requests",
		summary: "Delegations that are not over", detail: "Administrators and auditors see all, everybody else those that they are part of."}, s.listDelegations)
	register(s, route{name: "end-delegation", method: post, path: "/v1/delegations/{id}/end", who: anyone, urgent: true, tag: "Requests",
		summary: "End a delegation before its time", detail: "Either of the two, and administrators. What was voted under it stays."}, s.endDelegation)
	register(s, route{name: "explain", method: post, path: "/v1/explain", who: anyone, tag: "Requests",
		summary: "What would be decided, and why", detail: "For others: administrators."}, s.explain)

	// Using and giving back.
	register(s, route{name: "list-grants", method: get, path: "/v1/grants", who: anyone, glass: true, tag: "Grants",
		summary: "Requests that have a grant, newest first", detail: "Administrators and auditors see all, owners those on their resource, everybody else their own."}, s.listGrants)
	register(s, route{name: "credential", method: post, path: "/v1/requests/{id}/credential", who: anyone, glass: true, tag: "Grants",
		summary: "The credential of an active grant, sealed to the device that asked", detail: "Only its holder. Every showing is in the log first."}, s.credential)
	register(s, route{name: "certificate", method: post, path: "/v1/grants/{id}/certificate", who: anyone, glass: true, body: maxCode, tag: "Grants",
		summary: "An SSH certificate for one's own key, for an active grant", detail: "Only its holder, on the device that asked, for a role with the mechanism token on a host. It ends with the grant, and after an hour; then ask again. It is in the log first."}, s.certificate)
	register(s, route{name: "register-database-key", method: post, path: "/v1/grants/{id}/database-key", who: anyone, glass: true, body: maxCode, tag: "Grants",
		summary: "Have a key of the caller's open sessions with a database, through a gateway", detail: "It is in the log first. The key is good for an hour, or until the grant ends; only the device that asked for the grant registers keys for it."}, s.registerDatabaseKey)
	register(s, route{name: "web-access", method: get, path: "/v1/grants/{id}/web", who: anyone, tag: "Grants",
		summary: "Where the web applications of one's own active grant are reached", detail: "The addresses are for browsers, which are sent to the sign-in there."}, s.webAccess)
	register(s, route{name: "register-web-key", method: post, path: "/v1/grants/{id}/web-key", who: anyone, body: maxCode, tag: "Grants",
		summary: "Have a key of the caller's open sessions with web applications, through a gateway", detail: "For programs. It is in the log first. The key is good for an hour, or until the grant ends; only the device that asked for the grant registers keys for it."}, s.registerWebKey)
	register(s, route{name: "register-tcp-key", method: post, path: "/v1/grants/{id}/tcp-key", who: anyone, body: maxCode, tag: "Grants",
		summary: "Have a key of the caller's open sessions with ports, through a gateway", detail: "As for web applications."}, s.registerTCPKey)
	register(s, route{name: "ssh-authorities", method: get, path: "/v1/ssh/ca", who: public, tag: "SSH",
		summary: "The keys that sign SSH certificates", detail: "Those of users, which hosts trust, and those of hosts, which clients trust; the ones in use first."}, s.showAuthorities)
	register(s, route{name: "ssh-revoked", method: get, path: "/v1/ssh/krl", who: public, urgent: true, tag: "SSH",
		summary: "Which certificates ended early", detail: "A key revocation list of OpenSSH, for RevokedKeys and RevokedHostKeys. At most a second old."}, s.showRevoked)
	register(s, route{name: "extend", method: post, path: "/v1/requests/{id}/extend", who: anyone, tag: "Grants",
		summary: "Ask for more time on an active grant", detail: "Only its holder; a new request, which policy decides."}, s.extend)
	register(s, route{name: "end", method: post, path: "/v1/requests/{id}/end", who: anyone, urgent: true, glass: true, tag: "Grants",
		summary: "Give a grant back", detail: "Its holder; administrators and owners of the resource revoke."}, s.end)
	register(s, route{name: "revoke", method: post, path: "/v1/revoke", who: anyone, urgent: true, storeless: true, tag: "Grants",
		summary: "End grants of others now", detail: "Administrators; owners of the resource for what is on it."}, s.revoke)
	register(s, route{name: "get-stop", method: get, path: "/v1/stop", who: anyone, urgent: true, tag: "Grants",
		summary: "Whether anything new is granted"}, s.getStop)
	register(s, route{name: "set-stop", method: post, path: "/v1/stop", who: admins, urgent: true, tag: "Grants",
		summary: "Stop all new grants, or allow them again", detail: "What is granted still ends."}, s.setStop)

	// Time.
	register(s, route{name: "get-clock", method: get, path: "/v1/clock", who: auditors, urgent: true, tag: "Administration",
		summary: "What the replica that answers makes of its clock"}, s.getClock)
	register(s, route{name: "accept-clock", method: post, path: "/v1/clock/accept", who: admins, urgent: true, tag: "Administration",
		summary: "Say that a clock which is far away is right", detail: "It takes two persons, within ten minutes."}, s.acceptClock)

	// Documents.
	register(s, route{name: "apply", method: post, path: "/v1/apply", who: anyone, body: maxDocuments, tag: "Documents",
		summary: "Apply documents, all or none", detail: "Administrators; owners may apply roles and policies that reach only resources they own."}, s.apply)
	register(s, route{name: "list-resources", method: get, path: "/v1/resources", who: anyone, tag: "Documents", summary: "All resources"}, s.listResources)
	register(s, route{name: "get-resource", method: get, path: "/v1/resources/{name}", who: anyone, glass: true, tag: "Documents", summary: "One resource"}, s.getResource)
	register(s, route{name: "delete-resource", method: del, path: "/v1/resources/{name}", who: admins, tag: "Documents",
		summary: "Delete a resource", detail: "Refused while live grants hold it, unless revoke=true."}, s.deleteResource)
	register(s, route{name: "check-resource", method: post, path: "/v1/resources/{name}/check", who: anyone, tag: "Documents",
		summary: "Can we create AND remove there?", detail: "Administrators and owners of the resource."}, s.checkResource)
	register(s, route{name: "list-standing", method: get, path: "/v1/standing", who: anyone, tag: "Documents",
		summary: "Who has privileged access to targets without Stint", detail: "Administrators, auditors and policy authors; owners for a resource of theirs. What a survey of each day found."}, s.listStanding)
	register(s, route{name: "sweep-resource", method: post, path: "/v1/resources/{name}/sweep", who: anyone, tag: "Documents",
		summary: "Compare a target with what should be there, now", detail: "Administrators and owners of the resource; with remove, administrators."}, s.sweepResource)
	register(s, route{name: "list-roles", method: get, path: "/v1/roles", who: anyone, tag: "Documents", summary: "All roles"}, s.listRoles)
	register(s, route{name: "get-role", method: get, path: "/v1/roles/{name}", who: anyone, glass: true, tag: "Documents", summary: "One role"}, s.getRole)
	register(s, route{name: "delete-role", method: del, path: "/v1/roles/{name}", who: anyone, tag: "Documents",
		summary: "Delete a role", detail: "Administrators; owners as with apply. Refused while live grants hold it, unless revoke=true."}, s.deleteRole)
	register(s, route{name: "list-policies", method: get, path: "/v1/policies", who: anyone, tag: "Documents", summary: "All policies"}, s.listPolicies)
	register(s, route{name: "get-policy", method: get, path: "/v1/policies/{name}", who: anyone, tag: "Documents", summary: "One policy"}, s.getPolicy)
	register(s, route{name: "delete-policy", method: del, path: "/v1/policies/{name}", who: anyone, tag: "Documents",
		summary: "Delete a policy", detail: "Administrators; owners as with apply. Refused while live grants hold it, unless revoke=true."}, s.deletePolicy)
	register(s, route{name: "list-schedules", method: get, path: "/v1/schedules", who: anyone, tag: "Documents", summary: "All schedules, and who is on call now"}, s.listSchedules)
	register(s, route{name: "get-schedule", method: get, path: "/v1/schedules/{name}", who: anyone, tag: "Documents", summary: "One schedule"}, s.getSchedule)
	register(s, route{name: "delete-schedule", method: del, path: "/v1/schedules/{name}", who: admins, tag: "Documents",
		summary: "Delete a schedule", detail: "Refused while a policy names it."}, s.deleteSchedule)
	register(s, route{name: "list-bundles", method: get, path: "/v1/bundles", who: anyone, tag: "Documents", summary: "All named bundles"}, s.listBundles)
	register(s, route{name: "get-bundle", method: get, path: "/v1/bundles/{name}", who: anyone, tag: "Documents", summary: "One named bundle"}, s.getBundle)
	register(s, route{name: "delete-bundle", method: del, path: "/v1/bundles/{name}", who: admins, tag: "Documents", summary: "Delete a named bundle"}, s.deleteBundle)
	register(s, route{name: "list-integrations", method: get, path: "/v1/integrations", who: auditors, tag: "Documents", summary: "All integrations"}, s.listIntegrations)
	register(s, route{name: "get-integration", method: get, path: "/v1/integrations/{name}", who: auditors, tag: "Documents", summary: "One integration"}, s.getIntegration)
	register(s, route{name: "delete-integration", method: del, path: "/v1/integrations/{name}", who: admins, tag: "Documents",
		summary: "Delete an integration", detail: "Its credential stays registered."}, s.deleteIntegration)
	register(s, route{name: "list-workloads", method: get, path: "/v1/workloads", who: auditors, tag: "Documents", summary: "Which programs outside are which services"}, s.listWorkloads)
	register(s, route{name: "get-workload", method: get, path: "/v1/workloads/{name}", who: auditors, tag: "Documents", summary: "One workload"}, s.getWorkload)
	register(s, route{name: "delete-workload", method: del, path: "/v1/workloads/{name}", who: admins, tag: "Documents",
		summary: "Delete a workload", detail: "The logins by it end, and what is held by them."}, s.deleteWorkload)
	register(s, route{name: "add-token", method: post, path: "/v1/admin/integrations/{name}/tokens", who: admins, tag: "Administration",
		summary: "Make a token for an integration that tells of people", detail: "Shown once. Tokens from before end at once, or after an overlap."}, s.addToken)
	register(s, route{name: "list-tokens", method: get, path: "/v1/admin/integrations/{name}/tokens", who: admins, tag: "Administration",
		summary: "The tokens of an integration that are good, without their secrets"}, s.listTokens)
	register(s, route{name: "end-tokens", method: post, path: "/v1/admin/integrations/{name}/tokens/end", who: admins, urgent: true, tag: "Administration",
		summary: "End all tokens of an integration at once"}, s.endTokens)
	register(s, route{name: "show-directory", method: get, path: "/v1/admin/integrations/{name}/directory", who: auditors, tag: "Administration",
		summary: "How a directory is doing, and who of it waits for a confirmation"}, s.showDirectory)
	register(s, route{name: "sync-directory", method: post, path: "/v1/admin/integrations/{name}/directory/sync", who: admins, tag: "Administration",
		summary: "Have a directory read as a whole", detail: "With confirm, those leave who are held back."}, s.syncDirectory)
	register(s, route{name: "try-directory", method: post, path: "/v1/admin/integrations/{name}/directory/test", who: admins, tag: "Administration",
		summary: "Read a directory and change nothing", detail: "With name, what it says of somebody."}, s.tryDirectory)
	register(s, route{name: "link-chat", method: post, path: "/v1/chat/link", who: anyone, tag: "Sign-in",
		summary: "Link yourself to your user in a chat, by the code that the chat shows", detail: "Without sure it only says whose code it is."}, s.linkChat)
	register(s, route{name: "test-integration", method: post, path: "/v1/admin/integrations/{name}/test", who: admins, tag: "Administration",
		summary: "Send a test message to an integration", detail: "That it was tried, and how it went, is in the log."}, s.testIntegration)
	register(s, route{name: "who-can", method: get, path: "/v1/who-can", who: anyone, tag: "Documents",
		summary: "Who may ask for access to a resource, and who may not"}, s.whoCan)
	register(s, route{name: "who-has", method: get, path: "/v1/who-has", who: anyone, tag: "Documents",
		summary: "Who has access to a resource now, by a grant", detail: "Administrators, auditors and owners of the resource. Privilege that is standing on the target: see sweep."}, s.whoHas)

	// What an edit would change, and edits that wait for a second person.
	register(s, route{name: "policy-diff", method: post, path: "/v1/policy/diff", who: anyone, body: maxDocuments, tag: "Documents",
		summary: "What documents would change, in words", detail: "Administrators, auditors, policy authors; owners for resources of theirs."}, s.policyDiff)
	register(s, route{name: "policy-replay", method: post, path: "/v1/policy/replay", who: anyone, body: maxDocuments, tag: "Documents",
		summary: "What the requests of the last 30 days would have come to", detail: "Administrators, auditors, policy authors; owners for resources of theirs."}, s.policyReplay)
	register(s, route{name: "list-proposals", method: get, path: "/v1/proposals", who: anyone, tag: "Documents",
		summary: "Changes that wait, or waited, for a second person, newest first", detail: "Administrators, auditors and policy authors see all, everybody else their own and those they may decide."}, s.listProposals)
	register(s, route{name: "get-proposal", method: get, path: "/v1/proposals/{id}", who: anyone, tag: "Documents",
		summary: "One proposal, with what it would change"}, s.getProposal)
	register(s, route{name: "approve-proposal", method: post, path: "/v1/proposals/{id}/approve", who: anyone, tag: "Documents",
		summary: "Approve a proposal, which applies it", detail: "Another person than who proposed it, with the right to make the change."}, s.approveProposal)
	register(s, route{name: "deny-proposal", method: post, path: "/v1/proposals/{id}/deny", who: anyone, urgent: true, tag: "Documents",
		summary: "Deny a proposal, or withdraw one's own", detail: "Who may approve it, and who proposed it."}, s.denyProposal)
	register(s, route{name: "get-two-persons", method: get, path: "/v1/two-persons", who: auditors, tag: "Administration",
		summary: "When grave changes take two persons"}, s.getTwoPersons)
	register(s, route{name: "set-two-persons", method: post, path: "/v1/two-persons", who: admins, tag: "Administration",
		summary: "Ask for two persons more often, or less", detail: "Less often takes two persons itself, where two are asked for."}, s.setTwoPersons)

	// Principals and connector credentials.
	register(s, route{name: "list-users", method: get, path: "/v1/users", who: auditors, tag: "Administration", summary: "All users, services and agents"}, s.listUsers)
	register(s, route{name: "get-user", method: get, path: "/v1/users/{name}", who: auditors, tag: "Administration", summary: "One user, service or agent"}, s.getUser)
	register(s, route{name: "list-user-logins", method: get, path: "/v1/users/{name}/logins", who: auditors, tag: "Administration",
		summary: "Where a user, service or agent is signed in, newest first", detail: "Static tokens of services and agents are among them."}, s.userSessions)
	register(s, route{name: "add-user", method: post, path: "/v1/admin/users", who: admins, tag: "Administration",
		summary: "Make a local user, and the code for the first sign-in"}, s.addUser)
	register(s, route{name: "set-user", method: put, path: "/v1/admin/users/{name}", who: admins, urgent: true, tag: "Administration",
		summary: "Change a user's groups, manager or rights, or enable them again", detail: "What is absent stays as it is; what they hold is decided again. Nobody takes their own right to administer away."}, s.setUser)
	register(s, route{name: "enroll-user", method: post, path: "/v1/admin/users/{name}/enroll", who: admins, tag: "Administration",
		summary: "A fresh one-time code for an existing user", detail: "For a new device, or when the last login has ended. Unused codes from before are worthless from then on."}, s.enrollUser)
	register(s, route{name: "disable-user", method: post, path: "/v1/admin/users/{name}/disable", who: admins, urgent: true, tag: "Administration",
		summary: "Disable a principal and end all it holds"}, s.disableUser)
	register(s, route{name: "lock-user", method: post, path: "/v1/admin/users/{name}/lock", who: admins, urgent: true, tag: "Administration",
		summary: "Lock a principal out and end all it holds", detail: "With the services and agents that a user answers for. Nothing else is taken away: what is unlocked is as it was, but for what ended."}, s.lockUser)
	register(s, route{name: "unlock-user", method: post, path: "/v1/admin/users/{name}/unlock", who: admins, tag: "Administration",
		summary: "Let a locked principal in again", detail: "Who holds an office is let in by two administrators, where there are two: the answer has the proposal."}, s.unlockUser)
	register(s, route{name: "link-user", method: post, path: "/v1/admin/users/{name}/link", who: admins, tag: "Administration",
		summary: "Say that a user is a subject of a provider", detail: "Whoever signs in there as that subject is this user. A subject is one user's."}, s.linkUser)
	register(s, route{name: "unlink-user", method: post, path: "/v1/admin/users/{name}/unlink", who: admins, urgent: true, tag: "Administration",
		summary: "Take an identity of a user away", detail: "With the last one of a provider the groups go that it gave; what they hold is decided again."}, s.unlinkUser)
	register(s, route{name: "add-service", method: post, path: "/v1/admin/services", who: admins, tag: "Administration",
		summary: "Make a service with a token, or renew one"}, s.addService)
	register(s, route{name: "list-services", method: get, path: "/v1/admin/services", who: auditors, tag: "Administration",
		summary: "All services, with their static tokens and when they were used", detail: "Remarks say what is worth looking at: static, unused, about to end."}, s.listServices)
	register(s, route{name: "set-credential", method: put, path: "/v1/admin/credentials/{name}", who: admins, tag: "Administration",
		summary: "Register what Stint signs in to a resource or an integration with", detail: "Bound to type and address. What does not fit the documents is in warnings."}, s.setCredential)
	register(s, route{name: "list-credentials", method: get, path: "/v1/admin/credentials", who: auditors, tag: "Administration",
		summary: "The registered credentials, without what is secret, and which documents use them"}, s.listCredentials)
	register(s, route{name: "delete-credential", method: del, path: "/v1/admin/credentials/{name}", who: admins, tag: "Administration",
		summary: "Delete a credential", detail: "Refused while a document names it, or live access was made with it."}, s.deleteCredential)

	register(s, route{name: "add-vaulted", method: put, path: "/v1/admin/vault/{name}", who: admins, tag: "Administration",
		summary: "Put a privileged account into the vault", detail: "With a secret, which has to open the account; without one Stint sets a fresh one, which nobody ever sees. A name that is taken is refused."}, s.addVaulted)
	register(s, route{name: "list-vault", method: get, path: "/v1/admin/vault", who: auditors, tag: "Administration",
		summary: "The accounts in the vault, without what is secret"}, s.listVault)
	register(s, route{name: "get-vaulted", method: get, path: "/v1/admin/vault/{name}", who: auditors, tag: "Administration",
		summary: "An account in the vault, and the history of its secret"}, s.getVaulted)
	register(s, route{name: "remove-vaulted", method: del, path: "/v1/admin/vault/{name}", who: admins, tag: "Administration",
		summary: "Take an account out of the vault", detail: "Refused while it is lent or rotated. The account stays with the password that it has: nobody knows it where Stint set it; rotate one that was imported first."}, s.removeVaulted)
	register(s, route{name: "rotate-vaulted", method: post, path: "/v1/admin/vault/{name}/rotate", who: admins, tag: "Administration",
		summary: "Give a vaulted account another secret now", detail: "Its sessions end. While it is lent, who holds it gets the new secret. The answer is the entry as it is before the rotation is over: wanted is empty again after it."}, s.rotateVaulted)

	register(s, route{name: "backup", method: get, path: "/v1/admin/backup", who: admins, held: true, tag: "Administration",
		summary: "A backup of the whole store, as one file", detail: "That it was handed out is in the log first. Secrets in it are sealed; the seal key is not in it."}, s.backup)
	register(s, route{name: "quarantine", method: get, path: "/v1/admin/quarantine", who: auditors, urgent: true, tag: "Administration",
		summary: "Whether nothing is granted because the data was restored or looks old, and what stands in the way"}, s.quarantine)
	register(s, route{name: "accept-quarantine", method: post, path: "/v1/admin/quarantine/accept", who: admins, urgent: true, tag: "Administration",
		summary: "End a quarantine", detail: "Refused while not every target was found clean; with force it takes two administrators where there are two."}, s.acceptQuarantine)
	register(s, route{name: "doctor", method: get, path: "/v1/admin/doctor", who: auditors, tag: "Administration",
		summary: "What is wrong with the server, why it matters and how to mend it"}, s.doctor)

	// Passkeys.
	register(s, route{name: "list-passkeys", method: get, path: "/v1/passkeys", who: anyone, enrols: true, tag: "Passkeys",
		summary: "The caller's passkeys", detail: "Those of others: administrators and auditors."}, s.listPasskeys)
	register(s, route{name: "get-passkey", method: get, path: "/v1/passkeys/{id}", who: anyone, enrols: true, tag: "Passkeys",
		summary: "One passkey", detail: "Whose it is, administrators, auditors."}, s.getPasskey)
	register(s, route{name: "add-passkey", method: post, path: "/v1/passkeys", who: anyone, enrols: true, tag: "Passkeys",
		summary: "Enrol a passkey of the caller's", detail: "Active at once with the word of an older one of theirs; else proposed, until administrators vouch for it. The first of all is an administrator's."}, s.addPasskey)
	register(s, route{name: "vouch-passkey", method: post, path: "/v1/passkeys/{id}/vouch", who: anyone, tag: "Passkeys",
		summary: "Vouch for a proposed passkey", detail: "With a passkey of one's own: administrators for those of others (two, or one where only one has a passkey), and everybody with an older one for their own."}, s.vouchPasskey)
	register(s, route{name: "remove-passkey", method: post, path: "/v1/passkeys/{id}/remove", who: anyone, urgent: true, tag: "Passkeys",
		summary: "End a passkey", detail: "Whose it is, and administrators. Votes of it that were not acted on yet count no more."}, s.removePasskey)
	register(s, route{name: "recovery-codes", method: post, path: "/v1/recovery-codes", who: anyone, tag: "Passkeys",
		summary: "Fresh recovery codes for the caller", detail: "People only; whoever has a passkey signs for it. Codes from before are worthless from then on."}, s.recoveryCodes)

	// The audit log.
	register(s, route{name: "audit-records", method: get, path: "/v1/audit/records", who: anyone, tag: "Audit",
		summary: "Search the log", detail: "Auditors and administrators; everybody else finds their own records."}, s.auditRecords)
	register(s, route{name: "audit-tail", method: get, path: "/v1/audit/tail", who: anyone, held: true, tag: "Audit",
		summary: "Follow the log, as JSON lines", detail: "Auditors and administrators; everybody else sees their own records. An empty line every 15 s says that all is quiet."}, s.auditTail)
	register(s, route{name: "audit-export", method: get, path: "/v1/audit/export", who: auditors, held: true, tag: "Audit",
		summary: "The whole log, for verification offline"}, s.auditExport)
	register(s, route{name: "audit-checkpoint", method: get, path: "/v1/audit/checkpoint", who: anyone, tag: "Audit",
		summary: "The newest signed checkpoint"}, s.auditCheckpoint)
	register(s, route{name: "audit-witnessed", method: get, path: "/v1/audit/witnessed", who: anyone, tag: "Audit",
		summary: "The newest checkpoint that a witness has signed, with all cosignatures; empty when there is none"}, s.auditWitnessed)

	s.addGlassRoutes()
	s.addPartyRoutes()
	s.addHostRoutes()
	s.addGatewayRoutes()
	s.addRecordingRoutes()
}
