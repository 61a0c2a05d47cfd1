package notify

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/audit"
)

// Integration is a channel as its document describes it.
type Integration struct {
	Name       string
	Type       string
	Address    string
	Credential string
	Options    map[string]string
}

// Login is an opened credential. It is kept for one call.
type Login struct {
	Username string
	Secret   access.Secret
}

// Outside says which channels there are.
type Outside interface {
	// Integrations are those of all types, as the documents of this moment have them.
	Integrations(ctx context.Context) ([]Integration, error)
	// Since is the number of the record that tells of these documents: a channel that
	// is new in them is told of what came after. access.Pending while it has none.
	Since(ctx context.Context) (int64, error)
	// Login opens a credential that the integration names.
	Login(ctx context.Context, integration, credential string) (Login, error)
}

// Config is what a Service is made of. All fields are required but for Site.URL.
type Config struct {
	Source  Log
	Memory  Memory
	World   World
	Outside Outside
	Owner   string // this process, among all that ever ran on the store
	Site    Site
	// HTTP and Dial make the calls, under the rules for those.
	HTTP *http.Client
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	TLS  func(server string) *tls.Config
	// People are behind those who click in a chat; nil: nobody clicks.
	People People
	// Requesters are those who ask; nil: none of them is told anything.
	Requesters Requesters
	Log        *slog.Logger
}

// Service serves the channels that the documents name.
type Service struct {
	Config
	clicks chan struct{} // one for each that is being carried out
}

// New makes a service. Run starts it.
func New(c Config) *Service { return &Service{Config: c, clicks: make(chan struct{}, clicksAtOnce)} }

// lookEvery is how often the documents are looked at.
const lookEvery = time.Second

// Run serves the channels until ctx is done. Each has a goroutine of its own, so that
// none waits for another.
func (s *Service) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	running := map[string]context.CancelFunc{} // by what the document says, name included
	begun := map[string]bool{}
	silent := false
	for ; ctx.Err() == nil; pause(ctx, lookEvery) {
		all, err := s.Outside.Integrations(ctx)
		if err != nil {
			if !silent && ctx.Err() == nil {
				s.Log.Warn("the integrations cannot be read; those that are known go on", "error", err)
			}
			silent = true
			continue
		}
		silent = false
		wanted := map[string]bool{}
		for _, i := range all {
			if !Serves(i.Type) {
				continue
			}
			if id := i.digest() + " socket"; s.hasSocket(i) {
				if wanted[id] = true; running[id] == nil {
					each, stop := context.WithCancel(ctx)
					running[id] = stop
					wg.Go(func() { s.runSocket(each, i) })
				}
			}
			for _, own := range s.sides(i) {
				id, name := i.digest(), i.channel()
				if own {
					id, name = id+ownSuffix, name+ownSuffix
				}
				wanted[id] = true
				if running[id] != nil {
					continue
				}
				if err := s.begin(ctx, name, begun); err != nil {
					if access.KindOf(err) != access.Pending && ctx.Err() == nil {
						s.Log.Warn("a channel does not begin; tried again", "integration", i.Name, "error", err)
					}
					continue
				}
				r, err := s.reader(i)
				if err != nil {
					s.Log.Error("a channel cannot be served", "integration", i.Name, "error", err)
					running[id] = func() {}
					continue
				}
				if r.name = name; own {
					r.own = s.Requesters
				}
				each, stop := context.WithCancel(ctx)
				running[id] = stop
				wg.Go(func() { r.run(each) })
			}
		}
		for id, stop := range running {
			if !wanted[id] {
				stop()
				delete(running, id)
			}
		}
	}
	for _, stop := range running {
		stop()
	}
}

// ownSuffix tells the reader for those who ask from the other one of its channel.
const ownSuffix = " own"

// sides are the readers of a channel: false the one for its own readers, true the one
// for those who ask.
func (s *Service) sides(i Integration) []bool {
	if s.Requesters != nil && i.Options[ofRequesters] == "yes" {
		return []bool{false, true}
	}
	return []bool{false}
}

func (s *Service) begin(ctx context.Context, name string, begun map[string]bool) error {
	if begun[name] {
		return nil
	}
	since, err := s.Outside.Since(ctx)
	if err != nil {
		return err
	}
	if err := s.Memory.Begin(ctx, name, since); err != nil {
		return err
	}
	begun[name] = true
	return nil
}

