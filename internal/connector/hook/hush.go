package hook

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"html"
	"net/url"
	"strconv"
	"strings"
)

// hushed takes the place of a sentence that a secret is in.
const hushed = "what the hook says of it is not shown, for a secret is in it"

// hush takes away what a program says that has one of the secrets in it which it was told: its
// sentences reach errors, the log and persons.
func (a *answer) hush(secrets ...string) {
	var forms []string
	for _, s := range secrets {
		forms = append(forms, formsOf(s)...)
	}
	said := []*string{&a.Error, &a.Next, &a.Refused}
	for i := range a.Steps {
		said = append(said, &a.Steps[i].Name, &a.Steps[i].Detail, &a.Steps[i].Fix)
	}
	for _, s := range said {
		plain, shown := strings.ToLower(*s), strings.ToLower(printable(*s))
		for _, f := range forms {
			if strings.Contains(plain, f) || strings.Contains(shown, f) {
				*s = hushed
				break
			}
		}
	}
}

// linesOf are the parts of a private key by which it is known again: its lines, and all of it
// without their ends.
func linesOf(private string) (parts []string) {
	whole := ""
	for line := range strings.Lines(private) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "-----") {
			parts = append(parts, line)
			whole += line
		}
	}
	if block, _ := pem.Decode([]byte(private)); block != nil { // as programs write bytes
		parts = append(parts, string(block.Bytes))
	}
	return append(parts, whole)
}

// leastWithin is how long what base64 makes of a secret has to be for it to be looked for:
// what is shorter is in any sentence.
const leastWithin = 4

// formsOf are the forms in which programs write a secret, in lower case: as it is, quoted for
// one language or another, escaped for URLs, in hex, and in base64, also with something before
// and after it.
func formsOf(secret string) (forms []string) {
	if secret == "" {
		return nil
	}
	add := func(f string) {
		forms = append(forms, strings.ToLower(f))
	}
	unquoted := func(f string) { add(f[1 : len(f)-1]) }
	add(secret)
	add(printable(secret))
	unquoted(strconv.Quote(secret))
	unquoted(strconv.QuoteToASCII(secret))
	for _, escape := range []bool{true, false} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(escape)
		if e.Encode(secret) == nil {
			unquoted(strings.TrimSuffix(b.String(), "\n"))
		}
	}
	add(strings.ReplaceAll(secret, "'", `'\''`))
	add(strings.ReplaceAll(secret, "'", "''"))
	add(strings.ReplaceAll(secret, `"`, `""`))
	add(strings.NewReplacer(`\`, `\\`, "'", `\'`, `"`, `\"`).Replace(secret))
	add(html.EscapeString(secret))
	add(url.QueryEscape(secret))
	add(url.PathEscape(secret))
	add(strings.TrimPrefix(url.UserPassword("", secret).String(), ":"))
	add(hex.EncodeToString([]byte(secret)))
	for before := range 3 { // bytes before it in the group of three that it begins in
		text := append(make([]byte, before), secret...)
		from := (before*8 + 5) / 6 // the first digit that is of the secret alone
		to := len(text) * 8 / 6    // and after the last
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			if to-from >= leastWithin {
				add(e.EncodeToString(text)[from:to])
			}
		}
		clear(text)
	}
	return forms
}
