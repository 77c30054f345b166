package main

import (
	"errors"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
)

// configHint says what to do about a configuration that leads nowhere.
func configHint(err error) string {
	var inner *term.Exit
	switch {
	case errors.As(err, &inner):
		return inner.Hint
	case errors.Is(err, signing.ErrNoPassword):
		return "set COSIGN_PASSWORD or password-file in [keys]"
	case errors.Is(err, signing.ErrPassword):
		return "COSIGN_PASSWORD comes before password-file in [keys]; all keys have one password"
	case errors.Is(err, signing.ErrProvider):
		return "transparency/README.md, \"Keys elsewhere\", says which keys can be where"
	case errors.Is(err, mirror.ErrDamaged):
		return "restore the trust folder from a copy: its files are public, and every mirror has them under trust/"
	}
	return "relative paths in the configuration start at its own folder"
}

// releaseHint says what to do about an error that stopped the release.
func releaseHint(err error) string {
	switch {
	case errors.Is(err, durable.ErrLocked):
		return "wait for the other run, or look whether it hangs"
	case errors.Is(err, pipeline.ErrOtherLog):
		return "add a [[mirror]] with an empty place for the new log; transparency/README.md tells how its address goes over"
	case errors.Is(err, pipeline.ErrOtherOrigin):
		return "write the trust's origin into list.json; or, to give the list a new name and a new log, make a trust version with it first (starttls-list trust propose --origin)"
	case errors.Is(err, pipeline.ErrAhead):
		return "restore the state from its newest copy, or let starttls-list recover rebuild it from a mirror; do not release from an older one"
	case errors.Is(err, pipeline.ErrRecover):
		return "run starttls-list recover again: it begins anew"
	case errors.Is(err, pipeline.ErrStranger):
		return "find out who wrote to the mirror, remove the object that the error names, and run release again: it completes the release with the same bytes"
	case errors.Is(err, pipeline.ErrFork), errors.Is(err, mirror.ErrConflict):
		return "two histories exist: find out who else publishes with these keys before anything else"
	case errors.Is(err, pipeline.ErrState), errors.Is(err, tilelog.ErrCorrupt):
		return "restore the whole state from its newest copy, or let starttls-list recover rebuild it from a mirror; do not release from an older one"
	case errors.Is(err, signing.ErrRemote):
		return "see whether the key service or device can be reached and lets this account sign, then run release again: what was signed before is kept, and nothing is signed twice"
	case errors.Is(err, pipeline.ErrKeys), errors.Is(err, signing.ErrBadSignature):
		return "[keys] has to name the private keys of the public ones in the trust folder"
	case errors.Is(err, pipeline.ErrEnded):
		return "switch off the timer; a list that is to begin again needs a new origin and new keys, as init makes them"
	case errors.Is(err, pipeline.ErrPending):
		return "run starttls-list release, which completes it with the same bytes"
	case errors.Is(err, pipeline.ErrClock):
		return "set the clock, and look whether an earlier release was made with a wrong one"
	case errors.Is(err, pipeline.ErrSource):
		return "source in the configuration is a directory with list.json, or one file in the 0.1 format"
	case errors.Is(err, mirror.ErrSecurity):
		return "find out who else publishes with these keys; if the folder in state/verify was mixed up, remove it"
	case errors.Is(err, pipeline.ErrForeign):
		return "see what the mirror holds; a mirror without its checkpoint gets everything"
	case errors.Is(err, pipeline.ErrRefused):
		return "a witness knows another history of this log: look for a second publisher with these keys, or a state folder that was set back; transparency/README.md says what to do with the evidence"
	case errors.Is(err, pipeline.ErrQuorum):
		return "run release again; until enough witnesses answer, mirrors keep the last release. A witness that is gone for good is replaced by the next trust version"
	case errors.Is(err, pipeline.ErrMirrors):
		return "run release again when a mirror can be reached; nothing is lost"
	}
	return logHint(err)
}
