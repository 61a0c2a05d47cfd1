package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"stint/internal/program"
)

// helpTopics are pages of help that are no commands.
func helpTopics() []*cobra.Command {
	var codes strings.Builder
	codes.WriteString("Exit codes are the same for every command, so that scripts can rely on them:\n\n")
	for _, w := range exitWords {
		fmt.Fprintf(&codes, "  %3d  %s\n", w.code, w.text)
	}
	codes.WriteString("\nstint db, ssh and run give the code of the command they start, 128 and the signal if\na signal ended it, and one of 125, 126 and 127 if it did not start.")
	return []*cobra.Command{
		{Use: "exit-codes", Short: "What exit codes say", Long: codes.String()},
		{Use: "output", Short: "Forms of output, and what goes where", Long: outputHelp},
		{Use: "environment", Short: "Variables and files", Long: environmentHelp},
	}
}

const outputHelp = `Standard output holds the result and nothing else. Progress, reasons, hints and errors
go to standard error.

  -o table   for people: no boxes, at most 100 columns, times in your zone
  -o json    for programs: every field, times in RFC 3339 UTC with milliseconds
  -o yaml    the same fields as YAML
  -o name    ids or names, one on each line

Commands about one request print one request object; lists print an array; stint audit
tail prints one object on each line. An error says what happened, why, and what can be
done, on lines that begin with stint: error:, stint: why: and stint: hint:, and the
server's trace of the call where there is one.

What others have written is shown with its control characters escaped.`

const environmentHelp = `  STINT_SERVER    the server's URL, unless --server says it (http://127.0.0.1:7420)
  STINT_HOME      the folder of the sign-in state (stint in your config folder)
  STINT_TOKEN     the static token of a service, instead of signing in
  STINT_TOKEN_FILE, STINT_ID_TOKEN
                  a platform's token that says which workload this is: a file, as Kubernetes
                  and SPIFFE keep them, or the variable itself, as GitLab's id_tokens give it
  STINT_CLIENT_CERT, STINT_CLIENT_KEY
                  files of a client certificate that says so
  STINT_SERVICE   which service to be, where what is shown fits more than one
  STINT_AUDIENCE  what an ID token of GitHub Actions is asked for (the server's URL)
  STINT_OUTPUT    the form of output, unless -o says it
  STINT_NO_INPUT  never ask anything, even on a terminal
  NO_COLOR        no colours
  CLICOLOR_FORCE  colours also where there is no terminal
  ACCESSIBLE      plain lines of progress, for screen readers

A program that runs on a platform is looked for in this order: --token-file and
STINT_TOKEN_FILE, STINT_ID_TOKEN, STINT_CLIENT_CERT, STINT_TOKEN, the sign-in on this
device, and ACTIONS_ID_TOKEN_REQUEST_URL of GitHub Actions.

STINT_HOME holds config.json (servers and logins), device.json (the keys of this device)
and pins.json (the key of each server's audit log, and the last checkpoint of it that
was verified here). All are of mode 0600; a file that others can reach is refused.`

func (c *cli) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  exactly(),
		RunE: func(*cobra.Command, []string) error {
			v := program.Version()
			return c.show(result{value: map[string]string{"version": v}, names: []string{v}, text: v + "\n"})
		},
	}
}
