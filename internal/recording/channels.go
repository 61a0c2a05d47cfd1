package recording

// Channel is one of a session's that shows something.
type Channel struct {
	ID   uint32
	What string // the command, or the kind of channel that was asked for: "shell"
}

// MaxChannels bounds those that are listed.
const MaxChannels = 64

// Channels lists those that show something, in the order in which they do. more says that there
// are more.
func Channels(d *Reader) (found []Channel, more bool, err error) {
	at := map[uint32]int{}
	what := map[uint32]string{} // of those that show nothing yet
	for r, err := range d.Records() {
		if err != nil {
			return found, more, err
		}
		if e, ok := r.Event.(Exec); ok {
			text := e.Command
			if text == "" {
				text = e.Type
			}
			if i, shown := at[r.Channel]; shown {
				found[i].What = text
			} else if len(what) < MaxChannels {
				what[r.Channel] = text
			}
			continue
		}
		if _, known := at[r.Channel]; known || !shows(r.Event) {
			continue
		}
		if len(found) == MaxChannels {
			more = true
			continue
		}
		at[r.Channel] = len(found)
		found = append(found, Channel{r.Channel, what[r.Channel]})
		delete(what, r.Channel)
	}
	return found, more, nil
}
