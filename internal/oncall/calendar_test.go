package oncall

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func calendar(events ...string) string {
	return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Test//EN\r\nBEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\nBEGIN:STANDARD\r\nDTSTART:19701025T030000\r\nRRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\r\n" +
		"TZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n" + strings.Join(events, "") + "END:VCALENDAR\r\n"
}

func vevent(lines ...string) string {
	return "BEGIN:VEVENT\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VEVENT\r\n"
}

// said is shifts as "ada 02 09:00-09 09:00", on the clock of the zone.
func said(ss []Shift, zone *time.Location) string {
	var out []string
	for _, s := range ss {
		out = append(out, fmt.Sprintf("%s %s-%s", s.Member, s.From.In(zone).Format("01-02T15:04"), s.Until.In(zone).Format("01-02T15:04")))
	}
	return strings.Join(out, " ")
}

func TestReadCalendar(t *testing.T) {
	zone := berlin(t)
	from, until := at(t, zone, "2026-03-20 00:00"), at(t, zone, "2026-04-05 00:00")
	for name, c := range map[string]struct {
		events string
		want   string
	}{
		"single shifts, as exports have them": {
			vevent("UID:1", "SUMMARY:On Call - Ada\\, R.", "DTSTART:20260323T080000Z", "DTEND:20260330T070000Z") +
				vevent("UID:2", "SUMMARY:ben", "DTSTART;TZID=Europe/Berlin:20260330T090000", "DTEND;TZID=Europe/Berlin:20260406T090000"),
			"On Call - Ada, R. 03-23T09:00-03-30T09:00 ben 03-30T09:00-04-06T09:00"},
		"weekly, every third week, at nine also after the clocks change": {
			vevent("UID:1", "SUMMARY:ada", "DTSTART;TZID=Europe/Berlin:20260302T090000", "DTEND;TZID=Europe/Berlin:20260309T090000", "RRULE:FREQ=WEEKLY;INTERVAL=3") +
				vevent("UID:2", "SUMMARY:ben", "DTSTART;TZID=Europe/Berlin:20260309T090000", "DTEND;TZID=Europe/Berlin:20260316T090000", "RRULE:FREQ=WEEKLY;INTERVAL=3"),
			"ada 03-23T09:00-03-30T09:00 ben 03-30T09:00-04-06T09:00"},
		"on days of the week, by night": {
			vevent("UID:1", "SUMMARY:ada", "DTSTART;TZID=Europe/Berlin:20260327T220000", "DURATION:PT8H", "RRULE:FREQ=WEEKLY;BYDAY=FR,SA;UNTIL=20260328T235959Z"),
			"ada 03-27T22:00-03-28T06:00 ada 03-28T22:00-03-29T07:00"}, // eight hours pass, also when one is skipped
		"whole days, three of them, one taken out": {
			vevent("UID:1", "SUMMARY:ada", "DTSTART;VALUE=DATE;TZID=Europe/Berlin:20260323", "RRULE:FREQ=DAILY;COUNT=3", "EXDATE;VALUE=DATE;TZID=Europe/Berlin:20260324"),
			"ada 03-23T00:00-03-24T00:00 ada 03-25T00:00-03-26T00:00"},
		"one of them is somebody else's, and one is cancelled": {
			vevent("UID:1", "SUMMARY:ada", "DTSTART:20260323T080000Z", "DTEND:20260323T160000Z", "RRULE:FREQ=DAILY;COUNT=3") +
				vevent("UID:1", "RECURRENCE-ID:20260324T080000Z", "SUMMARY:ben", "DTSTART:20260324T090000Z", "DTEND:20260324T160000Z") +
				vevent("UID:1", "RECURRENCE-ID:20260325T080000Z", "STATUS:CANCELLED", "SUMMARY:ada", "DTSTART:20260325T080000Z"),
			"ada 03-23T09:00-03-23T17:00 ben 03-24T10:00-03-24T17:00"},
		"folded lines, alarms within, and what is out of the time": {
			"BEGIN:VEVENT\r\nUID:1\r\nSUMM\r\n ARY:ad\r\n a\r\nDTSTART:20260323T080000Z\r\nDTEND:20260323T160000Z\r\nBEGIN:VALARM\r\nSUMMARY:wake up\r\nTRIGGER:-PT5M\r\nEND:VALARM\r\nEND:VEVENT\r\n" +
				vevent("UID:3", "SUMMARY:old", "DTSTART:20250323T080000Z", "DTEND:20250323T160000Z") + vevent("UID:4", "SUMMARY:late", "DTSTART:20270323T080000Z", "DTEND:20270323T160000Z"),
			"ada 03-23T09:00-03-23T17:00"},
		"nobody": {"", ""},
	} {
		got, err := ReadCalendar(calendar(c.events), from, until)
		if err != nil || said(got, zone) != c.want {
			t.Errorf("%s: %s, %v; want %s", name, said(got, zone), err, c.want)
		}
	}
}