// digest is of all that the document says.
func (i Integration) digest() string {
	b, err := json.Marshal(i)
	if err != nil {
		panic("notify: an integration does not encode: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// channel names the channel unlike every other: where the same name comes to stand
// for another place, what was sent to the old one is of no meaning there.
func (i Integration) channel() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", i.Type, i.Address, i.Options["channel"], i.Options["to"]))
	return i.Name + "@" + hex.EncodeToString(sum[:8])
}

// sender is how a type of channel is made: one of the two results is set.
type sender func(s *Service, i Integration) (Channel, Stream, error)

var senders = map[string]sender{
	Webhook: newWebhook,
	Mail:    newMail,
	Slack:   newSlack,
	Teams:   newTeams,
	Paging:  newPaging,
}

// Serves reports whether a type of integration is a channel.
func Serves(typ string) bool { return senders[typ] != nil }

func (s *Service) reader(i Integration) (*reader, error) {
	f, err := filterOf(i.Options)
	if err != nil {
		return nil, err
	}
	ch, st, err := senders[i.Type](s, i)
	if err != nil {
		return nil, err
	}
	return &reader{name: i.channel(), at: i, owner: s.Owner, site: s.Site, filter: f, channel: ch, stream: st,
		source: s.Source, memory: s.Memory, world: s.World, log: s.Log.With("integration", i.Name)}, nil
}

// Try sends one message that says who tries the channel out. It is in no log of what
// was sent.
func (s *Service) Try(ctx context.Context, by access.PrincipalID, name string) error {
	all, err := s.Outside.Integrations(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(i Integration) bool { return i.Name == name })
	if at < 0 {
		return access.Fail(access.NotFound, "no-such-integration", fmt.Sprintf("there is no integration %q", name)).Try("stint get integrations lists what there is")
	}
	i := all[at]
	if !Serves(i.Type) {
		return access.Fail(access.Invalid, "no-channel", "messages are not sent to an integration of type "+i.Type)
	}
	ch, st, err := senders[i.Type](s, i)
	if err != nil {
		return access.Fail(access.Invalid, "no-channel", "the integration "+name+" cannot be served").Because(err.Error())
	}
	now := time.Now().UTC()
	if st != nil {
		err = st.Hand(ctx, audit.Record{ID: "rec_trial", Event: access.Event{Type: "integration.tried", At: now, Entity: "integration:" + name, Version: 1,
			Actor: access.Actor{Principal: by}, Facts: map[string]string{"integration": name}}}, -1)
	} else {
		_, err = ch.Send(ctx, OfTrial(s.Site, by, name, now), Sent{})
	}
	var ours *access.Error
	switch {
	case err == nil || errors.As(err, &ours):
		return err
	default:
		return access.Fail(access.Unavailable, "channel-failed", "the message was not taken").Because(cut(err.Error(), 500)).Try("mend that, then try again: stint admin integration test " + name)
	}
}

// Trouble is what is the matter with a channel, and since when.
type Trouble struct {
	Why   string    `json:"why,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// Troubles are the channels that do not take messages, by the name of the integration.
func (s *Service) Troubles(ctx context.Context) (map[string]Trouble, error) {
	all, err := s.Outside.Integrations(ctx)
	if err != nil {
		return nil, err
	}
	states, err := s.Memory.States(ctx)
	if err != nil {
		return nil, err
	}
	found := map[string]Trouble{}
	for _, i := range all {
		var t Trouble
		if json.Unmarshal(states[i.channel()], &t) == nil && t.Why != "" {
			found[i.Name] = t
		}
	}
	return found, nil
}

// secret opens the credential of a channel for one call.
func (s *Service) secret(ctx context.Context, i Integration, credential string) (Login, error) {
	if credential == "" {
		return Login{}, access.Fail(access.Invalid, "no-credential", "integration "+i.Name+" names no credential")
	}
	return s.Outside.Login(ctx, i.Name, credential)
}

// Schemas are those of all types of channel.
func Schemas() []access.Schema {
	shared := map[string]access.Option{
		"events":      {Doc: "what it is told of: requests that somebody has to decide, grants, troubles", Many: true, Values: []string{ofRequests, ofGrants, ofTroubles}, Default: ofRequests + "," + ofTroubles},
		"criticality": {Doc: "only what concerns resources of this criticality or above", Values: texts(access.Criticalities)},
		"labels":      {Doc: "only what concerns resources with all of these labels, name=value", Many: true, Pattern: labelPattern, Form: "write it as name=value"},
	}
	with := func(more map[string]access.Option) map[string]access.Option {
		all := maps.Clone(shared)
		maps.Copy(all, more)
		return all
	}
	return []access.Schema{
		webhookSchema(with),
		mailSchema(with),
		slackSchema(with),
		teamsSchema(with),
		pagingSchema(with),
	}
}

const labelPattern = `[a-zA-Z0-9][a-zA-Z0-9_./-]{0,62}=[^,]{0,255}`

func texts[S ~string](ss []S) []string {
	out := make([]string, len(ss))
	for i, x := range ss {
		out[i] = string(x)
	}
	return out
}
