package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"stint/internal/api"
)

// deviceProtocol tells a gateway that a program has a key to show.
const deviceProtocol = "stint-device"

// webSpeech is HTTP. What is half closed neither that nor a websocket has a use for.
var webSpeech = speech{
	protocols: []string{deviceProtocol, "http/1.1"},
	register: func(ctx context.Context, conn *connection, r api.Request, ask api.DoorKeyAsk) (opening, error) {
		k, err := conn.RegisterWebKey(ctx, r.ID, ask)
		return hostOpening(k, r), err
	},
	refuse: func(_ *cli, local net.Conn, _ []byte, why error) { _, _ = io.WriteString(local, notReached(why)) },
	uri: func(l *line) string {
		return (&url.URL{Scheme: "http", Host: l.ln.Addr().String(), Path: "/"}).String()
	},
}

// tcpSpeech is what nobody reads.
var tcpSpeech = speech{
	half: true,
	register: func(ctx context.Context, conn *connection, r api.Request, ask api.DoorKeyAsk) (opening, error) {
		k, err := conn.RegisterTCPKey(ctx, r.ID, ask)
		return hostOpening(k, r), err
	},
	refuse: func(c *cli, _ net.Conn, _ []byte, why error) { c.report(why) }, // what the client would read is not known
	uri:    func(l *line) string { return "tcp://" + l.ln.Addr().String() },
}

// hostOpening is what a key opens where each resource has a host of its own.
func hostOpening(k api.WebKey, r api.Request) opening {
	o := opening{serial: k.Serial, gateway: k.Gateway, certificate: k.Certificate, until: k.ValidBefore.Time, ends: k.ExpiresAt.Time}
	for _, a := range k.Addresses {
		if at, err := url.Parse(a.URL); err == nil && a.Resource == r.Resource {
			o.host = at.Hostname()
		}
	}
	return o
}

// notReached is why there is no connection, as an answer to whatever is asked.
func notReached(err error) string {
	text := "stint: " + cause(err) + "\n"
	var e *api.Error
	if errors.As(err, &e) {
		text = "stint: " + e.Message + "\n" + e.Why + "\n" + e.Next + "\n"
	}
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		http.StatusBadGateway, http.StatusText(http.StatusBadGateway), len(text), text)
}
