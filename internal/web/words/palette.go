package words

// Words of the palette, by which one finds and asks from anywhere, and of the keys.
const (
	PaletteTitle       = "Find or request"
	PaletteOpen        = "Find or request…"
	PaletteLede        = "What you could ask for, what you hold, and the pages that there are."
	PaletteField       = "Find a resource, a role or a page"
	PaletteHint        = "Type a resource, a role or a page…"
	PaletteFind        = "Find"
	PaletteResults     = "Results"
	PaletteHeld        = "You hold"
	PaletteKept        = "Favourites"
	PaletteAgain       = "Again"
	PaletteAsk         = "Request"
	PaletteBundles     = "Bundles"
	PalettePeople      = "People & agents"
	PalettePolicies    = "Policies"
	PalettePages       = "Pages"
	PaletteLook        = "Look further"
	PaletteNothing     = "Nothing matches. Less is more: try a part of the name."
	PaletteMove        = "move"
	PaletteChoose      = "open"
	PaletteClose       = "close"
	PaletteMoreTime    = "more time, or give it back early"
	PaletteOfResources = "resources"

	KeyFind   = "⌘K · Ctrl K · /"
	KeyGo     = "g a · g p · g s · g u …"
	KeyMove   = "j · k"
	KeyDecide = "a · s · d · e"
	KeySend   = "⌘↵ · Ctrl ↵"

	KeysTitle   = "Keys"
	KeysFind    = "find or request"
	KeysGo      = "go to a page"
	KeysMove    = "next, previous in a list"
	KeysOpen    = "open"
	KeysDecide  = "approve, approve for less, deny, ask: prepares it, and you confirm"
	KeysEnd     = "end what is selected; asks first"
	KeysExtend  = "more time on what is selected"
	KeysSend    = "send a form"
	KeysList    = "this list"
	KeysClose   = "Close"
	KeysNote    = "Single keys do nothing while you type. You can turn them off on the page You."
	KeysAre     = "Single keys such as g a, j and k work on every page."
	KeysAreOff  = "Single keys are off. Control or Command with K still finds, and with Enter sends."
	KeysTurnOff = "Turn single keys off"
	KeysTurnOn  = "Turn single keys on"
	KeysShow    = "Show all keys"

	SureTitle = "End it now?"
	SureNote  = "Sessions that are open there are closed."
	SureYes   = "End now"
	SureNo    = "Keep it"
)

// PaletteRequest is asking for a role.
func PaletteRequest(role, resource string) string { return "Request " + role + " on " + resource }

// PaletteEnd is giving something back.
func PaletteEnd(role, resource string) string { return "End " + role + " on " + resource }

// PaletteExtend is asking for more time on it.
func PaletteExtend(role, resource string) string { return "Extend " + role + " on " + resource }

// PaletteLookFor is searching on a page.
func PaletteLookFor(query, page string) string { return "Look for “" + query + "” in " + page }

// PaletteUntil is when something ends.
func PaletteUntil(text string) string { return "until " + text }

// PaletteKinds are the kinds of those whom one can look for, one of them.
var PaletteKinds = map[string]string{"people": "person", "vendors": "vendor", "services": "service", "agents": "agent"}
