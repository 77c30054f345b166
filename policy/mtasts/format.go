package mtasts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// SelfService is the shortest max_age with which a policy is the owner's word by itself (rule R31).
const SelfService = minSelfService

// idBytes of a policy's digest make its id: 20 characters, of the 32 that a record may have (RFC 8461 section 3.1).
const idBytes = 10

// Text writes the policy as a policy host serves it, lines ending in CRLF (RFC 8461 section 3.2). What is Unusable is left
// out. ParsePolicy gives an equal policy back, without deviations.
func (p Policy) Text() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "version: STSv1\r\nmode: %s\r\n", p.Mode)
	for _, mx := range p.MXs {
		fmt.Fprintf(&b, "mx: %s\r\n", mx.STS())
	}
	fmt.Fprintf(&b, "max_age: %d\r\n", p.MaxAge/time.Second)
	return []byte(b.String())
}

// NewRecord is the record that goes with a policy text. Its id is made of the text, so that it changes when the text does
// and not else: by it alone senders learn that there is another policy (RFC 8461 section 3.1).
func NewRecord(text []byte) Record {
	sum := sha256.Sum256(text)
	return Record{ID: hex.EncodeToString(sum[:idBytes])}
}

// String is the text of the TXT record.
func (r Record) String() string { return "v=STSv1; id=" + r.ID + ";" }
