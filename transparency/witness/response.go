package witness

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/transparency"
)

// sizeType is the content type of a 409 that tells the size of the tree that the witness knows.
const sizeType = "text/x.tlog.size"

// maxResponse caps an answer: a checkpoint's worth of signature lines.
const maxResponse = transparency.MaxCheckpointBytes

// Response is a witness's answer as it came.
type Response struct {
	Status      int
	ContentType string
	Body        []byte // at most maxResponse bytes
}

// Cosignature is a witness's verified statement about a checkpoint.
type Cosignature struct {
	Line []byte    // signature line, with its newline
	Time time.Time // whole seconds, UTC, by the witness's clock
}

// verdict is what follows from an answer: one of a cosignature, another size to prove from, a refusal, and an error.
type verdict struct {
	cosignature Cosignature
	size        int64 // of the tree that the witness knows, from a 409; -1: none told
	refused     bool
}

// judge reads the answer to r for a checkpoint of the given size. An error means: no cosignature, and nothing wrong
// with the log.
func (r Request) judge(w transparency.WitnessURL, size int64, answer Response) (verdict, error) {
	v := verdict{size: -1}
	switch answer.Status {
	case http.StatusOK:
		// The lines are looked for below the checkpoint as we sent it. A note's text ends at its last empty line: an
		// answer with one would be a cosignature of other text.
		note := slices.Concat(r.Checkpoint, answer.Body)
		if gap := []byte("\n\n"); bytes.LastIndex(note, gap) != bytes.LastIndex(r.Checkpoint, gap) {
			return v, errors.New("its answer has more than signature lines")
		}
		var err error
		v.cosignature.Line, v.cosignature.Time, err = w.Cosignature(note)
		return v, err
	case http.StatusConflict:
		known, ok := answer.size()
		if ok {
			v.size = known
		}
		v.refused = !ok || known > size
		return v, nil
	case http.StatusUnprocessableEntity:
		v.refused = true
		return v, nil
	}
	return v, answer.failure()
}

// size reads the tree size that a 409 tells: decimal without leading zeros, and a newline.
func (a Response) size() (int64, bool) {
	kind, _, _ := strings.Cut(a.ContentType, ";")
	text, newline := strings.CutSuffix(string(a.Body), "\n")
	n, err := strconv.ParseInt(text, 10, 64)
	ok := err == nil && newline && n >= 0 && strconv.FormatInt(n, 10) == text && strings.EqualFold(strings.TrimSpace(kind), sizeType)
	if !ok {
		return 0, false
	}
	return n, true
}

// failure says what an answer means that is neither of the protocol's verdicts.
func (a Response) failure() error {
	switch {
	case a.Status == http.StatusNotFound:
		return errors.New("it does not know this log (404): its operator has to add the origin and the log key")
	case a.Status == http.StatusForbidden:
		return errors.New("it does not accept the log key (403): its operator has to add the one of this trust version")
	case a.Status >= 300 && a.Status < 400:
		return fmt.Errorf("it answers with a redirect (%d), which is not followed: the trust must name the place itself", a.Status)
	}
	return fmt.Errorf("it answers %d %s", a.Status, http.StatusText(a.Status))
}
