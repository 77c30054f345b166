package leaveout

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy"
)

const (
	// unconfirmed is for how long attempts may fail before an answer does not count any more.
	unconfirmed = 7 * 24 * time.Hour
	// maxLine is more than a domain of 253 bytes with its times has.
	maxLine = 512
	// maxLines caps the file; a list has a million domains at most.
	maxLines = 2_000_000
)

// policiesSuffix is what the name of the file with the MTA-STS policies has behind that of the book.
const policiesSuffix = ".mta-sts.jsonl"

// Book is what is known of the listed domains. It is not safe for concurrent use.
type Book struct {
	path    string
	live    *socketmap.Live
	answers map[policy.Domain]Answer
}

// Open reads the book at path, which need not exist. live asks the domains; for one that is only to be read its Now is
// enough. Lines that are damaged are left out, and the error, beside a usable book, counts them: their domains are in the
// list's hands until they have been asked again.
func Open(path string, live *socketmap.Live) (*Book, error) {
	b := &Book{path: path, live: live, answers: make(map[policy.Domain]Answer)}
	return b, errors.Join(b.read(), live.Restore(path+policiesSuffix))
}

func (b *Book) read() error {
	file, err := durable.Open(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLine)
	bad, first := 0, error(nil)
	for n := 1; lines.Scan() && n <= maxLines; n++ {
		d, a, err := parseAnswer(lines.Text())
		if err == nil {
			b.answers[d] = a
			continue
		}
		if bad++; first == nil {
			first = fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := errors.Join(first, lines.Err()); err != nil {
		return fmt.Errorf("%s: %d lines left out: %w", b.path, bad, err)
	}
	return nil
}

// Save writes the book and the policies. A crash between the two leaves policies that no answer confirms yet, or the other
// way round; neither leaves a domain out.
func (b *Book) Save() error {
	lines := make([]string, 0, len(b.answers))
	for d, a := range b.answers {
		lines = append(lines, a.format(d)+"\n")
	}
	slices.Sort(lines)
	return errors.Join(b.live.Save(b.path+policiesSuffix), durable.WriteFile(b.path, []byte(strings.Join(lines, "")), 0o644))
}
