package sshgate

import (
	"fmt"
	"net"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
)

// The kinds of channel that carry connections, and the requests that listen for them:
// RFC 4254 section 7, and OpenSSH's PROTOCOL section 2.4.
const (
	directTCP     = "direct-tcpip"
	directUnix    = "direct-streamlocal@openssh.com"
	forwardedTCP  = "forwarded-tcpip"
	forwardedUnix = "forwarded-streamlocal@openssh.com"
)

type (
	tcpOpen struct { // direct-tcpip and forwarded-tcpip
		Host       string
		Port       uint32
		Origin     string
		OriginPort uint32
	}
	unixOpen struct { // direct-streamlocal; forwarded-streamlocal has no third field
		Path     string
		Reserved string
		Unused   uint32
	}
	unixOpened struct {
		Path     string
		Reserved string
	}
	tcpListen struct {
		Address string
		Port    uint32
	}
	unixListen struct{ Path string }
	portReply  struct{ Port uint32 }
)

func address(host string, port uint32) string {
	return plain(net.JoinHostPort(host, strconv.FormatUint(uint64(port), 10)))
}

func (m tcpOpen) to() string   { return address(m.Host, m.Port) }
func (m tcpOpen) from() string { return address(m.Origin, m.OriginPort) }

// forward carries a connection that the client opens through the target.
func (c *conn) forward(nc ssh.NewChannel, ch Channel, allowed bool) {
	if !allowed {
		c.refuse(nc, ssh.Prohibited, ch.Kind+" to "+ch.Address, "the role does not allow to reach "+ch.Address)
		return
	}
	t, err := c.reach()
	if err != nil {
		relay(nc, err)
		return
	}
	c.join(nc, t, ch, Out)
}

// join opens the other half of a channel and carries bytes between the two. towards is
// the stream of what the accepted half is sent.
func (c *conn) join(nc ssh.NewChannel, other ssh.Conn, ch Channel, towards Stream) {
	track := c.track(ch)
	if track == nil {
		_ = nc.Reject(ssh.ResourceShortage, "stint: it could not be recorded")
		return
	}
	defer func() {
		if err := track.Close(); err != nil && c.session.Over() == nil {
			c.unrecorded(err)
		}
	}()
	if over := c.session.Over(); over != nil {
		relay(nc, over)
		return
	}
	far, farRequests, err := other.OpenChannel(nc.ChannelType(), nc.ExtraData())
	if err != nil {
		relay(nc, err)
		return
	}
	defer func() { _ = far.Close() }()
	c.work.Go(func() { ssh.DiscardRequests(farRequests) })
	near, nearRequests, err := nc.Accept()
	if err != nil {
		return
	}
	defer func() { _ = near.Close() }()
	c.work.Go(func() { ssh.DiscardRequests(nearRequests) })
	back := In
	if towards == In {
		back = Out
	}
	var both sync.WaitGroup
	run := func(s Stream, from, to ssh.Channel) {
		both.Go(func() {
			if c.carry(track, s, from, to, nil) == nil {
				c.closeWrite(to)
				return
			}
			_ = from.Close()
			_ = to.Close()
		})
	}
	run(towards, far, near)
	run(back, near, far)
	both.Wait()
}

// takeRequests answers what the client asks of the connection.
func (c *conn) takeRequests(requests <-chan *ssh.Request) {
	for r := range requests {
		if err := c.session.May(); err != nil {
			answer(r, false, nil)
			continue
		}
		switch r.Type {
		case "no-more-sessions@openssh.com":
			c.mu.Lock()
			c.noMore = true
			c.mu.Unlock()
			answer(r, true, nil)
		case "keepalive@openssh.com":
			answer(r, false, nil) // any answer is one
		case "tcpip-forward", "streamlocal-forward@openssh.com":
			c.listen(r)
		case "cancel-tcpip-forward", "cancel-streamlocal-forward@openssh.com":
			c.unlisten(r)
		default:
			c.note(Refused{What: "request " + plain(r.Type), Why: "requests of this kind do not pass"})
			answer(r, false, nil)
		}
	}
}

