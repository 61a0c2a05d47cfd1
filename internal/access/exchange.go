package access

// WorkloadLogin is a service's that proved to whom it belongs by what its platform says
// of it, and holds no secret of its own. With a device's key it is bound to that.
const WorkloadLogin LoginKind = "workload"

// ByCertificate is the provider of a workload for which a client certificate stands.
const ByCertificate = "certificate"

// Exchange is what a service showed for a login: a token of its platform, or a
// certificate. The login is good only for as long as the document by which it fitted
// still says the same of it.
type Exchange struct {
	Workload    string // the document by which it fitted
	Integration string // who vouched; empty for a certificate
	Issuer      string
	Subject     string
	Audience    string            // the one of the token's that is ours
	Claims      map[string]string // as conditions see them
	// Certificate is the SHA-256 of the client certificate without which the login is
	// nothing (RFC 8705 section 3); zero: none is asked.
	Certificate Digest
	URIs, DNS   []string // the certificate's names
}
