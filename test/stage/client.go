package stage

import (
	"context"

	"stint/internal/api"
)

// Client signs a new user in on a device of this process: for those who make
// more calls than a process for each would allow.
func (s *Stage) Client(ctx context.Context, name string, flags ...string) (*api.Client, error) {
	var added struct {
		Token api.Secret `json:"enroll_token"`
	}
	if err := s.As("root").JSON(ctx, &added, append([]string{"admin", "user", "add", name}, flags...)...); err != nil {
		return nil, err
	}
	c, err := s.device()
	if err != nil {
		return nil, err
	}
	in, err := c.Enroll(ctx, added.Token, false, "")
	c.Close() // of the client without a token
	return &api.Client{Server: c.Server, Device: c.Device, UserAgent: c.UserAgent, Token: in.Token}, err
}

// ServiceClient makes a service, used from this process.
func (s *Stage) ServiceClient(ctx context.Context, name string, flags ...string) (*api.Client, error) {
	var added struct {
		Token api.Secret `json:"token"`
	}
	if err := s.As("root").JSON(ctx, &added, append([]string{"admin", "service", "add", name}, flags...)...); err != nil {
		return nil, err
	}
	c, err := s.device()
	if err == nil {
		c.Token, c.Service = added.Token, true
	}
	return c, err
}

// device is a client on a device of its own that nobody is signed in on.
func (s *Stage) device() (*api.Client, error) {
	u, err := api.ParseServer(s.URL)
	if err != nil {
		return nil, err
	}
	d, err := api.NewDevice()
	if err != nil {
		return nil, err
	}
	return &api.Client{Server: u, Device: d, UserAgent: "stint-stage"}, nil
}
