package tlsrpt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/mail"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

const (
	// ingestAtOnce is how many documents of a folder share transactions, and ingestMemory what they may weigh together: a
	// document weighs its bytes times ingestWeight, as gzip unpacks to many times as much.
	ingestAtOnce = 64
	ingestMemory = 64 << 20
	ingestWeight = 16
	// mailPatience is how long after its Date a mail waits for a DKIM key that cannot be looked up; then it is only shown.
	mailPatience = 24 * time.Hour
)

// ErrLater says that the mail's signature cannot be judged just now: the same mail may count later.
var ErrLater = errors.New("the key of the mail's signature cannot be looked up at the moment")

// Ingester takes documents that lie in files or come from an MTA. Safe for concurrent use.
type Ingester struct {
	Store *Store
	DNS   TXTClient // for the keys of mail's signatures
	Now   func() time.Time
}

// Ingested is what became of one file or mail.
type Ingested struct {
	Name     string
	Outcomes []Outcome     // of its documents
	Notes    []tlsrpt.Note // what the reader tolerated in them
	Reasons  []string      // why nobody is proven to have sent it; printable ASCII
	Err      error
}

// Unreadable reports whether the error is for good, and the file's own fault.
func (r Ingested) Unreadable() bool {
	return slices.ContainsFunc([]error{ErrNoReport, tlsrpt.ErrFormat, tlsrpt.ErrLimit, ErrNoDay, ErrOutOfTime}, func(e error) bool { return errors.Is(r.Err, e) })
}

// Take takes one file or mail: a document in JSON or gzip, or a message with documents in it.
func (in *Ingester) Take(ctx context.Context, raw []byte, name string) Ingested {
	out := Ingested{Name: name}
	if looksLikeReport(raw) {
		out.Err = in.document(ctx, raw, &out)
	} else {
		out.Err = in.mail(ctx, raw, &out)
	}
	if out.Unreadable() {
		if err := in.Store.AddCounts(ctx, map[Count]int64{CountUnreadable: 1}); err != nil {
			out.Err = err
		}
	}
	return out
}

func (in *Ingester) document(ctx context.Context, raw []byte, out *Ingested) error {
	report, err := tlsrpt.Read(raw, tlsrpt.DefaultLimits())
	if err != nil {
		return err
	}
	report.Attribute(tlsrpt.Hint{FileName: out.Name, Received: in.Now()})
	out.Reasons = []string{"a file proves no submitter"}
	return in.add(ctx, Document{Report: report, Body: raw, Via: ViaFile}, out)
}

func (in *Ingester) mail(ctx context.Context, raw []byte, out *Ingested) error {
	mails, err := ReadMail(raw, DefaultMailLimits())
	if err != nil {
		return err
	}
	var proofs []Authentication
	for _, m := range mails {
		proof := m.Authenticate(ctx, in.DNS)
		if proof.Submitter.IsZero() && proof.Temporary && in.young(m) {
			return ErrLater // before any of them is stored: the mail comes again as a whole
		}
		proofs = append(proofs, proof)
	}
	for i, m := range mails {
		m.Hint.Received = in.Now()
		m.Report.Attribute(m.Hint)
		out.Reasons = append(out.Reasons, proofs[i].Reasons...)
		d := Document{Report: m.Report, Body: m.Body, Via: ViaMail, Submitter: proofs[i].Submitter}
		if err := in.add(ctx, d, out); err != nil {
			return err
		}
	}
	return nil
}

// young reports whether the mail was written not long ago, by its own word.
func (in *Ingester) young(m *Mailed) bool {
	date, err := mail.ParseDate(m.header.Get("Date"))
	return err == nil && in.Now().Sub(date) < mailPatience
}

func (in *Ingester) add(ctx context.Context, d Document, out *Ingested) error {
	outcome, err := in.Store.Add(ctx, d)
	if err != nil {
		return err
	}
	out.Outcomes = append(out.Outcomes, outcome)
	out.Notes = append(out.Notes, d.Report.Notes...)
	return nil
}

// ReadCapped reads a mail or a document, and no more of it than one may have.
func ReadCapped(r io.Reader) ([]byte, error) {
	limit := DefaultMailLimits().Size
	raw, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && len(raw) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", tlsrpt.ErrLimit, limit)
	}
	return raw, err
}

// TakeAll takes every file below a folder, or one file; names that begin with a dot are passed over. The files stay. tell is
// called for each, one at a time, in no order. It ends at the first error that is not one file's own.
func (in *Ingester) TakeAll(ctx context.Context, root string, tell func(Ingested)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(ingestAtOnce)
	memory := semaphore.NewWeighted(ingestMemory)
	var mu sync.Mutex
	walk := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != root && strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.IsDir(), e.Type()&^fs.ModeSymlink != 0: // to open a named pipe would wait for ever
			return nil
		}
		weight := weigh(e)
		if err := memory.Acquire(ctx, weight); err != nil {
			return err
		}
		group.Go(func() error {
			defer memory.Release(weight)
			out := in.takeFile(ctx, path)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case path != root && errors.Is(out.Err, fs.ErrNotExist): // a mail that its reader has moved meanwhile
				return nil
			case out.Err != nil && !out.Unreadable() && !errors.Is(out.Err, ErrLater):
				return out.Err
			}
			tell(out)
			return nil
		})
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return walk
}

// weigh is what a file may take of memory while it is read.
func weigh(e fs.DirEntry) int64 {
	size := int64(0)
	if info, err := e.Info(); err == nil {
		size = min(info.Size(), int64(DefaultMailLimits().Size))
	}
	return min(max(size*ingestWeight, 64<<10), ingestMemory)
}

func (in *Ingester) takeFile(ctx context.Context, path string) Ingested {
	out := Ingested{Name: path}
	f, err := durable.Open(path)
	if err != nil {
		out.Err = err
		return out
	}
	defer f.Close()
	raw, err := ReadCapped(f)
	if err != nil {
		out.Err = err
		return out
	}
	return in.Take(ctx, raw, path)
}
