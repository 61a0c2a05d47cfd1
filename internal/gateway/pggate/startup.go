package pggate

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"unicode/utf8"

	"stint/internal/access"
)

// What the first packet of a connection asks for, in place of a version.
const (
	wantsCancel = 80877102
	wantsTLS    = 80877103
	wantsGSS    = 80877104
	version3    = 3 << 16
)

const (
	longestStartup = 10_000 // the server's own bound, MAX_STARTUP_PACKET_LENGTH
	mostParameters = 64
	asked          = 8 // first packets on one connection: GSS and TLS are asked for, then it starts
)

// passedOn are the parameters that a client may set as it connects. They say how values
// look, and nothing of what names mean or as whom statements run: search_path in a
// startup packet was CVE-2025-12819 of a pooler, and options can set anything.
var passedOn = []string{"application_name", "client_encoding", "datestyle", "intervalstyle", "timezone", "extra_float_digits", "bytea_output", "statement_timeout", "lock_timeout"}

// startup is what a client wants.
type startup struct {
	User, Database string
	Parameters     map[string]string // of passedOn, by their names in small letters
	Minor          uint32            // of the protocol's version, that it asked for
	Unknown        []string          // options of the protocol that we do not have, beginning with _pq_.
}

// first is the first packet of a connection: a code, and the rest of it.
type first struct {
	code uint32
	rest []byte
}

// readFirst reads exactly one such packet: what stands behind it is for whoever reads next.
func readFirst(r io.Reader) (first, error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return first{}, err
	}
	n := binary.BigEndian.Uint32(b[:4])
	if n < 8 || n > longestStartup {
		return first{}, fmt.Errorf("%w: a first packet of %d bytes", errMalformed, n)
	}
	p := first{code: binary.BigEndian.Uint32(b[4:]), rest: make([]byte, n-8)}
	_, err := io.ReadFull(r, p.rest)
	return p, err
}

// parseStartup reads the parameters of a StartupMessage.
func parseStartup(p first) (s startup, err error) {
	if p.code>>16 != 3 {
		return s, access.Fail(access.Invalid, "bad-version", fmt.Sprintf("the client speaks version %d.%d of the protocol", p.code>>16, p.code&0xffff)).
			Try("use a client of PostgreSQL 7.4 or later")
	}
	s.Minor, s.Parameters = p.code&0xffff, map[string]string{}
	seen := map[string]bool{}
	for rest := p.rest; ; {
		var name, value string
		if name, rest, err = word(rest); err != nil {
			return s, err
		}
		if name == "" {
			if len(rest) > 0 {
				return s, fmt.Errorf("%w: %d bytes after the parameters", errMalformed, len(rest))
			}
			break
		}
		if value, rest, err = word(rest); err != nil {
			return s, err
		}
		key := strings.ToLower(name)
		switch {
		case !utf8.ValidString(name) || !utf8.ValidString(value):
			return s, fmt.Errorf("%w: a parameter that is no text", errMalformed)
		case seen[key]:
			return s, fmt.Errorf("%w: the parameter %q twice", errMalformed, name)
		case len(seen) == mostParameters:
			return s, fmt.Errorf("%w: more than %d parameters", errMalformed, mostParameters)
		}
		seen[key] = true
		switch {
		case key == "user":
			s.User = value
		case key == "database":
			s.Database = value
		case strings.HasPrefix(key, "_pq_."):
			s.Unknown = append(s.Unknown, name)
		case slices.Contains(passedOn, key):
			s.Parameters[key] = value
		case key == "replication" && slices.Contains([]string{"false", "off", "no", "0"}, value):
		case key == "replication":
			return s, access.Fail(access.Denied, "no-replication", "replication does not go through the gateway").
				Because("what it carries is not statements, and would not be recorded")
		default:
			return s, access.Fail(access.Invalid, "bad-parameter", fmt.Sprintf("the parameter %q cannot be set while connecting", name)).
				Try("set it after connecting, where your role may: SET " + name + " = …")
		}
	}
	if s.User == "" {
		return s, access.Fail(access.Invalid, "bad-user", "the client did not say as whom it connects").
			Try("connect as user=RESOURCE; stint get resources lists what there is")
	}
	if s.Database == "" {
		s.Database = s.User // as the server does, when the caller knows no better
	}
	return s, nil
}

// negotiated says which version and options the server has instead of those that were
// asked for, and is nil where nothing differs (NegotiateProtocolVersion).
func (s *startup) negotiated() []byte {
	if s.Minor == 0 && len(s.Unknown) == 0 {
		return nil
	}
	b := binary.BigEndian.AppendUint32(nil, version3)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.Unknown)))
	for _, o := range s.Unknown {
		b = append(append(b, o...), 0)
	}
	return frame('v', b)
}

// begins reads what a connection begins with: TLS, straight away or asked for, or the
// wish to cancel. It answers no to everything else that may be asked, and reads nothing
// of what stands behind the last answer.
func begins(c net.Conn, firstByte byte) (cancel []byte, tls bool, err error) {
	if firstByte == 0x16 { // a TLS handshake, as clients since 17 may begin with
		return nil, true, nil
	}
	r := io.MultiReader(strings.NewReader(string(firstByte)), c)
	for range asked {
		p, err := readFirst(r)
		if err != nil {
			return nil, false, err
		}
		switch p.code {
		case wantsTLS, wantsGSS:
			if len(p.rest) > 0 {
				return nil, false, fmt.Errorf("%w: a question with %d bytes more", errMalformed, len(p.rest))
			}
			answer := "N"
			if p.code == wantsTLS {
				answer = "S"
			}
			if _, err := c.Write([]byte(answer)); err != nil || p.code == wantsTLS {
				return nil, err == nil, err
			}
			r = c
		case wantsCancel:
			return p.rest, false, nil
		default:
			return nil, false, access.Fail(access.Denied, "no-tls", "the gateway is reached with TLS only").
				Try("set sslmode=verify-full, or use stint db")
		}
	}
	return nil, false, fmt.Errorf("%w: too many questions before it began", errMalformed)
}
