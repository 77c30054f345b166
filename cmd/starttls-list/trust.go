package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/transparency"
)

const trustLong = `Trust says whose signatures count: root keys sign trust versions, release keys sign releases, the log key signs
checkpoints, witnesses may have to cosign them. Versions are numbered files in a folder, and clients follow from each to
the next for ever: version v+1 counts when the root thresholds of v and of v+1 signed it.

  create    makes the draft of version 1 from public keys
  propose   makes the draft of the next version
  sign      adds a root key's signature to a draft, or joins copies that others signed
  publish   gives a draft its number, once enough have signed; the next release logs and uploads it
  show      tells what a version says, who signed it, and what it changes

People sign on their own machines: send them the folder, let each run "sign", and join what comes back with
"sign --merge". Nothing that exists is overwritten, and nothing is public before "publish" and a release.`

func newTrustCommand() *cobra.Command {
	c := term.Group(&cobra.Command{
		Use: "trust", Short: "makes, signs, publishes and shows trust versions: whose signatures count", Long: trustLong,
	}, usage)
	c.Long += "\n\nExit codes: 0 done, 1 refused or not complete, 3 usage, 4 internal."
	c.Example = trustExample
	c.AddCommand(newTrustCreateCommand(), newTrustProposeCommand(), newTrustSignCommand(), newTrustPublishCommand(), newTrustShowCommand())
	return c
}

const trustExample = `  $ starttls-list trust show mylist/trust
  trust version 1 of list.operator.example/2026
  …`

// trustExit gives an error of a ceremony its exit code and what to do about it.
func trustExit(err error) error {
	var exit *term.Exit
	switch {
	case err == nil, errors.As(err, &exit):
		return err
	case errors.Is(err, pipeline.ErrNotEnough):
		return &term.Exit{Code: exitFail, Err: err, Hint: "starttls-list trust show DRAFT tells who has still to sign"}
	case errors.Is(err, fs.ErrExist):
		return &term.Exit{Code: exitFail, Err: err, Hint: "nothing is overwritten: go on with what is there, or move it away"}
	case errors.Is(err, pipeline.ErrTrustRule), errors.Is(err, transparency.ErrTrust):
		return &term.Exit{Code: exitFail, Err: err}
	case errors.Is(err, signing.ErrNoPassword):
		return &term.Exit{Code: exitUsage, Err: err, Hint: "set COSIGN_PASSWORD, give --password-file, or run this on a terminal"}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, signing.ErrNotPEM), errors.Is(err, signing.ErrKeyType), errors.Is(err, signing.ErrDamaged),
		errors.Is(err, signing.ErrPassword), errors.Is(err, errKeyName), errors.Is(err, signing.ErrProvider):
		return &term.Exit{Code: exitUsage, Err: err}
	}
	return err
}

// trustTerm is how long a version holds when nobody says otherwise.
const trustTerm = 365 * 24 * time.Hour

// parseExpiry takes a time, a day, or a number of days from now such as 400d; "" is a year from now.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	var days int
	var unit string
	if n, _ := fmt.Sscanf(text, "%d%s", &days, &unit); n == 2 && unit == "d" && days > 0 && days < 100_000 {
		return now.Add(time.Duration(days) * 24 * time.Hour), nil
	}
	if text == "" {
		return now.Add(trustTerm), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("--expires %q is neither a time such as 2027-11-25T12:00:00Z, nor a day, nor a number of days such as 400d", text)
}
