package feedback

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// Names in the state folder.
const (
	BookFile = "feedback.json"
	KeyFile  = "feedback-key.pem"
	LockFile = "feedback.lock"

	outboxPrefix, outboxSuffix = "feedback-outbox-", ".json"
)

const (
	// filePermission keeps others on this machine from reading whom it writes to.
	filePermission = 0o640
	// keepDays is how long what was sent can be looked at.
	keepDays = 14
	maxBook  = 1 << 20 // bytes
)

// State is what became of a day.
type State string

const (
	Waiting State = "waiting"  // for its end, its time, or an operator who does not answer
	Sent    State = "sent"     // its document was accepted
	GivenUp State = "given up" // its document never will be
)

// Entry is one day.
type Entry struct {
	Day      tlsrpt.Day      `json:"day"`
	State    State           `json:"state"`
	Digest   string          `json:"sha256,omitempty"` // of the document, hex
	Domains  int             `json:"domains"`          // that it names
	Attempts int             `json:"attempts"`
	Next     time.Time       `json:"next,omitzero"` // no attempt before
	Sent     time.Time       `json:"sent,omitzero"`
	Error    string          `json:"error,omitempty"`   // why the last attempt failed
	Notices  []tlsrpt.Notice `json:"notices,omitempty"` // what the operator answered
}

// Book is what became of each day, oldest first. Not for concurrent use: hold the lock.
type Book struct {
	dir string
	// Since is the first day that is told of, the one after feedback was turned on; 0 while it never ran.
	Since tlsrpt.Day `json:"since"`
	Days  []Entry    `json:"days"`
	// Error says why the last run could not make a document; "" when it could, or had none to make.
	Error string    `json:"error,omitempty"`
	Ran   time.Time `json:"ran,omitzero"`
}

// LoadBook reads the book of a state folder; without one it is empty. One that cannot be read counts as none, and the error
// tells: then the days before now are not told of, for nobody knows whether they were.
func LoadBook(dir string) (*Book, error) {
	b := &Book{dir: dir}
	data, err := readFile(filepath.Join(dir, BookFile), maxBook)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err == nil {
		err = json.Unmarshal(data, b)
	}
	if err != nil {
		return &Book{dir: dir}, fmt.Errorf("%s: %w", filepath.Join(dir, BookFile), err)
	}
	slices.SortFunc(b.Days, func(x, y Entry) int { return cmp.Compare(x.Day, y.Day) })
	return b, nil
}

func readFile(path string, limit int64) ([]byte, error) {
	f, err := durable.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return data, err
}

func (b *Book) save() error {
	data, err := json.MarshalIndent(b, "", " ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(b.dir, BookFile), append(data, '\n'), filePermission)
}

// Entry finds a day; nil when nothing is known of it.
func (b *Book) Entry(day tlsrpt.Day) *Entry {
	for i := range b.Days {
		if b.Days[i].Day == day {
			return &b.Days[i]
		}
	}
	return nil
}

func (b *Book) add(day tlsrpt.Day) {
	b.Days = append(b.Days, Entry{Day: day, State: Waiting})
	slices.SortFunc(b.Days, func(x, y Entry) int { return cmp.Compare(x.Day, y.Day) })
}

// Notices are those of the newest day that was accepted: what the operator knows now.
func (b *Book) Notices() []tlsrpt.Notice {
	if e := b.LastSent(); e != nil {
		return e.Notices
	}
	return nil
}

// LastSent is the newest day that was accepted; nil for none.
func (b *Book) LastSent() *Entry {
	for i := len(b.Days) - 1; i >= 0; i-- {
		if b.Days[i].State == Sent {
			return &b.Days[i]
		}
	}
	return nil
}

// Overdue is how many days' documents were not accepted when they were sent.
func (b *Book) Overdue() (n int) {
	for _, e := range b.Days {
		if e.State == GivenUp || e.State == Waiting && e.Attempts > 0 {
			n++
		}
	}
	return n
}

func (b *Book) outbox(day tlsrpt.Day) string {
	return filepath.Join(b.dir, outboxPrefix+day.String()+outboxSuffix)
}

// Document returns a day's document as it stands in the outbox, whether it was sent or not; fs.ErrNotExist when there is none.
func (b *Book) Document(day tlsrpt.Day) ([]byte, error) {
	body, err := readFile(b.outbox(day), tlsrpt.MaxContribution)
	if err != nil {
		return nil, err
	}
	if c, err := tlsrpt.ValidateContribution(body); err != nil {
		return nil, fmt.Errorf("%s: %w", b.outbox(day), err)
	} else if c.Day != day {
		return nil, fmt.Errorf("%s is about %s", b.outbox(day), c.Day)
	}
	if e := b.Entry(day); e != nil && e.Digest != "" && e.Digest != digest(body) {
		return nil, fmt.Errorf("%s is not what the book has", b.outbox(day))
	}
	return body, nil
}

func digest(body []byte) string { return fmt.Sprintf("%x", sha256.Sum256(body)) }

// tidy forgets old days, and removes what belongs to none and what a kill has left.
func (b *Book) tidy(today tlsrpt.Day) error {
	leftovers := []string{BookFile}
	for day := today - keepDays; day < today; day++ {
		leftovers = append(leftovers, filepath.Base(b.outbox(day)))
	}
	if err := durable.Sweep(b.dir, leftovers...); err != nil {
		return err
	}
	b.Days = slices.DeleteFunc(b.Days, func(e Entry) bool { return e.Day < today-keepDays })
	names, err := filepath.Glob(filepath.Join(b.dir, outboxPrefix+"*"+outboxSuffix))
	if err != nil {
		return err
	}
	for _, name := range names {
		text := filepath.Base(name)
		day, err := tlsrpt.ParseDay(text[len(outboxPrefix) : len(text)-len(outboxSuffix)])
		if err == nil && day < today-keepDays {
			err = os.Remove(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
