package directory

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"stint/internal/access"
)

// user is a person as the directory has them.
type user struct {
	dn, subject, name, display string
	at                         string // what groups call them: the key of the DN, or the name
	off                        bool
	expires                    time.Time // zero: never
}

// active reports whether they work here at a time: an account that expires is changed
// by nobody at that moment.
func (u *user) active(now time.Time) bool {
	return !u.off && (u.expires.IsZero() || now.Before(u.expires))
}

// group is a group as the directory has it.
type group struct {
	dn, at, subject, name string   // at: the key of the DN
	members               []string // by what users and groups are called here
}

// place is where an entry stands.
func (u *user) place() string  { return u.dn }
func (g *group) place() string { return g.dn }

// What says that an account is disabled or over.
const (
	attrControl = "userAccountControl"   // Active Directory; [MS-ADTS] 2.2.16
	attrExpires = "accountExpires"       // Active Directory
	attrNSLock  = "nsAccountLock"        // 389 Directory Server and FreeIPA
	attrPwdLock = "pwdAccountLockedTime" // the password policy of OpenLDAP; draft-behera-ldap-password-policy-10 section 5.3.3

	disabledBit = 2
	// lockedForGood is what an administrator writes. Any other time is a lock after
	// wrong passwords, which everybody can bring about: it is nobody's leaving.
	lockedForGood = "000001010000Z"
)

func (s Settings) userAttributes() []string {
	return []string{s.Subject, s.UserName, "displayName", s.Changed, attrControl, attrExpires, attrNSLock, attrPwdLock}
}

func (s Settings) groupAttributes() []string {
	return []string{s.Subject, s.GroupName, s.Member, s.Changed}
}

func first(e *ldap.Entry, name string) string {
	v := e.GetEqualFoldAttributeValue(name)
	if len(v) > maxText {
		return v[:maxText]
	}
	return v
}

// subject is the id of an entry: a GUID in the form that Active Directory's own tools
// show, or text as it is.
func (s Settings) subject(e *ldap.Entry) (string, error) {
	text := first(e, s.Subject)
	if strings.EqualFold(s.Subject, "objectGUID") {
		b := e.GetEqualFoldRawAttributeValue(s.Subject)
		if len(b) != 16 {
			return "", fmt.Errorf("%s is not a GUID", s.Subject)
		}
		h := hex.EncodeToString([]byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]})
		text = h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	}
	if err := (access.Identity{Provider: "directory", Subject: text}).Check(); err != nil {
		return "", fmt.Errorf("%s is missing, or nothing that can be kept", s.Subject)
	}
	return text, nil
}

// user reads an entry. An error is about the whole directory: what says who is
// disabled cannot be read.
func (s Settings) user(e *ldap.Entry) (u *user, problem string, err error) {
	u = &user{dn: e.DN}
	if u.subject, err = s.subject(e); err != nil {
		return nil, err.Error(), nil
	}
	if u.name = first(e, s.UserName); u.name == "" {
		return nil, s.UserName + " is missing", nil
	}
	if d := first(e, "displayName"); utf8.ValidString(d) && len(d) <= 256 {
		u.display = d
	}
	if v := first(e, attrControl); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return nil, "", unreadable(e, attrControl)
		}
		u.off = n&disabledBit != 0
	}
	if v := first(e, attrExpires); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return nil, "", unreadable(e, attrExpires)
		}
		u.expires = fileTime(n)
	}
	if strings.EqualFold(first(e, attrNSLock), "true") || first(e, attrPwdLock) == lockedForGood {
		u.off = true
	}
	return u, "", nil
}

func unreadable(e *ldap.Entry, name string) error {
	return unreachable("it says of "+access.Label(e.DN)+" what cannot be read: "+name, nil)
}

// fileTime is a time of Active Directory: steps of 100 ns since 1601. 0 and what is
// beyond all calendars is never.
func fileTime(n int64) time.Time {
	const since1601, step = 11644473600, 10_000_000
	if sec := n/step - since1601; n > 0 && sec < 253402300800 { // the year 10000
		return time.Unix(sec, n%step*100).UTC()
	}
	return time.Time{}
}

// generalized reads the time of modifyTimestamp (RFC 4517 section 3.3.13), in whole
// seconds of UTC, as servers write it; zero if it is none.
func generalized(v string) time.Time {
	v, ok := strings.CutSuffix(v, "Z")
	if !ok {
		return time.Time{}
	}
	v, _, _ = strings.Cut(v, ".")
	t, err := time.Parse("20060102150405", v)
	if err != nil {
		return time.Time{}
	}
	return t
}

// key makes two ways to write a DN one (RFC 4514): case, spaces and escapes make no
// difference. What is no DN is compared as it is.
func key(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return "?" + strings.ToLower(dn)
	}
	var b strings.Builder
	for _, rdn := range parsed.RDNs {
		for i, a := range rdn.Attributes {
			if i > 0 {
				b.WriteByte('+')
			}
			fmt.Fprintf(&b, "%s=%q", strings.ToLower(a.Type), strings.ToLower(strings.Join(strings.Fields(a.Value), " ")))
		}
		b.WriteByte(',')
	}
	return b.String()
}

// Filter is a condition that an attribute has a value, whatever is in the value
// (RFC 4515 section 3).
func Filter(attribute, value string) string {
	return "(" + attribute + "=" + ldap.EscapeFilter(value) + ")"
}

func and(filters ...string) string { return "(&" + strings.Join(filters, "") + ")" }
