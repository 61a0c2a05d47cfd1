package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/apiserver"
	"stint/internal/store"
)

const (
	// gatewayLate is when an enrolled gateway is missed: it renews its sessions every 10 s.
	gatewayLate = time.Minute
	// bringLate is when a recording should have come after its session closed.
	bringLate = 2 * time.Minute
	// shownLate is what is left of a gateway's host certificate when it has missed renewing
	// it for days: it is good for a week, and renewed twice a day.
	shownLate = 4 * 24 * time.Hour
)

func late(h access.Host, within time.Duration) bool {
	return time.Since(h.SeenAt) > within && time.Since(h.EnrolledAt) > within
}

// gatewaysOf looks at the gateways, and at what they should have brought.
func (p *process) gatewaysOf(ctx context.Context, x *examination) {
	all, err := p.hosts.Gateways(ctx)
	if err != nil {
		x.broken("gateways", err, "nothing is known of them")
		return
	}
	good, enrolled := 0, 0
	for _, h := range all {
		if !h.Enrolled() {
			continue
		}
		enrolled++
		name, _ := h.Gateway()
		shown, err := p.shownBy(ctx, name)
		switch {
		case late(h, gatewayLate):
			saw := "it was never heard of since it enrolled"
			if !h.SeenAt.IsZero() {
				saw = fmt.Sprintf("it was last heard of %s ago", time.Since(h.SeenAt).Round(time.Second))
			}
			x.warn("gateway "+name, saw, "no session opens through it; those that were open have ended, or end with their grants where their role lets them go on",
				"on its host: stint-gateway status, systemctl status stint-gateway; if it is gone for good: stint admin gateway revoke "+name)
		case err == nil && !shown.IsZero() && time.Until(shown) < shownLate:
			x.warn("gateway "+name, "the certificate by which it is known ends "+shown.UTC().Format(time.RFC3339)+", and was not renewed", "after that nobody connects to it",
				"see its log for why, and that its clock is right: journalctl -u stint-gateway")
		default:
			good++
		}
	}
	if good > 0 {
		x.ok("gateways", fmt.Sprintf("%d, each heard of within %s", good, gatewayLate))
	}
	if set, err := p.broker.Documents(ctx); err == nil && enrolled == 0 {
		for _, r := range set.Roles() {
			if r.Options["through"] == "gateway" {
				x.warn("gateways", "none is enrolled, and sessions of the role "+string(r.Name)+" go through one", "nobody who has the role can connect",
					"stint admin gateway enroll NAME --address HOST:PORT, then stint-gateway enroll on its host: docs/tasks/gateway.md")
				break
			}
		}
	}
	n, oldest, by, err := p.behind(ctx)
	switch {
	case err != nil:
		x.broken("recordings", err, "it is not known whether all of them came")
	case n > 0:
		x.warn("recordings", fmt.Sprintf("%d did not come to their end, the oldest session closed %s ago; from %s", n, time.Since(oldest).Round(time.Second), strings.Join(by, ", ")),
			"what was done in those sessions cannot be seen yet; who recorded them keeps what was not brought",
			"start that gateway, or agent, if it is silent; a gateway's metric stint_gateway_recordings_stuck and its log say what cannot be brought; never empty its folder recordings/")
	default:
		x.ok("recordings", "all of closed sessions have come")
	}
	p.keptOf(ctx, x)
}

// keptLooked is how many recordings are looked for where they are kept: those that a copy of
// the folder would lack, made before they were.
const keptLooked = 50

// keptOf looks whether recordings are where they should be: a backup holds none.
func (p *process) keptOf(ctx context.Context, x *examination) {
	if p.archive == nil {
		return
	}
	ctx, done := context.WithTimeout(ctx, placeWithin)
	defer done()
	missing, looked, err := p.archive.Missing(ctx, keptLooked)
	switch {
	case err != nil:
		x.broken("kept recordings", err, "what was done in sessions cannot be seen")
	case len(missing) > 0:
		x.fail("kept recordings", fmt.Sprintf("%d of the newest %d are not where they are kept, the newest of %s", len(missing), looked, missing[0]), "backups hold no recordings: if the data was restored, the folder or the bucket was not, or is older",
			"copy recordings.folder back from where you keep its copy, or set recordings.s3 as it was; then stint session verify "+missing[0]+": docs/tasks/upgrade-backup-restore.md#recordings")
	case looked > 0:
		x.ok("kept recordings", fmt.Sprintf("the newest %d are where they are kept", looked))
	}
}

// shownBy is when the newest certificate of a gateway's host key ends.
func (p *process) shownBy(ctx context.Context, gateway string) (ends time.Time, err error) {
	err = p.store.View(ctx, func(tx *store.Tx) error {
		cs, err := tx.Certificates(access.CertificateQuery{Resource: access.ResourceName(access.GatewayHost(gateway)), Valid: true, Limit: 100})
		for _, c := range cs {
			if c.Kind == access.HostCertificate && c.RevokedAt.IsZero() && c.NotAfter.After(ends) {
				ends = c.NotAfter
			}
		}
		return err
	})
	return ends, err
}

// behind counts recordings that have not come to their end though their session closed a
// while ago; a thousand are looked at.
func (p *process) behind(ctx context.Context) (n int, oldest time.Time, gateways []string, err error) {
	err = p.store.View(ctx, func(tx *store.Tx) error {
		running, err := tx.Recordings(access.RecordingQuery{State: access.RecordingRunning, Limit: 1000})
		if err != nil {
			return err
		}
		for _, r := range running {
			s, err := tx.Session(access.SessionID(r.Session))
			if access.KindOf(err) == access.NotFound && err != nil {
				continue // its session is forgotten
			} else if err != nil {
				return err
			}
			if s.ClosedAt.IsZero() || tx.Now().Sub(s.ClosedAt) < bringLate {
				continue
			}
			n++
			if oldest.IsZero() || s.ClosedAt.Before(oldest) {
				oldest = s.ClosedAt
			}
			if !slices.Contains(gateways, r.Gateway) {
				gateways = append(gateways, r.Gateway)
			}
		}
		return nil
	})
	return n, oldest, gateways, err
}

// Fleet implements apiserver.Keep.
func (p *process) Fleet(ctx context.Context) (f apiserver.Fleet, err error) {
	count := func(all []access.Host, within time.Duration) (enrolled, silent int) {
		for _, h := range all {
			if h.Enrolled() {
				enrolled++
				if late(h, within) {
					silent++
				}
			}
		}
		return enrolled, silent
	}
	agents, err := p.hosts.List(ctx)
	if err != nil {
		return f, err
	}
	gateways, err := p.hosts.Gateways(ctx)
	if err != nil {
		return f, err
	}
	f.Agents, f.SilentAgents = count(agents, hostLate)
	f.Gateways, f.SilentGateways = count(gateways, gatewayLate)
	var oldest time.Time
	if f.Behind, oldest, _, err = p.behind(ctx); !oldest.IsZero() {
		f.Oldest = time.Since(oldest)
	}
	return f, err
}