// listened reads what a request wants to be listened on: a name for it, and whether the
// role allows it.
func (c *conn) listened(r *ssh.Request) (name string, port uint32, allowed bool) {
	if r.Type == "tcpip-forward" || r.Type == "cancel-tcpip-forward" {
		var m tcpListen
		if ssh.Unmarshal(r.Payload, &m) != nil {
			return "", 0, false
		}
		return m.Address, m.Port, c.rules.Bind(m.Address, m.Port)
	}
	var m unixListen
	if ssh.Unmarshal(r.Payload, &m) != nil {
		return "", 0, false
	}
	return "unix:" + m.Path, 0, c.rules.BindSocket(m.Path)
}

func (c *conn) listen(r *ssh.Request) {
	name, port, allowed := c.listened(r)
	what := plain(name)
	if r.Type == "tcpip-forward" {
		what = address(name, port)
	}
	if !allowed {
		c.note(Refused{What: "listening on " + what, Why: "the role does not allow it"})
		answer(r, false, nil)
		return
	}
	t, err := c.reach()
	if err != nil || !c.note(Listening{Address: what}) {
		answer(r, false, nil)
		return
	}
	ok, payload, err := t.SendRequest(r.Type, true, r.Payload)
	if ok = ok && err == nil; ok {
		if r.Type == "tcpip-forward" {
			if port == 0 { // the target chose one
				var m portReply
				_ = ssh.Unmarshal(payload, &m)
				port = m.Port
			}
			name = fmt.Sprintf("tcp:%s:%d", name, port)
		}
		c.mu.Lock()
		c.listening[name] = true
		c.mu.Unlock()
	}
	answer(r, ok, payload)
}

func (c *conn) unlisten(r *ssh.Request) {
	name, port, _ := c.listened(r)
	if r.Type == "cancel-tcpip-forward" {
		name = fmt.Sprintf("tcp:%s:%d", name, port)
	}
	c.mu.Lock()
	known := c.listening[name]
	delete(c.listening, name)
	c.mu.Unlock()
	t, err := c.reach()
	if !known || err != nil {
		answer(r, false, nil)
		return
	}
	ok, _, err := t.SendRequest(r.Type, true, r.Payload)
	answer(r, ok && err == nil, nil)
}

// takeTargetChannels takes what the target opens: only what was asked of it.
func (c *conn) takeTargetChannels(channels <-chan ssh.NewChannel) {
	for nc := range channels {
		if !c.place() {
			_ = nc.Reject(ssh.ResourceShortage, "too many channels")
			continue
		}
		c.work.Go(func() {
			defer c.leave()
			c.takeFromTarget(nc)
		})
	}
}

func (c *conn) takeFromTarget(nc ssh.NewChannel) {
	kind := nc.ChannelType()
	ch := Channel{Kind: plain(kind)}
	wanted := ""
	switch kind {
	case forwardedTCP:
		var m tcpOpen
		if ssh.Unmarshal(nc.ExtraData(), &m) == nil {
			ch.Address, ch.Origin, wanted = m.to(), m.from(), fmt.Sprintf("tcp:%s:%d", m.Host, m.Port)
		}
	case forwardedUnix:
		var m unixOpened
		if ssh.Unmarshal(nc.ExtraData(), &m) == nil {
			ch.Address, wanted = plain(m.Path), "unix:"+m.Path
		}
	}
	c.mu.Lock()
	asked := c.listening[wanted] || c.lent[kind]
	c.mu.Unlock()
	if !asked {
		c.refuse(nc, ssh.Prohibited, kind+" from the target", "nobody asked for it")
		return
	}
	if c.session.May() != nil {
		_ = nc.Reject(ssh.Prohibited, "the session takes nothing new")
		return
	}
	c.join(nc, c.client, ch, In)
}
