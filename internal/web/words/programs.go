package words

import "strings"

// The names of programs and systems, each after what it says of itself. The order matters: most say
// that they are others, too.
var (
	programs = [][2]string{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"Chrome/", "Chrome"}, {"CriOS/", "Chrome"}, {"Safari/", "Safari"}}
	systems  = [][2]string{{"iPhone", "an iPhone"}, {"iPad", "an iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Macintosh", "a Mac"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"}}
)

// Program is what somebody signed in with, such as "Chrome on Linux"; what is not known stays.
func Program(client string) string {
	name, system := named(programs, client), named(systems, client)
	if !strings.HasPrefix(client, "Mozilla/") || name == "" || system == "" {
		return client
	}
	return name + " on " + system
}

func named(all [][2]string, client string) string {
	for _, x := range all {
		if strings.Contains(client, x[0]) {
			return x[1]
		}
	}
	return ""
}
