package faulty

import (
	"net/http"
	"regexp"
	"slices"
)

// Kind is one way in which a request goes wrong.
type Kind string

// Before means that the gateway never sees the request, after that it carried it out and only the answer is another.
const (
	None        Kind = ""
	Error500    Kind = "500 before"
	Error503    Kind = "503 before"
	Error409    Kind = "409 before"
	Error412    Kind = "412 before"
	Reset       Kind = "reset before"
	After500    Kind = "500 after"
	After503    Kind = "503 after"
	After409    Kind = "409 after"
	After412    Kind = "412 after" // as a retry meets it whose first attempt was carried out
	AfterReset  Kind = "reset after"
	Overtaken   Kind = "lands after the retry"   // the connection breaks, and the request arrives behind the next one for its object
	Forgotten   Kind = "lands after the run"     // as Overtaken, but it arrives when Land is called
	Stale       Kind = "stale"                   // an earlier version of the object, or none; a listing without every second key
	Truncated   Kind = "truncated"               // the body breaks off
	Short       Kind = "shortened"               // the body ends early, and the headers agree with that
	ChangedETag Kind = "other ETag"              // the object has another tag than before
	Slow        Kind = "slow"                    // half a body, or no answer, and then nothing more; a write is carried out
	Mute        Kind = "no answer, nothing done" // a write is not carried out, and nothing is answered
)

// Kinds are all there are.
var Kinds = []Kind{Error500, Error503, Error409, Error412, Reset, After500, After503, After409, After412, AfterReset,
	Overtaken, Forgotten, Stale, Truncated, Short, ChangedETag, Slow, Mute}

// writes are the kinds that only a request that changes something can meet.
var writes = []Kind{After409, After412, Overtaken, Forgotten, Mute}

// reads are the kinds that need a body to come back.
var reads = []Kind{Stale, Truncated, Short}

// Applies reports whether a request of the method (LIST for a listing) can meet the fault.
func (k Kind) Applies(method string) bool {
	write := method == http.MethodPut || method == http.MethodDelete
	switch {
	case slices.Contains(writes, k):
		return write
	case slices.Contains(reads, k):
		return !write
	case k == ChangedETag:
		return method == http.MethodPut || method == http.MethodGet
	}
	return k != None
}

// errorAnswer is the store's word for a status.
func errorAnswer(status int) *answer {
	code := map[int]string{500: "InternalError", 503: "SlowDown", 409: "ConditionalRequestConflict", 412: "PreconditionFailed", 404: "NoSuchKey"}[status]
	return &answer{status, http.Header{"Content-Type": {"application/xml"}},
		[]byte("<Error><Code>" + code + "</Code><Message>as the test wants it</Message></Error>")}
}

// statuses are the kinds that answer with a status.
var statuses = map[Kind]int{Error500: 500, Error503: 503, Error409: 409, Error412: 412, After500: 500, After503: 503, After409: 409, After412: 412}

// forwards reports whether the gateway sees the request before it is answered.
func (k Kind) forwards() bool {
	return !slices.Contains([]Kind{Error500, Error503, Error409, Error412, Reset, Overtaken, Forgotten, Mute}, k)
}

// resets are the kinds that answer with a broken connection.
var resets = []Kind{Reset, AfterReset, Overtaken, Forgotten}

var keysOfListing = regexp.MustCompile(`(?s)<Contents>.*?</Contents>`)

// halfListing leaves out every second key: those that a store has not got round to listing yet.
func halfListing(body []byte) []byte {
	n := 0
	return keysOfListing.ReplaceAllFunc(body, func(key []byte) []byte {
		if n++; n%2 == 0 {
			return nil
		}
		return key
	})
}
