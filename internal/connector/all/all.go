// Package all lists the connectors that are built in. A new one is one folder
// beside this and one line here; a test compares the two.
package all

import (
	"stint/internal/connector"
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
// its calls there; without one, it only tells its schema.
func List(hosts linux.Config) ([]Connector, error) {
	remote, err := linux.New(hosts)
	if err != nil {
		return nil, err
	}
	return []Connector{
		postgres.New(),
		linux.Agents{Remote: remote},
	}, nil
}