// What is not understood is refused whole: half of a calendar is another calendar.
func TestCalendarRefused(t *testing.T) {
	good := []string{"UID:1", "SUMMARY:ada", "DTSTART:20260323T080000Z", "DTEND:20260323T160000Z"}
	with := func(line string) string { return calendar(vevent(append(good, line)...)) }
	for why, text := range map[string]string{
		"does not begin with BEGIN:VCALENDAR": "<!doctype html><title>Sign in</title>",
		"END:VCALENDAR is missing":            strings.TrimSuffix(calendar(vevent(good...)), "END:VCALENDAR\r\n"),
		"END:VEVENT is missing":               strings.Split(calendar(vevent(good...)), "END:VEVENT")[0],
		"ends nothing":                        calendar("END:VEVENT\r\n"),
		"DAILY or WEEKLY":                     with("RRULE:FREQ=MONTHLY"),
		"\"BYSETPOS\" is not read":            with("RRULE:FREQ=WEEKLY;BYSETPOS=1"),
		"and not \"1MO\"":                     with("RRULE:FREQ=WEEKLY;BYDAY=1MO"),
		"is not a number":                     with("RRULE:FREQ=WEEKLY;INTERVAL=0"),
		"how often":                           with("RRULE:INTERVAL=2"),
		"there are two":                       calendar(vevent(append(good, "RRULE:FREQ=DAILY", "RRULE:FREQ=DAILY")...)),
		"RDATE: it is not read here":          with("RDATE:20260324T080000Z"),
		"its RANGE is not read":               with("RECURRENCE-ID;RANGE=THISANDFUTURE:20260324T080000Z"),
		"none of the IANA list":               calendar(vevent("SUMMARY:ada", "DTSTART;TZID=W. Europe Standard Time:20260323T080000")),
		"\"Local\" is none of the IANA list":  calendar(vevent("SUMMARY:ada", "DTSTART;TZID=Local:20260323T080000")),
		"is not a time":                       calendar(vevent("SUMMARY:ada", "DTSTART:yesterday")),
		"is not a duration":                   with("DURATION:-PT5H"),
		"no DTSTART":                          calendar(vevent("SUMMARY:ada")),
		"no SUMMARY":                          calendar(vevent("DTSTART:20260323T080000Z", "DTEND:20260323T160000Z")),
		"ends before it begins":               calendar(vevent("SUMMARY:ada", "DTSTART:20260323T080000Z", "DTEND:20260322T160000Z")),
		"has no value":                        calendar(vevent("SUMMARY")),
		"larger than":                         calendar(strings.Repeat("X-A:"+strings.Repeat("a", 1000)+"\r\n", 2200)),
		"more than 5000 events":               calendar(strings.Repeat(vevent(good...), 5001)),
		"more than 5000 shifts":               calendar(strings.Repeat(vevent("SUMMARY:a", "DTSTART:20260301T000000Z", "DURATION:P1D", "RRULE:FREQ=DAILY"), 200)),
	} {
		got, err := ReadCalendar(text, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC))
		if err == nil || !strings.Contains(err.Error(), why) || got != nil {
			t.Errorf("%d shifts, %v; want %q", len(got), err, why)
		}
	}
}

func FuzzReadCalendar(f *testing.F) {
	f.Add(calendar(vevent("UID:1", "SUMMARY:ada", "DTSTART;TZID=Europe/Berlin:20260302T090000", "DTEND;TZID=Europe/Berlin:20260309T090000", "RRULE:FREQ=WEEKLY;INTERVAL=3;BYDAY=MO")))
	f.Add(calendar(vevent("SUMMARY:a", "DTSTART;VALUE=DATE:20260301", "DURATION:P1W", "RRULE:FREQ=DAILY;COUNT=3;UNTIL=20260401", "EXDATE:20260302")))
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		until := from.AddDate(0, 0, 40)
		ss, err := ReadCalendar(text, from, until)
		if err != nil && ss != nil {
			t.Error("an error with shifts")
		}
		for _, s := range ss {
			if s.Member == "" || !s.From.Before(s.Until) || !s.From.Before(until) || !s.Until.After(from) {
				t.Errorf("%+v is not in the time that was asked about", s)
			}
		}
	})
}
