package tlsrpt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// maxReaders is how many documents are read at once, and of those that hold more than largeReport entries also stored at once:
// reading may take some three times tlsrpt.Limits.Size each.
const (
	maxReaders  = 4
	largeReport = 1000
)

// refusal is an answer as an error.
type refusal struct{ answer }

func (r *refusal) Error() string { return r.line }

// report takes a report about a domain.
func (in *Intake) report(w http.ResponseWriter, r *http.Request, d policy.Domain) answer {
	limits := tlsrpt.DefaultLimits()
	var by signed
	var err error
	isSigned := r.Header.Get(tlsrpt.SignatureHeader) != "" && in.opts.Keys != nil
	if isSigned {
		if by, err = in.signer(r); err != nil {
			return in.refuse(err)
		}
	}
	body, free, refused := in.body(w, r, int64(limits.Compressed), int64(limits.Size/limits.Compressed))
	if refused != nil {
		return refused.answer
	}
	defer free()
	report, done, err := in.read(r.Context(), body, limits)
	if err != nil {
		return in.refuse(err)
	}
	defer done()
	report.Attribute(tlsrpt.Hint{Domain: d, Received: in.opts.Now()})
	doc := Document{Report: report, Body: body, Via: ViaHTTPS, Recipient: d}
	if isSigned {
		if err := by.verify(r.Context(), body); err != nil {
			return in.refuse(err)
		}
		// One organisation is one reporter, as with mail: a wildcard in its DNS proves any number of names below it.
		if doc.Submitter = organisational(by.contributor); doc.Submitter.IsZero() {
			return in.refuse(fmt.Errorf("%w: below %s anybody may register", ErrSignature, by.contributor))
		}
	}
	out, err := in.store.Add(r.Context(), doc)
	if err != nil {
		return in.refuse(err)
	}
	in.setFull(false)
	in.counted(out.counts())
	switch {
	case len(out.Counted) > 0 && out.Authenticated:
		return answer{status: http.StatusCreated, line: "taken"}
	case len(out.Counted) > 0:
		return answer{status: http.StatusCreated, line: "taken to be shown; it is not signed, so it does not count"}
	case out.Duplicates > 0:
		return answer{status: http.StatusOK, line: "this report was taken before"}
	case out.Foreign > 0:
		return answer{status: http.StatusUnprocessableEntity, line: "the report does not tell of " + d.String()}
	}
	return answer{status: http.StatusOK, line: "the report counts no sessions"}
}

// bodyStep is the least that is allotted for a body.
const bodyStep = 64 << 10

// body reads a request's body into memory that is free to take. Nothing is believed of what is declared: the budget is for
// bytes that came, times what reading them may take. free gives it back.
func (in *Intake) body(w http.ResponseWriter, r *http.Request, limit int64, times int64) (body []byte, free func(), refused *refusal) {
	held := int64(0)
	free = func() { in.memory.Release(held) }
	from := http.MaxBytesReader(w, r.Body, limit)
	for {
		if len(body) == cap(body) {
			more := max(int64(len(body)), bodyStep)
			if !in.memory.TryAcquire(more * times) {
				free()
				return nil, nil, &refusal{answer{status: http.StatusServiceUnavailable, line: "too many reports at once", after: time.Minute}}
			}
			held += more * times
			body = append(make([]byte, 0, int64(len(body))+more), body...)
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		var over *http.MaxBytesError
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return body, free, nil
		case errors.As(err, &over):
			free()
			return nil, nil, &refusal{in.refuse(fmt.Errorf("%w: a body of more than %d bytes", tlsrpt.ErrLimit, limit))}
		default:
			free()
			in.count(CountUnreadable)
			return nil, nil, &refusal{answer{status: http.StatusBadRequest, line: "the body stops before its end"}}
		}
	}
}

// read reads a document when there is a place. done gives up the place, if it is still held.
func (in *Intake) read(ctx context.Context, body []byte, limits tlsrpt.Limits) (report *tlsrpt.Report, done func(), err error) {
	select {
	case in.readers <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	report, err = tlsrpt.Read(body, limits)
	if err == nil && entries(report) > largeReport {
		return report, func() { <-in.readers }, nil
	}
	<-in.readers
	return report, func() {}, err
}

func entries(r *tlsrpt.Report) int {
	n := len(r.Policies)
	for _, p := range r.Policies {
		n += len(p.Details)
	}
	return n
}
