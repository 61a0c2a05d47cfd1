package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
	_ "time/tzdata" // policies name zones, also where the system has none

	"golang.org/x/sync/errgroup"

	"stint/internal/api"
	"stint/internal/apiserver"
	"stint/internal/archive"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/connector/all"
	"stint/internal/credential"
	"stint/internal/egress"
	"stint/internal/hosts"
	"stint/internal/ident"
	"stint/internal/journal"
	"stint/internal/keys"
	"stint/internal/notify"
	"stint/internal/program"
	"stint/internal/provision"
	"stint/internal/siem"
	"stint/internal/sshcert"
	"stint/internal/store"
)

const (
	storeFile     = "stint.db"
	journalFile   = "journal"
	sequenceEvery = time.Second // at the latest; usually at once
	pruneEvery    = 10 * time.Minute
	// What is live is small, so a collector that waits only until as much again was
	// allocated runs ten times a second under load, for a third of all processor
	// time. ballast counts as live and is never touched, so it costs addresses and
	// no memory: there are always that many bytes to allocate between two runs.
	gcPercent = 100
	ballast   = 8 << 20
)

// serve runs the control plane until ctx is done.
func serve(ctx context.Context, s settings, stderr io.Writer) (err error) {
	log := newLog(s, stderr)
	debug.SetGCPercent(gcPercent)
	defer runtime.KeepAlive(make([]byte, ballast))
	if err := makeData(s.data); err != nil {
		return err
	}
	ln, err := listen(s)
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }() // Serve has closed it, unless something failed before
	st, err := store.Open(ctx, store.Config{Path: s.file(), URL: s.database, Bend: bend(), Damaged: func(err error) { log.Error("a row cannot be read", "error", err) }})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	j, err := openJournal(s, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	p, err := assemble(ctx, s, st, j, log)
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // what only the start needed goes back; it is a fifth of an idle process
	log.Info("serving", "listen", ln.Addr().String(), "store", st.Kind(), "data", s.data, "version", program.Version())
	return p.run(ctx, ln)
}

// file is the SQLite file, or nothing with PostgreSQL.
func (s settings) file() string {
	if s.database != "" {
		return ""
	}
	return filepath.Join(s.data, storeFile)
}

// process is everything that runs.
type process struct {
	settings   settings
	witnesses  *witnesses
	store      *store.Store
	identity   identity
	broker     *broker.Broker
	replica    *store.Replica // nil with SQLite
	protection *protection
	server     *apiserver.Server
	bootstrap  *bootstrap
	first      bool // there is no user yet
	sinks      []*siem.File
	journal    *journal.Journal
	messages   *notify.Service
	people     *provision.Directories
	connectors []all.Connector
	hosts      *hosts.Register
	archive    *archive.Archive
	token      keyToken
	shows      *sshcert.Authority // signs the certificates by which hosts are known
	log        *slog.Logger
}

