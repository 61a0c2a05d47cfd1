package ui

import (
	"fmt"
	"time"
)

// Tone is what a colour says. It never says it alone: words stand beside it.
type Tone string

const (
	Plain  Tone = ""
	Good   Tone = "good"
	Warn   Tone = "warn"
	Bad    Tone = "bad"
	Accent Tone = "acc"
)

// Step is one of a line of steps.
type Step struct {
	Name  string
	Note  string
	State string    // done, now, todo, bad
	At    time.Time // when it was done, if that is known; after the note
}

// Fact is a line of what is known, with a verdict of one word.
type Fact struct {
	Icon, Text string
	Verdict    string
	Tone       Tone
}

// Option is one of a choice.
type Option struct {
	Value, Label string
	Chosen       bool
}

// Tab is one of several views of a thing.
type Tab struct {
	Href, Label string
	Current     bool
	Count       int // shown beside the label; none below 0
}

// Column is one of a table.
type Column struct {
	Label  string
	Number bool // to the right
}

// Left is a time that is left, as the countdown shows it: 2:49:56, 19:08, 0:42.
func Left(d time.Duration) string {
	s := int(max(0, d).Round(time.Second) / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// seconds of a span, at least 0, for a bar.
func seconds(d time.Duration) string { return fmt.Sprint(int(max(0, d) / time.Second)) }
