package main

import (
	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/manual"
)

// rootHelp is what the program's own help and manual page say.
const rootHelp = `Starttls-policy follows lists of mail domains that promise TLS with a verifiable certificate. It fetches and verifies the
lists, keeps them in a folder, and hands them to the mail server: as a table that "update" writes, or by answering
questions ("serve"). "join" begins; its configuration explains every key.

Exit codes: 0 done, 1 something local failed or does not verify, 2 wrong usage or configuration, 4 not listed. From 20 on
they tell how the lists stand: 20 stale, 30 expired or none, 40 no usable mirror, 50 the log signed two histories.

Files:
  /etc/starttls-policy/config.toml      lists, their mirrors, the Postfix table
  /var/lib/starttls-policy/NAME/        one folder a list: trust/, policy.json and its proof, state, evidence/
  /var/lib/starttls-policy/postfix-…    the table for smtp_tls_policy_maps
  /var/lib/starttls-policy/update.json  what the last update found, for "status"`

// manualIntro begins the page of the configuration file.
const manualIntro = `The configuration of starttls-policy is TOML. "join" writes it and appends to it; nothing else does. An unknown key, and a
value that means nothing, is an error that names line and column, and exit code 2.

Below, each key is shown with a value and what it means. "starttls-policy example" prints such a file.`

var manualRelated = []string{"starttls-policy.toml(5)", "postconf(5)", "socketmap_table(5)"}

func newManual() *cobra.Command {
	return manual.Command(usage, manualRelated, func(b manual.Book) []manual.Page {
		b.Related = manualRelated[1:]
		return []manual.Page{b.Configuration("starttls-policy.toml", "configuration of starttls-policy", defaultConfig, manualIntro, exampleConfig())}
	})
}

// newExample prints what packages ship as an example.
func newExample(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "example",
		Short:  "print a configuration that explains every key",
		Hidden: true,
		Args:   arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write([]byte(exampleConfig()))
			return err
		},
	}
}

// exampleConfig is what join would write for a list of that name, on a machine whose Postfix has no compiled tables.
func exampleConfig() string {
	p := &postfixConfig{}
	p.setDefaults(defaultState)
	return configText(defaultState, listConfig{Name: "example", Mirrors: []mirrorPlace{"https://list.example/"}, Expired: "empty"}, p)
}