// assemble wires the packages together.
func assemble(ctx context.Context, s settings, st *store.Store, j *journal.Journal, log *slog.Logger) (*process, error) {
	p := &process{settings: s, store: st, journal: j, log: log, replica: st.Replica(log.With("part", "replicas"))}
	p.protection = &protection{store: st, replica: p.replica, wanted: s.highAvailability, accepted: s.acceptUnprotected, log: log}
	if err := p.protection.admit(ctx); err != nil {
		return nil, err
	}
	var err error
	if p.identity, err = openIdentity(ctx, st, s); err != nil {
		return nil, err
	}
	served, remote, err := p.newHosts(ctx)
	if err != nil {
		return nil, err
	}
	if p.connectors, err = all.List(remote, s.hooks, ledger{st}); err != nil {
		return nil, err
	}
	connectors := map[string]connector.Connector{}
	for _, c := range p.connectors {
		connectors[c.Type()] = c
	}
	p.token = newToken(s, log.With("part", "token"))
	users, hosts, err := openAuthorities(ctx, st, p.identity.vault, p.token)
	if err != nil {
		return nil, err
	}
	p.shows = hosts
	id := ident.New(forIdent(st))
	id.TakesTwo = func(tx ident.Tx) (bool, error) { return broker.OfficesTakeTwo(tx) }
	var peers broker.Peers // stays nil with SQLite: a nil *Replica in it would be one
	if p.replica != nil {
		peers = p.replica
	}
	p.broker, err = broker.New(broker.Config{
		Store: forBroker(st), Connectors: connectors, Tagger: p.identity.tagger, Vault: p.identity.vault, SealTo: keys.SealTo,
		Installation: p.identity.installation, Epoch: p.identity.epoch, Replica: replica(), Alone: st.Kind() == "sqlite", Peers: peers,
		Integrations: integrations(),
		Tickets:      tickets{egress.New(s.egress).HTTP()},
		Journal:      j,
		Log:          log.With("part", "broker"),
		Clock:        st,
		ReviewWithin: s.reviewWithin,
		Fresh:        p.fresh,
		DelegateFor:  s.delegateFor,
	})
	if err != nil {
		return nil, err
	}
	p.broker.SetHold(holdCommits, p.protection.hold())
	p.witnesses = newWitnesses(s, st, p.broker, p.identity, log.With("part", "witness"))
	p.messages = p.newMessages()
	p.people = p.newDirectories()
	if p.archive, err = p.newArchive(ctx); err != nil {
		return nil, err
	}
	p.server, err = apiserver.New(apiserver.Config{
		Channels: channels{p.messages, p.people, st}, Directories: p.people, Chat: p.messages, Provisioned: forProvisioning(st),
		Broker: p.broker, Logins: credential.New(forLogins(st)), Ident: id, Replays: replays(st), Audit: auditLog{st}, Ready: st.Ready, Caution: p.protection.caution, Version: program.Version(), Log: log.With("part", "api"),
		LogKey: api.LogKey{Origin: p.identity.origin, Key: p.identity.verifier}, Limits: s.limits, Keep: p, PublicURL: s.publicURL, Proxies: s.proxies,
		Outside: egress.New(s.egress).HTTP(),
		SSH:     apiserver.Authorities{Users: users, Hosts: hosts},
		Hosts:   served,
		Archive: p.archive,
	})
	if err != nil {
		return nil, err
	}
	for _, path := range s.auditTo {
		sink := siem.NewFile(path, auditSource{st}, log.With("part", "siem"))
		sink.Rewind = p.afterRestore
		p.sinks = append(p.sinks, sink)
	}
	p.bootstrap = newBootstrap(id, s.data, log)
	if p.first, err = p.bootstrap.open(ctx); err != nil {
		return nil, fmt.Errorf("write the bootstrap token: %w", err)
	}
	return p, nil
}

// replays remembers proofs where all who could be shown them look.
func replays(st *store.Store) ident.Replays {
	if st.Kind() == "sqlite" {
		return ident.NewMemory(apiserver.ProofWindow, time.Now)
	}
	return ident.Shared{Store: st, Window: apiserver.ProofWindow}
}

