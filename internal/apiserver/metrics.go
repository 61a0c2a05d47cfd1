package apiserver

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"stint/internal/access"
	"stint/internal/broker"
)

// metrics are the server's numbers. No label holds a name or an address.
type metrics struct {
	handler        http.Handler
	calls          *prometheus.CounterVec
	seconds        *prometheus.HistogramVec
	signInFailures *prometheus.CounterVec
	shed           prometheus.Counter
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stint_http_requests_total", Help: "Calls, by route and status."}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "stint_http_request_seconds", Help: "How long calls took, waits included.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 60}}, []string{"route"}),
		signInFailures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stint_sign_in_failures_total", Help: "Calls that did not prove who makes them, by code."}, []string{"code"}),
		shed:           prometheus.NewCounter(prometheus.CounterOpts{Name: "stint_http_shed_total", Help: "Calls refused because there was too much to do."}),
	}
	lags := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "stint_revocation_lag_seconds",
		Help:    "From when access should have been gone to when its absence was read back.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}})
	r := prometheus.NewRegistry()
	r.MustRegister(lags, m.calls, m.seconds, m.signInFailures, m.shed,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "stint_http_in_flight", Help: "Calls in work."}, func() float64 { return float64(s.work.used.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "stint_caution", Help: "1 while /readyz has a caution: replicas share a database that can lose what was acknowledged."}, func() float64 {
			if s.caution() != "" {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "stint_http_waits", Help: "Held answers and streams."}, func() float64 { return float64(s.waits.used.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "stint_goroutines", Help: "Goroutines of this process."}, func() float64 { return float64(runtime.NumGoroutine()) }),
		&inside{server: s, lags: lags},
	)
	m.handler = promhttp.HandlerFor(r, promhttp.HandlerOpts{Timeout: 5 * time.Second, MaxRequestsInFlight: 2})
	return m
}

func (m *metrics) observe(route string, status int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	m.calls.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

// inside reads broker and log when somebody asks for the numbers.
type inside struct {
	server *Server
	lags   prometheus.Histogram
}

var (
	lagRecords  = prometheus.NewDesc("stint_audit_unsequenced_records", "Records that wait for their number in the log.", nil, nil)
	lagSeconds  = prometheus.NewDesc("stint_audit_unsequenced_seconds", "How long the oldest of them has waited.", nil, nil)
	events      = prometheus.NewDesc("stint_events_total", "Changes made by this process, by type of event.", []string{"type"}, nil)
	failures    = prometheus.NewDesc("stint_provision_errors_total", "Set-ups that a target refused or did not answer, by type of target.", []string{"type"}, nil)
	ending      = prometheus.NewDesc("stint_grants_ending", "Grants whose access is being removed; a thousand are counted at most.", nil, nil)
	overdue     = prometheus.NewDesc("stint_grants_overdue", "Of these, those not verified gone a second after their end.", nil, nil)
	away        = prometheus.NewDesc("stint_store_away_seconds", "How long the store has taken no changes; 0 while it does.", nil, nil)
	known       = prometheus.NewDesc("stint_ahead_entitlements", "Entitlements that could be ended without the store.", nil, nil)
	more        = prometheus.NewDesc("stint_ahead_truncated", "1 when more could end than is known ahead.", nil, nil)
	journalled  = prometheus.NewDesc("stint_journal_records", "Records of the journal that are not in the log yet.", nil, nil)
	unsafe      = prometheus.NewDesc("stint_journal_in_memory", "1 when such records would not survive this process.", nil, nil)
	heldBack    = prometheus.NewDesc("stint_grants_held", "Reasons for which nothing new is granted just now.", nil, nil)
	witnesses   = prometheus.NewDesc("stint_witnesses", "Witnesses that are configured.", nil, nil)
	signing     = prometheus.NewDesc("stint_witnesses_signing", "Of these, those that have signed when they were asked last.", nil, nil)
	unseen      = prometheus.NewDesc("stint_unwitnessed_records", "Records of the log that no witness has signed yet.", nil, nil)
	quarantine  = prometheus.NewDesc("stint_quarantined", "1 while nothing is granted because the data was restored or looks old.", nil, nil)
	trusted     = prometheus.NewDesc("stint_clock_trusted", "1 while this replica trusts its clock, 0 while it grants nothing for doubt of it.", nil, nil)
	clockAhead  = prometheus.NewDesc("stint_clock_ahead_seconds", "By how much the clock is ahead of Stint's time.", nil, nil)
	hostAhead   = prometheus.NewDesc("stint_clock_host_ahead_seconds", "By how much this host's clock is ahead of PostgreSQL's.", nil, nil)
	reviewsOpen = prometheus.NewDesc("stint_reviews_open", "Break-glass accesses that nobody has reviewed yet; a thousand are counted at most.", nil, nil)
	reviewsLate = prometheus.NewDesc("stint_reviews_overdue", "Of these, those that should have been reviewed by now.", nil, nil)
	agents      = prometheus.NewDesc("stint_agents", "Agents of hosts that are enrolled.", nil, nil)
	agentsGone  = prometheus.NewDesc("stint_agents_silent", "Of these, those that were not heard of for two minutes.", nil, nil)
	gateways    = prometheus.NewDesc("stint_gateways", "Gateways that are enrolled.", nil, nil)
	gatewaysOut = prometheus.NewDesc("stint_gateways_silent", "Of these, those that were not heard of for a minute.", nil, nil)
	behind      = prometheus.NewDesc("stint_recordings_behind", "Recordings that have not come to their end two minutes after their session closed; of a thousand that are looked at.", nil, nil)
	behindFor   = prometheus.NewDesc("stint_recordings_behind_seconds", "How long ago the first session of these closed.", nil, nil)
	swept       = prometheus.NewDesc("stint_last_sweep_timestamp_seconds", "When targets were last compared with what should be there.", nil, nil)
)

func (*inside) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lagRecords, lagSeconds, events, failures, ending, overdue, away, known, more, journalled, unsafe, heldBack, swept, witnesses, signing, unseen, quarantine, trusted, clockAhead, hostAhead, reviewsOpen, reviewsLate, agents, agentsGone, gateways, gatewaysOut, behind, behindFor} {
		ch <- d
	}
}

