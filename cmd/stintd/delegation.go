package main

import (
	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
)

// checkDelegation reads how long people may hand their approvals to others.
func checkDelegation(c config, s *settings) error {
	s.delegateFor = broker.DefaultDelegation
	switch c.Delegation.Longest {
	case "":
		return nil
	case "off":
		s.delegateFor = -1
		return nil
	}
	d, err := api.ParseDuration(c.Delegation.Longest)
	if err != nil || d <= 0 || d > access.MaxDelegation {
		return refuse("bad-delegation", "delegation.longest "+c.Delegation.Longest+" is not a duration up to 30d",
			"it is for how long people may hand their approvals to others", "write it like 5d or 14d, or off")
	}
	s.delegateFor = d
	return nil
}
