package mtasts

import (
	"errors"
	"mime"
	"time"
)

// Track is how a domain whose entry follows its MTA-STS policy gets into the list (rule R31).
type Track string

const (
	TrackNone    Track = "none"         // the policy is too short-lived to be taken as the owner's word
	TrackProof   Track = "proof"        // admissible, with the owner's proof
	TrackService Track = "self-service" // admissible as it is
)

// The bounds of rule R31: a day, and eighteen weeks.
const (
	minAdmissible  = 86400 * time.Second
	minSelfService = 10886400 * time.Second
)

// Admissible is the least max_age of a policy that an entry may follow, with its owner's proof.
const Admissible = minAdmissible

// Track tells what a policy's max_age earns.
func (p Policy) Track() Track {
	switch {
	case p.MaxAge >= minSelfService:
		return TrackService
	case p.MaxAge >= minAdmissible:
		return TrackProof
	}
	return TrackNone
}

// MediaType is what a policy's Content-Type is worth (RFC 8461 section 3.3 demands text/plain).
type MediaType string

const (
	MediaPlain   MediaType = "plain"   // text/plain
	MediaMissing MediaType = "missing" // senders accept it
	MediaOther   MediaType = "other"   // senders should refuse it, and some do
)

// ParseMediaType reads a Content-Type header: case and parameters do not matter.
func ParseMediaType(header string) MediaType {
	if header == "" {
		return MediaMissing
	}
	kind, _, err := mime.ParseMediaType(header)
	if kind == "text/plain" && (err == nil || errors.Is(err, mime.ErrInvalidMediaParameter)) {
		return MediaPlain
	}
	return MediaOther
}
