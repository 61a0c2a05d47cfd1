package hosts

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/envelope"
)

// Events of hosts. Stored: only append.
const (
	HostInvited  access.EventType = "host.invited"  // a code for its agent was given out
	HostEnrolled access.EventType = "host.enrolled" // its agent has taken the code
	HostRevoked  access.EventType = "host.revoked"  // its agent may act no more
	// HostDoubted is an answer that an honest agent does not give.
	HostDoubted access.EventType = "host.doubted"

	GatewayInvited  access.EventType = "gateway.invited"
	GatewayEnrolled access.EventType = "gateway.enrolled"
	GatewayRevoked  access.EventType = "gateway.revoked"
	GatewayCarries  access.EventType = "gateway.carries" // an administrator said what it carries
)

// kind is what enrols. A key of one kind is worth nothing as the other's, and neither is
// a code.
type kind struct {
	code                       string // begins its codes
	entity                     string // begins its name in the log
	noun, enroll, again, other string // for people
	invited, enrolled, revoked access.EventType
}

var (
	agents = kind{code: "stint-host-", entity: "host:", noun: "agent", enroll: "stint admin host enroll RESOURCE", again: "enrol it: stint admin host enroll RESOURCE, then stint-agent enroll on the host",
		other: "remove its key with stint-agent uninstall, then enrol anew", invited: HostInvited, enrolled: HostEnrolled, revoked: HostRevoked}
	gateways = kind{code: "stint-gateway-", entity: "gateway:", noun: "gateway", enroll: "stint admin gateway enroll NAME", again: "enrol it: stint admin gateway enroll NAME, then stint-gateway enroll",
		other: "remove the folder of the gateway, then enrol anew", invited: GatewayInvited, enrolled: GatewayEnrolled, revoked: GatewayRevoked}
)

func kindOf(h access.Host) kind {
	if _, is := h.Gateway(); is {
		return gateways
	}
	return agents
}

// CodeFor is how long a code is good: somebody stands at the host with it.
const CodeFor = 15 * time.Minute

const (
	codeBytes = 32
	// keepHost is how long it takes until a replica has noticed that another one
	// revoked an agent.
	keepHost = 5 * time.Second
	// doubtEvery bounds how often the log is told of one host's wrong answers.
	doubtEvery = time.Minute
)

// Tx is one transaction; see package store.
type Tx interface {
	Now() time.Time
	Append(evs ...access.Event) error
	Host(name string) (access.Host, error)
	HostByCode(code access.Digest) (access.Host, error)
	HostByAgent(agent access.DeviceID) (access.Host, error)
	Hosts() ([]access.Host, error)
	SaveHost(h access.Host) error
	SeeHost(name string) error
	PutHostCall(c access.HostCall) error
	TakeHostCalls(host string, ends, rest int) ([]access.HostCall, error)
	AnswerHostCall(host, id, answer string) error
	HostAnswers(calls map[string]string) (map[string]string, error)
	DropHostCall(id string) (untaken bool, err error)
	Entitlement(id access.EntitlementID) (access.Entitlement, error)
}

