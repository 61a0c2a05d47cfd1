package ui

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/a-h/templ"
)

//go:embed icons.json
var iconFile []byte

// icons are the shapes inside the <svg>, by name.
var icons = sync.OnceValue(func() map[string]string {
	m := map[string]string{}
	if err := json.Unmarshal(iconFile, &m); err != nil {
		panic(err) // the file is in the binary
	}
	return m
})

// Icon is a picture that says nothing by itself: words stand beside it, or a label.
func Icon(name string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		shape, ok := icons()[name]
		if !ok {
			return fmt.Errorf("there is no icon %q", name)
		}
		_, err := io.WriteString(w, `<svg class="i" viewBox="0 0 24 24" aria-hidden="true" focusable="false">`+shape+`</svg>`)
		return err
	})
}
