package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"stint/internal/journal"
)

// mendEvery is how often a journal without a file tries to get one.
const mendEvery = 5 * time.Second

// openJournal refuses a start only beside a process that lives and has the same
// journal. Whatever else is wrong with the file costs records, and not the ends that
// they would be of; it is said here, by the doctor, by /readyz and in the numbers.
func openJournal(s settings, log *slog.Logger) (*journal.Journal, error) {
	j, err := journal.Open(s.journal, s.journalSize)
	if errors.Is(err, journal.ErrBusy) {
		return nil, refuse("no-journal", "the journal cannot be used", err.Error(), "stop the other stintd, or name another file with journal.file")
	} else if err != nil {
		return nil, err
	}
	st := j.Status()
	if st.Failed != nil {
		log.Error("THE JOURNAL IS IN MEMORY ONLY: what is done while the store is away would be lost in a crash", "file", s.journal, "error", st.Failed)
	}
	tellDamage(log, st)
	return j, nil
}

func tellDamage(log *slog.Logger, st journal.Status) {
	switch {
	case st.Damage == "" || st.Failed != nil: // where there is no file, nothing was set aside yet
	case st.Aside == "":
		log.Error("THE JOURNAL WAS DAMAGED: somebody has taken the file away before it could be kept", "damage", st.Damage)
	default:
		log.Error("THE JOURNAL WAS DAMAGED: what is whole of it is kept, and a person should look at the rest", "kept_at", st.Aside, "damage", st.Damage)
	}
}

// mend gets the journal a file where it has none, for as long as it takes.
func (p *process) mend(ctx context.Context, j *journal.Journal) {
	failing := j.Status().Failed != nil
	for ctx.Err() == nil {
		before := j.Status()
		told := before.Damage != "" && before.Failed == nil
		err := j.Mend()
		switch {
		case err != nil && !failing:
			p.log.Error("the journal has no file; what is done while the store is away would be lost in a crash", "error", err)
		case err == nil && failing:
			p.log.Info("the journal has a file again")
		}
		failing = err != nil
		if st := j.Status(); !told {
			tellDamage(p.log, st)
		}
		pause(ctx, mendEvery)
	}
}

// What is wrong with a journal costs no end of access, only its record.
const journalWhy = "what is done while the store is away may be missing from the log; access ends all the same"

func (p *process) journalOf(x *examination) {
	switch st := p.journal.Status(); {
	case st.Lost > 0:
		x.fail("journal", fmt.Sprintf("there was no room for %d records", st.Lost), "they are missing from the log", "bring the store back; a greater journal.size keeps more")
	case st.Failed != nil:
		x.fail("journal", "it is in memory only: "+st.Failed.Error(), journalWhy, "mend the disk of "+p.settings.journal+", or take away what stands there and is not Stint's; it is tried again by itself")
	case st.Damage != "" && st.Aside == "":
		x.warn("journal", "it was damaged at the start: "+st.Damage, journalWhy, "somebody has taken the damaged file away before it could be kept: look at the disk")
	case st.Damage != "":
		x.warn("journal", "it was damaged at the start: "+st.Damage, journalWhy, "what was there is kept at "+st.Aside+": look at the disk, and delete that file when it is of no more use")
	default:
		x.ok("journal", fmt.Sprintf("%s; %d records wait", p.settings.journal, st.Waiting))
	}
}

// journalAt is journalOf without a server.
func (x *examination) journalAt(path string) {
	if err := journal.Examine(path); err != nil {
		x.warn("journal", err.Error(), journalWhy, "stintd starts all the same: it keeps a damaged journal beside, and leaves alone what is not Stint's; look at "+path)
		return
	}
	x.ok("journal", path)
}
