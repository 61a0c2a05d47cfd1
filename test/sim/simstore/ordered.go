package simstore

import (
	"cmp"
	"iter"
	"slices"
)

// chunk bounds what one insertion moves.
const chunk = 256

// ordered is a sorted set: a list of sorted lists, each at most chunk long. For
// the few hundred rows that live at once it is one list, and with a million an
// insertion still moves little.
type ordered[K any] struct {
	compare func(a, b K) int
	lists   [][]K // none is empty
}

// find gives the place of the first element that is not less than k.
func (o *ordered[K]) find(k K) (list, i int, found bool) {
	list, _ = slices.BinarySearchFunc(o.lists, k, func(l []K, k K) int { return o.compare(l[len(l)-1], k) })
	if list == len(o.lists) {
		return list, 0, false
	}
	i, found = slices.BinarySearchFunc(o.lists[list], k, o.compare)
	return list, i, found
}

func (o *ordered[K]) add(k K) {
	list, i, found := o.find(k)
	switch {
	case found:
		return
	case len(o.lists) == 0:
		o.lists = [][]K{{k}}
		return
	case list == len(o.lists): // after all others
		list--
		i = len(o.lists[list])
	}
	l := slices.Insert(o.lists[list], i, k)
	o.lists[list] = l
	if len(l) > chunk {
		half := len(l) / 2
		o.lists[list] = l[:half:half]
		o.lists = slices.Insert(o.lists, list+1, slices.Clone(l[half:]))
	}
}

func (o *ordered[K]) drop(k K) {
	list, i, found := o.find(k)
	if !found {
		return
	}
	o.lists[list] = slices.Delete(o.lists[list], i, i+1)
	if len(o.lists[list]) == 0 {
		o.lists = slices.Delete(o.lists, list, list+1)
	}
}

// first is the smallest element.
func (o *ordered[K]) first() (k K, ok bool) {
	if o == nil || len(o.lists) == 0 {
		return k, false
	}
	return o.lists[0][0], true
}

// next is the smallest element that is not less than k.
func (o *ordered[K]) next(k K) (next K, ok bool) {
	list, i, _ := o.find(k)
	if list == len(o.lists) {
		return next, false
	}
	return o.lists[list][i], true
}

// all goes up from the first element.
func (o *ordered[K]) all() iter.Seq[K] {
	return func(yield func(K) bool) {
		if o == nil {
			return
		}
		for _, l := range o.lists {
			for _, k := range l {
				if !yield(k) {
					return
				}
			}
		}
	}
}

// from goes up from the first element that is not less than k.
func (o *ordered[K]) from(k K) iter.Seq[K] {
	return func(yield func(K) bool) {
		if o == nil {
			return
		}
		list, i, _ := o.find(k)
		for ; list < len(o.lists); list, i = list+1, 0 {
			for _, k := range o.lists[list][i:] {
				if !yield(k) {
					return
				}
			}
		}
	}
}

// below goes down from the last element that is less than k.
func (o *ordered[K]) below(k K) iter.Seq[K] {
	return func(yield func(K) bool) {
		if o == nil {
			return
		}
		list, i, _ := o.find(k)
		for {
			if i == 0 {
				if list == 0 {
					return
				}
				list--
				i = len(o.lists[list])
			}
			i--
			if !yield(o.lists[list][i]) {
				return
			}
		}
	}
}

// down goes down from the last element.
func (o *ordered[K]) down() iter.Seq[K] {
	return func(yield func(K) bool) {
		if o == nil {
			return
		}
		for _, l := range slices.Backward(o.lists) {
			for _, k := range slices.Backward(l) {
				if !yield(k) {
					return
				}
			}
		}
	}
}

// moment is when something is due: in the order of time, then of ids.
type moment struct {
	at int64 // milliseconds
	id string
}

func compareMoments(a, b moment) int {
	if a.at != b.at {
		return cmp.Compare(a.at, b.at)
	}
	return cmp.Compare(a.id, b.id)
}

func newMoments() *ordered[moment] { return &ordered[moment]{compare: compareMoments} }

func newIDs() *ordered[string] { return &ordered[string]{compare: cmp.Compare[string]} }
