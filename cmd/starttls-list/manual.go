package main

import (
	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/manual"
)

// rootHelp is what the program's own help and manual page say.
const rootHelp = `Starttls-list keeps a list of mail domains that promise TLS with a verifiable certificate: it checks the list's source,
probes the servers, signs and logs each release, publishes it to mirrors that nobody has to trust, and audits what others
publish. "demo" shows all of it on one machine.

Exit codes: 0 done; each command's help says what its others mean.

Files:
  policylist.toml  configuration of a list's operator; "init" writes it and explains every key`

func newManual() *cobra.Command {
	return manual.Command(usage, []string{"starttls-policy(1)"}, nil)
}
