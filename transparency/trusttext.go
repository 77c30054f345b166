package transparency

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseTrust reads a signed note of at most MaxTrustBytes strictly; the text it accepts formats back to itself. No signature
// is verified: see VerifySelf and VerifyNext. Errors wrap ErrTrust and name the line.
func ParseTrust(msg []byte) (*Trust, error) {
	if len(msg) > MaxTrustBytes {
		return nil, fmt.Errorf("%w: %d bytes, the most is %d", ErrTrust, len(msg), MaxTrustBytes)
	}
	text, _, ok := strings.Cut(string(msg), "\n\n")
	if !ok {
		return nil, fmt.Errorf("%w: not a signed note: no empty line before the signatures", ErrTrust)
	}
	text += "\n"
	p := trustParser{lines: strings.SplitAfter(text, "\n")}
	t := p.parse()
	t.note = bytes.Clone(msg)
	switch {
	case p.err != nil:
		return nil, fmt.Errorf("%w: line %d: %w", ErrTrust, p.n, p.err)
	case t.Text() != text:
		return nil, fmt.Errorf("%w: not in its one form", ErrTrust)
	}
	return t, t.check()
}

// trustParser reads line after line; the first error sticks at its line.
type trustParser struct {
	lines []string
	n     int // lines read
	err   error
}

func (p *trustParser) line() string {
	if p.err != nil {
		return ""
	}
	if p.n == len(p.lines) || p.lines[p.n] == "" {
		p.err = errors.New("the text ends too early")
		return ""
	}
	p.n++
	return strings.TrimSuffix(p.lines[p.n-1], "\n")
}

func (p *trustParser) item(name string) string {
	line := p.line()
	v, ok := strings.CutPrefix(line, name+" ")
	if !ok && p.err == nil {
		p.err = fmt.Errorf("expected %q, found %q", name+" …", line)
	}
	return v
}

func (p *trustParser) number(name string) int64 {
	v, err := strconv.ParseInt(p.item(name), 10, 54) // to 2^53-1, as in leaves
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("%s takes a number", name)
	}
	return v
}

func (p *trustParser) keep(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *trustParser) parse() *Trust {
	t := &Trust{}
	if line := p.line(); line != trustHeader {
		p.keep(fmt.Errorf("expected %q", trustHeader))
	}
	t.Version = p.number("version")
	var err error
	t.Expires, err = time.Parse(timeFormat, p.item("expires"))
	p.keep(err)
	t.Origin = p.item("origin")
	t.RootK = int(p.number("root"))
	for p.more("release ") {
		k, err := parseVKey(p.line(), algEd25519)
		p.keep(err)
		t.roots = append(t.roots, k)
	}
	t.ReleaseK = int(p.number("release"))
	for p.more("log ") {
		der, err := base64.StdEncoding.Strict().DecodeString(p.line())
		p.keep(err)
		k, err := ParseReleaseKey(der)
		p.keep(err)
		t.releases = append(t.releases, k)
	}
	t.log, err = parseVKey(p.item("log"), algEd25519)
	p.keep(err)
	if p.err == nil {
		t.Witnesses, err = ParseWitnessPolicy(strings.Join(p.lines[p.n:], ""))
		p.keep(err)
	}
	return t
}

func (p *trustParser) more(next string) bool {
	return p.err == nil && p.n < len(p.lines) && !strings.HasPrefix(p.lines[p.n], next)
}
