package main

import (
	"fmt"
	"strconv"
	"strings"

	"stint/internal/api"
)

// asksFacts says whom each approval of a preview would ask, and how long they usually
// take, stage after stage.
func asksFacts(list []api.Approval) (pairs []string) {
	stage := 0
	for _, a := range byStage(list) {
		if a.Asks == nil {
			continue
		}
		name := "would ask"
		if len(pairs) > 0 && a.Stage != stage {
			name = "then"
		}
		stage = a.Stage
		pairs = append(pairs, name, whoWould(a)+"; "+howSoon(*a.Asks))
	}
	return pairs
}

// whoWould is "omar, olga or noor", and how many of them where it is not one.
func whoWould(a api.Approval) string {
	var names []string
	for _, p := range a.Asks.People {
		names = append(names, strings.TrimPrefix(p, "user:"))
	}
	if a.Asks.More > 0 {
		names = append(names, fmt.Sprintf("%d more", a.Asks.More))
	}
	text := "anybody else"
	if n := len(names); n > 1 {
		text = strings.Join(names[:n-1], ", ") + " or " + names[n-1]
	} else if n == 1 {
		text = names[0]
	}
	if a.Count > 1 {
		text = strconv.Itoa(a.Count) + " of " + text
	}
	for _, d := range a.Asks.Delegates {
		text += ", or " + strings.ReplaceAll(d, "user:", "")
	}
	return text
}

// howSoon says what is known of how long they take, and how much that is.
func howSoon(a api.Asks) string {
	text := "no answers of theirs yet"
	switch {
	case a.Usual != "":
		text = "usually within " + api.Span(a.Usual) + " (half of " + strconv.Itoa(a.Answers) + " answers in 30 days)"
	case a.Answers > 0:
		text = "too few answers to say how long it takes (" + strconv.Itoa(a.Answers) + " in 30 days)"
	}
	if a.Unanswered > 0 {
		text += ", " + strconv.Itoa(a.Unanswered) + " not answered"
	}
	return text
}
