package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/audit"
)

// Webhook is the type of channels that are handed the records themselves, signed as
// Standard Webhooks 1.0 says.
const Webhook = "webhook"

func newWebhook(s *Service, i Integration) (Channel, Stream, error) { return nil, &webhook{s, i}, nil }

func webhookSchema(with func(map[string]access.Option) map[string]access.Option) access.Schema {
	return access.Schema{Type: Webhook, NeedsCredential: true, Integration: with(map[string]access.Option{
		"events": {Doc: "types of events: request.approved, grant.*, or * for all", Many: true, Pattern: `\*|[a-z]+\.(\*|[a-z_]+)`,
			Form: "write request.approved, grant.* or *", Default: "*"},
	})}
}

type webhook struct {
	service *Service
	at      Integration
}

// event is the body of a call.
type event struct {
	Type      access.EventType `json:"type"`
	Timestamp string           `json:"timestamp"` // of the event
	Data      eventData        `json:"data"`
}

type eventData struct {
	Installation string          `json:"installation"`
	Seq          int64           `json:"seq"` // -1 where somebody tries it out
	Record       json.RawMessage `json:"record"`
}

// Hand sends a record. Its id is that of the record, so that a receiver knows one
// that it has; the timestamp is of the call, so that an old call cannot be sent again.
func (w *webhook) Hand(ctx context.Context, r audit.Record, seq int64) error {
	encoded, err := audit.Encode(r)
	if err != nil {
		return err
	}
	body, err := encode(event{r.Event.Type, r.Event.At.UTC().Format(access.Stamp), eventData{w.service.Site.Installation, seq, encoded}})
	if err != nil {
		return err
	}
	login, err := w.service.secret(ctx, w.at, w.at.Credential)
	if err != nil {
		return err
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	signature, err := sign(login.Secret, r.ID, stamp, body)
	if err != nil {
		return err
	}
	h := http.Header{}
	h.Set("Webhook-Id", r.ID)
	h.Set("Webhook-Timestamp", stamp)
	h.Set("Webhook-Signature", signature)
	_, err = post(ctx, w.service.HTTP, w.at.Address, h, body)
	return err
}

// sign makes the signatures of a call: one for each secret, of which there are two
// while one replaces the other. A secret is "whsec_" and base64, or plain text.
func sign(secrets access.Secret, id, stamp string, body []byte) (string, error) {
	var all []string
	for _, s := range strings.Fields(string(secrets.Reveal())) {
		key := []byte(s)
		if coded, ok := strings.CutPrefix(s, "whsec_"); ok {
			var err error
			if key, err = base64.StdEncoding.DecodeString(coded); err != nil {
				return "", errors.New("the secret begins with whsec_ and is not base64")
			}
		}
		if len(key) < 24 {
			return "", errors.New("the secret is shorter than 24 bytes")
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + stamp + "."))
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if len(all) == 0 {
		return "", errors.New("the secret is empty")
	}
	return strings.Join(all, " "), nil
}

// encode is JSON in one line, with < and & as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}
