// Package all lists the connectors that are built in. A new one is one folder
// beside this and one line here; a test compares the two.
package all

import (
	"stint/internal/connector"
	"stint/internal/connector/carried"
	"stint/internal/connector/hook"
	"stint/internal/connector/linux"
	"stint/internal/connector/postgres"
)

// Connector is a connector that can be closed.
type Connector interface {
	connector.Connector
	// Close waits for the calls under way and lets go of every connection.
	Close()
}

// List makes one connector of each type. What reaches hosts needs somebody who carries
// its calls there, and what only has sessions somewhere to read of them; without, they only
// tell their schemas. hooks is the folder of programs for resources of type hook; with none,
// none is run.
func List(hosts linux.Config, hooks string, sessions carried.Ledger) ([]Connector, error) {
	remote, err := linux.New(hosts)
	if err != nil {
		return nil, err
	}
	list := []Connector{
		postgres.New(),
		linux.Agents{Remote: remote},
		hook.New(hooks),
	}
	for _, c := range carried.New(sessions) {
		list = append(list, c)
	}
	return list, nil
}