// Store is the memory of all replicas.
type Store interface {
	Update(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Register keeps which hosts have an agent. It is safe for concurrent use.
type Register struct {
	store Store
	// orders is the key that calls are signed with: it is in every code, so that an
	// agent learns it from who gave it the code and not from who answers.
	orders ed25519.PublicKey

	mu     sync.Mutex
	names  map[string]cached // by name
	agents map[access.DeviceID]cached
	doubts map[string]time.Time // by host, when the log was told last
	seen   map[string]time.Time // by gateway, when the store was told last
}

type cached struct {
	host access.Host
	at   time.Time
}

// NewRegister makes a register.
func NewRegister(s Store, orders ed25519.PublicKey) *Register {
	return &Register{store: s, orders: orders, names: map[string]cached{}, agents: map[access.DeviceID]cached{}, doubts: map[string]time.Time{}, seen: map[string]time.Time{}}
}

// Code is a code that was made for a host.
type Code struct {
	Host  string
	Text  access.Secret
	Until time.Time
}

// Invite makes a code for the agent of a host. A code that was given out before is
// worth nothing from then on; an agent that is enrolled stays so until the new one
// takes its place.
func (r *Register) Invite(ctx context.Context, by access.Actor, host string) (Code, error) {
	return r.invite(ctx, by, access.Host{Name: host})
}

// InviteGateway makes a code for a gateway, which persons reach at address. It is as with
// Invite, but that the address, and what it carries, count from now on.
func (r *Register) InviteGateway(ctx context.Context, by access.Actor, name, address string, carries []access.Protocol) (Code, error) {
	if !access.ValidName(name) {
		return Code{}, access.Fail(access.Invalid, "bad-name", "the gateway needs a name of letters, digits, dots, dashes and underscores")
	}
	return r.invite(ctx, by, access.Host{Name: access.GatewayHost(name), Address: address, Carries: carries})
}

func (r *Register) invite(ctx context.Context, by access.Actor, which access.Host) (Code, error) {
	k := kindOf(which)
	raw := make([]byte, codeBytes)
	_, _ = rand.Read(raw) // never fails
	text := k.code + base64.RawURLEncoding.EncodeToString(raw) + "." + envelope.Pin(r.orders)
	out := Code{Host: which.Name, Text: access.NewSecret([]byte(text))}
	err := r.store.Update(ctx, func(tx Tx) error {
		h, err := tx.Host(which.Name)
		if access.KindOf(err) == access.NotFound && err != nil {
			h = access.Host{Name: which.Name}
		} else if err != nil {
			return err
		}
		h.Version++
		h.Address, h.Carries = which.Address, which.Carries
		h.Code, h.CodeUntil = sha256.Sum256([]byte(text)), tx.Now().Add(CodeFor)
		out.Until = h.CodeUntil
		if err := tx.SaveHost(h); err != nil {
			return err
		}
		return tx.Append(event(k.invited, h, by, tx.Now()))
	})
	return out, err
}

// Enrol exchanges a code for the enrolment of the agent with this key.
func (r *Register) Enrol(ctx context.Context, code access.Secret, agent access.DeviceID, key ed25519.PublicKey, program string, from netip.Addr) (access.Host, error) {
	return r.enrol(ctx, agents, code, agent, key, program, from)
}

// EnrolGateway exchanges a code for the enrolment of the gateway with this key.
func (r *Register) EnrolGateway(ctx context.Context, code access.Secret, gateway access.DeviceID, key ed25519.PublicKey, program string, from netip.Addr) (access.Host, error) {
	return r.enrol(ctx, gateways, code, gateway, key, program, from)
}

func (r *Register) enrol(ctx context.Context, k kind, code access.Secret, agent access.DeviceID, key ed25519.PublicKey, program string, from netip.Addr) (access.Host, error) {
	text := strings.TrimSpace(string(code.Reveal()))
	if !strings.HasPrefix(text, k.code) || agent == "" || len(key) != ed25519.PublicKeySize {
		return access.Host{}, k.badCode()
	}
	digest := access.Digest(sha256.Sum256([]byte(text)))
	var was access.DeviceID
	var out access.Host
	err := r.store.Update(ctx, func(tx Tx) error {
		h, err := tx.HostByCode(digest)
		switch {
		case err != nil && access.KindOf(err) == access.NotFound:
			return k.badCode()
		case err != nil:
			return err
		case subtle.ConstantTimeCompare(h.Code[:], digest[:]) != 1, kindOf(h) != k:
			return k.badCode()
		case !tx.Now().Before(h.CodeUntil):
			return access.Fail(access.Unauthenticated, "code-expired", "the code has expired").Because("it was good until " + h.CodeUntil.Format(time.RFC3339)).
				Try("have an administrator make a new one: " + k.enroll)
		}
		if other, err := tx.HostByAgent(agent); err == nil && other.Name != h.Name {
			return access.Fail(access.Conflict, "other-host", "this key is enrolled for another host or gateway").Because(other.Name).Try(k.other)
		} else if err != nil && access.KindOf(err) != access.NotFound {
			return err
		}
		was = h.Agent
		h.Version++
		h.Code, h.CodeUntil, h.Doors = access.Digest{}, time.Time{}, nil // doors were the one before's
		h.Agent, h.Key, h.Program, h.EnrolledAt, h.RevokedAt = agent, key, program, tx.Now(), time.Time{}
		if err := tx.SaveHost(h); err != nil {
			return err
		}
		out = h
		by := access.System
		by.Device, by.Address = agent, from
		return tx.Append(event(k.enrolled, h, by, tx.Now()))
	})
	if err != nil {
		return access.Host{}, err
	}
	r.forget(out.Name, was, out.Agent)
	return out, nil
}

func (k kind) badCode() error {
	return access.Fail(access.Unauthenticated, "bad-code", "the code is not valid").Because("it is wrong, was used, or another was made after it").
		Try("have an administrator make a new one: " + k.enroll)
}

// Revoke ends the enrolment of a host's agent, and makes an open code worthless.
func (r *Register) Revoke(ctx context.Context, by access.Actor, host string) (access.Host, error) {
	return r.revoke(ctx, agents, by, host)
}

// RevokeGateway ends the enrolment of a gateway, and makes an open code worthless. Its
// sessions are not renewed any more.
func (r *Register) RevokeGateway(ctx context.Context, by access.Actor, name string) (access.Host, error) {
	return r.revoke(ctx, gateways, by, access.GatewayHost(name))
}

func (r *Register) revoke(ctx context.Context, k kind, by access.Actor, host string) (access.Host, error) {
	var was access.DeviceID
	var out access.Host
	err := r.store.Update(ctx, func(tx Tx) error {
		h, err := tx.Host(host)
		if err != nil && access.KindOf(err) == access.NotFound {
			return k.unknown(strings.TrimPrefix(host, access.GatewayHost("")))
		} else if err != nil {
			return err
		}
		was, out = h.Agent, h
		if !h.Enrolled() && h.CodeUntil.IsZero() {
			return nil
		}
		h.Version++
		h.Agent, h.Key, h.Code, h.CodeUntil, h.RevokedAt, h.SSHKeys = "", nil, access.Digest{}, time.Time{}, tx.Now(), nil
		if err := tx.SaveHost(h); err != nil {
			return err
		}
		out = h
		return tx.Append(event(k.revoked, h, by, tx.Now()))
	})
	if err == nil {
		r.forget(host, was, "")
	}
	return out, err
}

// SetCarries says which protocols' sessions a gateway may carry from now on. Those that are
// open go on.
func (r *Register) SetCarries(ctx context.Context, by access.Actor, name string, carries []access.Protocol) (out access.Host, err error) {
	err = r.store.Update(ctx, func(tx Tx) error {
		h, err := tx.Host(access.GatewayHost(name))
		if err != nil && access.KindOf(err) == access.NotFound {
			return gateways.unknown(name)
		} else if err != nil {
			return err
		}
		if out = h; slices.Equal(h.Carries, carries) {
			return nil
		}
		h.Version++
		h.Carries = slices.Clone(carries)
		if err := tx.SaveHost(h); err != nil {
			return err
		}
		out = h
		return tx.Append(event(GatewayCarries, h, by, tx.Now()))
	})
	if err == nil {
		r.forget(out.Name, out.Agent)
	}
	return out, err
}

func (k kind) unknown(name string) error {
	return access.Fail(access.NotFound, "no-"+k.noun, "no "+k.noun+" is enrolled for "+name).Try("stint admin " + strings.TrimSuffix(k.entity, ":") + " list says which there are")
}

// List gives all hosts, by name.
func (r *Register) List(ctx context.Context) ([]access.Host, error) { return r.list(ctx, agents) }

// Gateways gives all gateways, by name.
func (r *Register) Gateways(ctx context.Context) ([]access.Host, error) {
	return r.list(ctx, gateways)
}

func (r *Register) list(ctx context.Context, k kind) (all []access.Host, err error) {
	err = r.store.View(ctx, func(tx Tx) (err error) { all, err = tx.Hosts(); return err })
	return slices.DeleteFunc(all, func(h access.Host) bool { return kindOf(h) != k }), err
}

func event(t access.EventType, h access.Host, by access.Actor, at time.Time) access.Event {
	facts := map[string]string{}
	if h.Address != "" {
		facts["address"] = h.Address
	}
	if h.Agent != "" {
		facts["agent"], facts["program"] = string(h.Agent), h.Program
	}
	for i, p := range h.Carries {
		if i > 0 {
			facts["carries"] += " "
		}
		facts["carries"] += string(p)
	}
	return access.Event{Type: t, At: at, Entity: kindOf(h).entity + strings.TrimPrefix(h.Name, access.GatewayHost("")), Version: h.Version, Actor: by, Facts: facts}
}

// Doubt puts an answer that an honest agent does not give into the log, and no more
// than one of a host in a minute.
func (r *Register) Doubt(ctx context.Context, host, why string) error {
	now := time.Now()
	r.mu.Lock()
	told := now.Sub(r.doubts[host]) < doubtEvery
	if !told {
		r.doubts[host] = now
	}
	r.mu.Unlock()
	if told {
		return nil
	}
	return r.store.Update(ctx, func(tx Tx) error {
		h, err := tx.Host(host)
		if err != nil {
			return err
		}
		h.Version++ // records of one entity have each a version of its own
		if err := tx.SaveHost(h); err != nil {
			return err
		}
		ev := event(HostDoubted, h, access.System, tx.Now())
		ev.Facts["why"] = why
		return tx.Append(ev)
	})
}

// Seen notes that a gateway is heard of, every half a minute.
func (r *Register) Seen(ctx context.Context, h access.Host) error {
	now := time.Now()
	r.mu.Lock()
	told := now.Sub(r.seen[h.Name]) < seeEvery
	if !told {
		r.seen[h.Name] = now
	}
	r.mu.Unlock()
	if told {
		return nil
	}
	return r.store.Update(ctx, func(tx Tx) error { return tx.SeeHost(h.Name) })
}

func (r *Register) forget(name string, agents ...access.DeviceID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.names, name)
	for _, a := range agents {
		delete(r.agents, a)
	}
}

// named is an enrolled host. Where the store does not answer, what it said last
// counts: access has to end all the same.
func (r *Register) named(ctx context.Context, name string) (access.Host, error) {
	r.mu.Lock()
	c, ok := r.names[name]
	r.mu.Unlock()
	if ok && time.Since(c.at) < keepHost {
		return c.host, nil
	}
	h, err := r.read(ctx, func(tx Tx) (access.Host, error) { return tx.Host(name) })
	switch {
	case err == nil && h.Enrolled():
		r.mu.Lock()
		r.names[name] = cached{h, time.Now()}
		r.mu.Unlock()
		return h, nil
	case err == nil, access.KindOf(err) == access.NotFound:
		r.forget(name)
		return access.Host{}, access.Fail(access.Unavailable, "no-agent", "no agent is enrolled for "+name).
			Try("enrol one: stint admin host enroll RESOURCE").Wrap(envelope.ErrNotSent)
	case ok:
		return c.host, nil
	}
	return access.Host{}, errors.Join(envelope.ErrNotSent, err)
}

// Of is the host that an agent is enrolled for.
func (r *Register) Of(ctx context.Context, agent access.DeviceID) (access.Host, error) {
	return r.of(ctx, agents, agent)
}

// OfGateway is the gateway that a key is enrolled for.
func (r *Register) OfGateway(ctx context.Context, key access.DeviceID) (access.Host, error) {
	return r.of(ctx, gateways, key)
}

// of is the one that a key is enrolled for. Where the store does not answer, what it
// said last counts.
func (r *Register) of(ctx context.Context, k kind, agent access.DeviceID) (access.Host, error) {
	h, err := r.enrolled(ctx, k, agent)
	if err == nil && kindOf(h) != k {
		return access.Host{}, k.notEnrolled()
	}
	return h, err
}

func (k kind) notEnrolled() error {
	return access.Fail(access.Unauthenticated, "not-enrolled", "this "+k.noun+" is not enrolled, or not any more").Try(k.again)
}

func (r *Register) enrolled(ctx context.Context, k kind, agent access.DeviceID) (access.Host, error) {
	r.mu.Lock()
	c, ok := r.agents[agent]
	r.mu.Unlock()
	if ok && time.Since(c.at) < keepHost {
		return c.host, nil
	}
	h, err := r.read(ctx, func(tx Tx) (access.Host, error) { return tx.HostByAgent(agent) })
	switch {
	case err == nil:
		r.mu.Lock()
		if len(r.agents) > 4*maxAgents {
			clear(r.agents)
		}
		r.agents[agent] = cached{h, time.Now()}
		r.mu.Unlock()
		return h, nil
	case access.KindOf(err) == access.NotFound:
		r.mu.Lock()
		delete(r.agents, agent)
		r.mu.Unlock()
		return access.Host{}, k.notEnrolled()
	case ok:
		return c.host, nil
	}
	return access.Host{}, err
}

// maxAgents is far above what one installation has.
const maxAgents = 50_000

func (r *Register) read(ctx context.Context, fn func(Tx) (access.Host, error)) (h access.Host, err error) {
	within, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err = r.store.View(within, func(tx Tx) (err error) { h, err = fn(tx); return err })
	return h, err
}
