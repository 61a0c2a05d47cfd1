package apiserver

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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
	r := prometheus.NewRegistry()
	r.MustRegister(m.calls, m.seconds, m.signInFailures, m.shed,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "stint_http_in_flight", Help: "Calls in work."}, func() float64 { return float64(s.work.used.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "stint_http_waits", Help: "Held answers and streams."}, func() float64 { return float64(s.waits.used.Load()) }),
		auditLag{s},
	)
	m.handler = promhttp.HandlerFor(r, promhttp.HandlerOpts{Timeout: 5 * time.Second})
	return m
}

func (m *metrics) observe(route string, status int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	m.calls.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

// auditLag reads how far the log is behind when somebody asks.
type auditLag struct{ s *Server }

var (
	lagRecords = prometheus.NewDesc("stint_audit_unsequenced_records", "Records that wait for their number in the log.", nil, nil)
	lagSeconds = prometheus.NewDesc("stint_audit_unsequenced_seconds", "How long the oldest of them has waited.", nil, nil)
)

func (auditLag) Describe(ch chan<- *prometheus.Desc) { ch <- lagRecords; ch <- lagSeconds }

func (a auditLag) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	n, oldest, err := a.s.audit.Lag(ctx)
	if err != nil {
		return // a gap in the graph is the truth
	}
	ch <- prometheus.MustNewConstMetric(lagRecords, prometheus.GaugeValue, float64(n))
	ch <- prometheus.MustNewConstMetric(lagSeconds, prometheus.GaugeValue, oldest.Seconds())
}