// Collect leaves out what it cannot find out: a gap in the graph is the truth.
func (c *inside) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	if n, oldest, err := c.server.audit.Lag(ctx); err == nil {
		gauge(lagRecords, float64(n))
		gauge(lagSeconds, oldest.Seconds())
	}
	o, yes := c.server.broker.Outage(), map[bool]float64{true: 1}
	since := 0.0
	if !o.Since.IsZero() {
		since = time.Since(o.Since).Seconds()
	}
	gauge(away, since)
	gauge(known, float64(o.Ahead))
	gauge(more, yes[o.Truncated])
	gauge(journalled, float64(o.Waiting))
	gauge(unsafe, yes[o.Journal != nil])
	gauge(heldBack, float64(len(c.server.broker.Holds())))
	if k := c.server.keep; k != nil {
		if all, n, tail, err := k.Witnesses(ctx); err == nil {
			gauge(witnesses, float64(all))
			gauge(signing, float64(n))
			if all > 0 {
				gauge(unseen, float64(tail))
			}
		}
	}
	if k := c.server.keep; k != nil {
		if f, err := k.Fleet(ctx); err == nil {
			gauge(agents, float64(f.Agents))
			gauge(agentsGone, float64(f.SilentAgents))
			gauge(gateways, float64(f.Gateways))
			gauge(gatewaysOut, float64(f.SilentGateways))
			gauge(behind, float64(f.Behind))
			gauge(behindFor, f.Oldest.Seconds())
		}
	}
	if q, _, err := c.server.broker.QuarantineState(ctx); err == nil {
		gauge(quarantine, map[bool]float64{true: 1}[q.Kind != ""])
	}
	if open, late, err := c.server.broker.ReviewCounts(ctx); err == nil {
		gauge(reviewsOpen, float64(open))
		gauge(reviewsLate, float64(late))
	}
	if source := c.server.broker.Clock; source != nil {
		st := source.Clock()
		gauge(trusted, map[bool]float64{true: 1}[st.Trusted])
		gauge(clockAhead, st.Ahead.Seconds())
		gauge(hostAhead, st.Skew.Seconds())
	}
	st := c.server.broker.Stats()
	for t, n := range st.Events {
		ch <- prometheus.MustNewConstMetric(events, prometheus.CounterValue, float64(n), string(t))
	}
	for t, n := range st.ProvisionErrors {
		ch <- prometheus.MustNewConstMetric(failures, prometheus.CounterValue, float64(n), t)
	}
	for _, lag := range st.Lags {
		c.lags.Observe(lag.Seconds())
	}
	if !st.SweptAt.IsZero() {
		gauge(swept, float64(st.SweptAt.Unix()))
	}
	self := broker.Caller{Principal: access.Principal{ID: access.System.Principal, Auditor: true}}
	vs, err := c.server.broker.Grants(ctx, self, access.GrantQuery{States: []access.GrantState{access.Ending}, Limit: 1000})
	if err != nil {
		return
	}
	late := 0
	for _, v := range vs {
		if v.Grant.Overdue(v.Now) {
			late++
		}
	}
	gauge(ending, float64(len(vs)))
	gauge(overdue, float64(late))
}
