package carried

import "stint/internal/access"

// WebType is the type of resource that stands for a web application or an HTTP API.
const WebType = "http"

// TCPType is the type of resource that stands for a port of whatever else speaks TCP.
const TCPType = "tcp"

// Methods are those that a rule can name. A star stands for the common ones.
const methods = `(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|WEBSOCKET|PROPFIND|PROPPATCH|MKCOL|COPY|MOVE|LOCK|UNLOCK|REPORT|SEARCH|QUERY)`

// The parts of a path in a rule: no dots alone, no two stars in a row, and one part of two
// stars at most. What is not in here no gateway passes.
const (
	part        = `\.?(\*|\*?[A-Za-z0-9_~!$&'()+=:@-]\*?)([A-Za-z0-9_~!$&'()+=:@.-]\*?)*`
	paths       = `(/|/\*\*(/` + part + `)*/?|(/` + part + `)+(/\*\*)?(/` + part + `)*/?)`
	rulePattern = `(\*|` + methods + `( ` + methods + `)*) ` + paths
	ruleForm    = "methods and a path, like GET POST /api/**; * stands for the common methods, WEBSOCKET for opening one, * in a path for part of a name, and a part ** for any parts, once"
)

// What logins by form are made of.
const (
	formPath     = `(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+/?(\?[A-Za-z0-9._~=&-]+)?`
	formPathForm = "a path like /login, which is not the front page"
	fieldName    = `[A-Za-z_][A-Za-z0-9_.:\[\]-]{0,63}`
	cookieForm   = `[A-Za-z0-9_.-]{1,64}`
)

// Options of sessions, whatever they carry.
func sessions() map[string]access.Option {
	return map[string]access.Option{
		"through": {Doc: "how sessions reach it: through a gateway, which records them", Values: []string{"gateway"}, Default: "gateway"},
		"onPartition": {Doc: "what becomes of a session while its gateway is cut off from Stint; without it, it closes. Resources of high and critical criticality always close",
			Values: []string{"close", "keep"}},
		"sourceAddress": {Doc: "where sessions may come from; without it, from anywhere", Many: true,
			Pattern: `[0-9a-fA-F.:]{2,39}(/[0-9]{1,3})?`, Form: "an address, or a network like 10.0.0.0/8"},
		"maxBytes": {Doc: "the most bytes that one session carries, both ways; it ends with the next", Min: 1, Max: 1 << 50},
	}
}

// HTTP says what documents may contain for web applications.
func HTTP() access.Schema {
	role := sessions()
	role["record"] = access.Option{Doc: "how a gateway records: with strict, nothing passes before it is durable; without it, normal", Values: []string{"normal", "strict"}}
	role["allow"] = access.Option{Doc: "the requests that pass; what no rule allows is refused", Many: true, Required: true, Pattern: rulePattern, Form: ruleForm}
	role["deny"] = access.Option{Doc: "requests that do not pass, whatever is allowed", Many: true, Pattern: rulePattern, Form: ruleForm}
	role["alarm"] = access.Option{Doc: "requests that set off an alarm", Many: true, Pattern: rulePattern, Form: ruleForm}
	role["assert"] = access.Option{Doc: "whether each request carries a signed word of who it is, in Stint-Assertion, for applications that read it; without it, none does", Values: []string{"true", "false"}}
	role["bodies"] = access.Option{Doc: "how many bytes of each body are recorded, both ways; without it, none", Min: 1, Max: 1 << 20}
	role["maxBody"] = access.Option{Doc: "the most bytes of one request's body; without it, 100 MiB", Min: 1, Max: 1 << 40}
	role["drop"] = access.Option{Doc: "headers that the application believes and nobody may send, beside those by which applications are usually told who somebody is", Many: true,
		Pattern: `[A-Za-z0-9-]{1,64}`, Form: "the name of a header"}
	return access.Schema{
		Type:       WebType,
		Mechanisms: []access.Mechanism{access.Token},
		Connection: map[string]access.Option{
			"tls": {Doc: "how gateways reach the application; off is for loopback addresses of the gateway's own host only", Values: []string{"verify", "off"}, Default: "verify"},
			"ca":  {Doc: "the certificate authority of the application, as PEM text; without it, those of the gateway's machine"},
			"serverName": {Doc: "the name that the application's certificate is for; without it, the host of the address",
				Pattern: `[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?`, Form: "the name of a host"},
			"host": {Doc: "the Host header that the application gets; without it, the name that its certificate is for",
				Pattern: `[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?`, Form: "the name of a host, and a port if it needs one"},
			"login": {Doc: "how gateways log in to the application with the connection's credential, which nobody sees; without it, they do not",
				Values: []string{"none", "basic", "bearer", "header", "certificate", "form"}},
			"loginHeader":        {Doc: "the header that the credential is sent in", Needs: "login=header", Pattern: `[A-Za-z0-9-]{1,64}`, Form: "the name of a header"},
			"loginPath":          {Doc: "the path of the login page; people do not reach it, and the gateway logs in anew when the application leads there", Needs: "login=form", Pattern: formPath, Form: formPathForm},
			"loginPost":          {Doc: "the path that the form is sent to; without it, that of the page", Needs: "login=form", Pattern: formPath, Form: formPathForm},
			"loginUserField":     {Doc: "the field of the user name; without it, username", Needs: "login=form", Pattern: fieldName, Form: "the name of a field"},
			"loginPasswordField": {Doc: "the field of the password; without it, password", Needs: "login=form", Pattern: fieldName, Form: "the name of a field"},
			"loginToken": {Doc: "the hidden field of the login page whose value is sent along, as against forged requests; without it, the page is not read", Needs: "login=form",
				Pattern: fieldName, Form: "the name of a field"},
			"loginFields": {Doc: "what else the form says", Needs: "login=form", Many: true, Pattern: fieldName + `=[^\x00-\x1f,]{0,256}`, Form: "a field and its value, like realm=local"},
			"loginCookie": {Doc: "the cookie by which a login is known to have worked; without it, the application has to lead away from the login page", Needs: "login=form",
				Pattern: cookieForm, Form: "the name of a cookie"},
			"browserCookies": {Doc: "cookies that scripts of the application's pages read, such as one against forged requests; all others stay in the gateway", Needs: "login=form", Many: true,
				Pattern: cookieForm, Form: "the name of a cookie"},
			"logout": {Doc: "what ends the application's own session when the session through the gateway ends; without it, nothing does", Needs: "login=form",
				Pattern: `((GET|POST) )?` + formPath, Form: "a path, or POST and a path"},
		},
		Role:         role,
		NoCredential: true,
		Carried:      true,
	}
}

// TCP says what documents may contain for ports of whatever else speaks TCP.
func TCP() access.Schema {
	return access.Schema{Type: TCPType, Mechanisms: []access.Mechanism{access.Token}, Connection: map[string]access.Option{}, Role: sessions(), NoCredential: true, Carried: true}
}
