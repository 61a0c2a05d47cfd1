package words

// Words of what several pages say.
const (
	TermH                 = " h"
	TermTheTarget         = "the target"
	TermMayBeAtOnce       = "may be at once"
	TermOnePersonApproves = "one person approves"
	TermPeopleApprove     = " people approve"
	TermUpTo              = "up to "
	TermOn                = " on "
	TermADevice           = "a device"
	TermSince             = ", since "
	TermAtOnce            = "at once"
	TermAfterApproval     = "after approval"
)

// TypeName is a kind of target as people call it.
func TypeName(kind string) string {
	switch kind {
	case "postgres":
		return "PostgreSQL"
	case "linux":
		return "Linux"
	case "ssh":
		return "SSH"
	case "http":
		return "Web application"
	case "tcp":
		return "TCP"
	case "kubernetes":
		return "Kubernetes"
	case "aws":
		return "AWS"
	case "":
		return TermTheTarget
	}
	return kind
}
