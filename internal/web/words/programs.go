package words

// Programs and systems that somebody signed in with.
const (
	ProgramEdge     = "Edge"
	ProgramOpera    = "Opera"
	ProgramFirefox  = "Firefox"
	ProgramChrome   = "Chrome"
	ProgramSafari   = "Safari"
	ProgramIPhone   = "an iPhone"
	ProgramIPad     = "an iPad"
	ProgramAndroid  = "Android"
	ProgramWindows  = "Windows"
	ProgramMac      = "a Mac"
	ProgramChromeOS = "ChromeOS"
	ProgramLinux    = "Linux"
	ProgramOn       = " on "
)
