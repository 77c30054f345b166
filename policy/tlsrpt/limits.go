package tlsrpt

import "errors"

// What a refused document wraps: which of these decides the answer to who sent it.
var (
	// ErrLimit says that a document is larger, deeper or denser than Limits allow (HTTP 413).
	ErrLimit = errors.New("report is over a limit")
	// ErrFormat says that the bytes are no report: no JSON object, or one that stops midway (HTTP 400).
	ErrFormat = errors.New("not a TLS report")
)

// Limits cap what one document may cost. Memory in use while reading stays below some three times Size.
type Limits struct {
	Compressed int // bytes as received, gzip or not
	Size       int // bytes of JSON
	Ratio      int // bytes of JSON for each byte of gzip, once past 256 KiB: reports pack 5 to 30 times, one that repeats itself 250
	Depth      int // nested objects and arrays; RFC 8460 needs 6
	Policies   int // items of "policies": more are refused, as each counts sessions
	Details    int // items of "failure-details" in the whole report: more are left out with a note, the summaries count all
	Strings    int // items of one policy-string or mx-host: more are left out with a note
	Text       int // bytes of one text: more are cut with a note
	Notes      int // notes kept: more are only counted
}

// DefaultLimits are several times what the largest senders' reports of a day need.
func DefaultLimits() Limits {
	return Limits{
		Compressed: 4 << 20, Size: 16 << 20, Ratio: 500, Depth: 32,
		Policies: 1024, Details: 20_000, Strings: 64, Text: 2048, Notes: 32,
	}
}