// run runs until ctx is done or something fails. The doors close first; the work
// goes on until the last call is answered.
func (p *process) run(ctx context.Context, ln net.Listener) error {
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	doors, closeDoors := context.WithCancel(ctx)
	defer closeDoors()
	g, failed := errgroup.WithContext(work)
	defer context.AfterFunc(failed, closeDoors)()
	among, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	g.Go(func() error { defer leave(); return p.broker.Run(failed) }) // calls in flight are vouched for until they have ended
	if p.replica != nil {
		g.Go(func() error { return p.replica.Run(among, p.broker) })
		g.Go(func() error { p.protection.watch(failed, p.broker); return nil })
	}
	// Access ends from the first moment on; the doors open when the log was compared
	// with its witnesses, or they had their time to answer.
	g.Go(func() error {
		defer stopWork()
		boot, cancel := context.WithTimeout(doors, witnessAtBoot)
		p.witnesses.compare(boot)
		cancel()
		return p.server.Serve(doors, ln)
	})
	g.Go(func() error { p.witnesses.run(failed); return nil })
	g.Go(func() error { p.keepTime(failed); return nil })
	g.Go(func() error { p.sequence(failed); return nil })
	g.Go(func() error { p.prune(failed); return nil })
	g.Go(func() error { p.watchBacklog(failed); return nil })
	g.Go(func() error { p.mend(failed, p.journal); return nil })
	for _, sink := range p.sinks {
		g.Go(func() error { p.follow(failed, sink); return nil })
	}
	g.Go(func() error { p.token.Run(failed); return nil })
	g.Go(func() error { p.messages.Run(failed); return nil })
	g.Go(func() error { return p.archive.Run(failed) })
	g.Go(func() error { p.newDuty().Run(failed); return nil })
	g.Go(func() error { p.pollSignals(failed); return nil })
	g.Go(func() error { p.watchTickets(failed); return nil })
	g.Go(func() error { p.closeLost(failed); return nil })
	g.Go(func() error { p.people.Run(failed); return nil })
	g.Go(func() error { p.server.WatchWorkloads(failed); return nil })
	if p.first {
		g.Go(func() error { return p.bootstrap.run(failed) })
	}
	g.Go(func() error { p.reopen(failed); return nil })
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	for _, c := range p.connectors {
		c.Close()
	}
	p.log.Info("stopped")
	return err
}

// tryAgain is how long the log's keepers wait after a failure.
const tryAgain = 2 * time.Second

// sequence keeps the audit log in order. A log that does not add up is a reason
// to grant nothing new until somebody has looked and started stintd again, and
// none to stop: then nothing would end.
func (p *process) sequence(ctx context.Context) {
	for ctx.Err() == nil {
		err := p.store.RunSequencer(ctx, p.identity.signer, p.identity.origin, sequenceEvery)
		if err != nil && ctx.Err() == nil {
			p.log.Error("the audit log is not continued", "error", err)
			p.broker.SetHold(holdDamaged, broker.Hold{Why: "the audit log does not add up",
				Next: "an administrator finds the cause in the server's log, mends it and restarts stintd; ending and revoking work"})
			pause(ctx, tryAgain)
		}
	}
}

// keepTime lets the store compare clocks. What it cannot write is tried again.
func (p *process) keepTime(ctx context.Context) {
	p.store.KeepTime(ctx, func(err error) { p.log.Warn("the high-water mark of time was not written", "error", err) })
}

// follow runs a reader of the log for ever.
func (p *process) follow(ctx context.Context, sink *siem.File) {
	for ctx.Err() == nil {
		if err := sink.Run(ctx); err != nil && ctx.Err() == nil {
			p.log.Error("an audit file is not written; tried again", "error", err)
			pause(ctx, tryAgain)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// prune forgets what is of no more use: old proofs, answers, commit marks.
func (p *process) prune(ctx context.Context) {
	t := time.NewTicker(pruneEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := p.store.Prune(ctx); err != nil && ctx.Err() == nil {
				p.log.Warn("old rows were not removed; tried again later", "error", err)
			}
		}
	}
}

// lostEvery is how often sessions are looked for whose gateway is not heard of.
const lostEvery = 15 * time.Second

// closeLost closes them.
func (p *process) closeLost(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, lostEvery)
		if err := p.broker.CloseLost(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("lost sessions were not closed; tried again", "error", err)
		}
	}
}

// reopen opens the audit files anew on SIGHUP.
func (p *process) reopen(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			for _, sink := range p.sinks {
				sink.Reopen()
			}
			p.log.Info("audit files are opened anew")
		}
	}
}

func listen(s settings) (net.Listener, error) {
	ln, err := net.Listen("tcp", s.listen)
	if err != nil {
		return nil, refuse("cannot-listen", "cannot listen on "+s.listen, err.Error(), "stop what listens there, or choose another address with --listen")
	}
	if s.tls != nil {
		ln = tls.NewListener(ln, s.tls)
	}
	return ln, nil
}

func newLog(s settings, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: s.logLevel}
	if s.logJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// replica names this process among all that ever ran on the store.
func replica() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	host, err := os.Hostname()
	if err != nil {
		host = "unnamed"
	}
	return host + "-" + hex.EncodeToString(b[:])
}
