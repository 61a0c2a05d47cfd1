package words

// Words of the frame around a page, and of its parts.
const (
	FrameSkipToContent            = "Skip to content"
	FrameCutOffFromTheServerTimes = "Cut off from the server. Times still count down; the rest may be old."
	FramePages                    = "Pages"
	FrameYouAndMorePages          = "You and more pages"
	FrameMorePages                = "More pages"
	FrameTabs                     = "Tabs"
	FrameWaiting                  = "waiting"
	FrameSignOut                  = "Sign out"
	FrameDarkColours              = "Dark colours"
	FrameTheSystemsColours        = "The system's colours"
	FrameLightColours             = "Light colours"
	FrameBack                     = "Back"
	PartDone                      = "done"
	PartFailed                    = "failed"
	PartToCome                    = "to come"
	PartLeft                      = "left"
	PartEnds                      = "ends "
	PartCopy                      = "Copy"
	PartAsATable                  = "As a table"
)
