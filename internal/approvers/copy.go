package approvers

import (
	"context"
	"errors"
	"sync"
	"time"

	"stint/internal/access"
)

const (
	// good is how old a copy may be that says yes, and sure how old one that says no:
	// what is asked for in great number does not read all users each time.
	good = 5 * time.Minute
	sure = 2 * time.Second
)

// Copy keeps a copy of the users. Its lock is never held while they are read: whoever
// says that people changed does not wait for that. Its methods are safe for concurrent
// use.
type Copy struct {
	read func(context.Context) ([]access.Principal, error)

	mu      sync.Mutex
	now     *people       // nil: to be read
	changes int           // how often people changed
	reading chan struct{} // closed when the one who reads now is done; nil: nobody reads
}

// NewCopy makes a copy that is read when it is first needed. read gives all users.
func NewCopy(read func(context.Context) ([]access.Principal, error)) *Copy {
	return &Copy{read: read}
}

// people are the enabled users as they were at one time.
type people struct {
	at      time.Time // the host's
	users   []access.Principal
	all     []access.Principal // of these, who may approve
	byID    map[access.PrincipalID]int
	byGroup map[access.Group][]int
}

func newPeople(ps []access.Principal, at time.Time) *people {
	r := &people{at: at, byID: map[access.PrincipalID]int{}, byGroup: map[access.Group][]int{}}
	for _, p := range ps {
		if p.Disabled || p.Lock.Is() || p.Person == "" {
			continue
		}
		r.users = append(r.users, p)
		if p.MayApprove() != nil {
			continue
		}
		n := len(r.all)
		r.all = append(r.all, p)
		r.byID[p.ID] = n
		for _, g := range p.Groups {
			r.byGroup[g] = append(r.byGroup[g], n)
		}
	}
	return r
}

// Changed says that there are other users than before, or in other groups.
func (c *Copy) Changed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = nil
	c.changes++
}

// Ask runs what asks who could approve: first with what is known, and once more with a
// fresh copy if that is not enough to say no. do may so run twice.
func (c *Copy) Ask(ctx context.Context, do func(Known) error) error {
	c.mu.Lock()
	who := c.now
	c.mu.Unlock()
	if who != nil && time.Since(who.at) > good {
		who = nil
	}
	err := do(Known{who, who != nil && time.Since(who.at) <= sure})
	if !errors.Is(err, ErrNotSure) {
		return err
	}
	if who, err = c.fresh(ctx); err != nil {
		return err
	}
	return do(Known{who, true})
}

// Users are all enabled users that are some person's, as they were just now.
func (c *Copy) Users(ctx context.Context) ([]access.Principal, error) {
	who, err := c.fresh(ctx)
	if err != nil {
		return nil, err
	}
	return who.users, nil
}

// fresh gives a fresh copy. One reads, the others wait for what it reads.
func (c *Copy) fresh(ctx context.Context) (*people, error) {
	for {
		c.mu.Lock()
		now, reading, changes := c.now, c.reading, c.changes
		if fresh := now != nil && time.Since(now.at) <= sure; fresh || reading != nil {
			c.mu.Unlock()
			if fresh {
				return now, nil
			}
			select {
			case <-reading:
				continue
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		done := make(chan struct{})
		c.reading = done
		c.mu.Unlock()

		at := time.Now()
		ps, err := c.read(ctx)

		c.mu.Lock()
		if now = newPeople(ps, at); err == nil && c.changes == changes {
			c.now = now // else it may be of before the change
		}
		c.reading = nil
		c.mu.Unlock()
		close(done)
		return now, err
	}
}
