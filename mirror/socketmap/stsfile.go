package socketmap

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

// maxPolicyLine caps a line of the file: a policy text of 64 KB, every byte of it escaped.
const maxPolicyLine = 6*mtasts.MaxPolicyBytes + 4096

// refreshers is how many policies are confirmed at once.
const refreshers = 8

// policyLine is one policy in the file that outlives a restart. Without it each restart would be a first contact with
// every domain, which is the moment that MTA-STS does not protect.
type policyLine struct {
	Domain  string    `json:"domain"`
	ID      string    `json:"id"`
	Fetched time.Time `json:"fetched"`
	Text    string    `json:"text"`
}

// maxDead is how often a policy may be found not valid when it is to be saved, until it is forgotten: a day of the daemon's,
// whatever the clock says meanwhile. A machine without a battery starts in 1970, where every policy is of the future, and
// one that starts far ahead has none that is still valid; the time of the network comes a moment later.
const maxDead = 144

// Save writes the policies to a file, one a line, sorted, those included that are not valid by the clock of the moment.
func (l *Live) Save(path string) error {
	now := l.Now()
	l.policies.revise(func(p *stsPolicy) bool {
		if p.dead++; p.valid(now) {
			p.dead = 0
		}
		return p.dead <= maxDead
	})
	var lines []string
	for d, p := range l.policies.all() {
		text, err := json.Marshal(policyLine{d.String(), p.id, p.fetched.UTC().Truncate(time.Second), string(p.body)})
		if err != nil {
			return err
		}
		lines = append(lines, string(text)+"\n")
	}
	slices.Sort(lines)
	return durable.WriteFile(path, []byte(strings.Join(lines, "")), 0o644)
}

// Restore reads what Save wrote. A damaged line costs only itself; the error counts them. The domains are asked again at
// their first use, and each policy counts while it is valid, by the clock of then.
func (l *Live) Restore(path string) error {
	file, err := durable.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	bad, first := 0, error(nil)
	r := bufio.NewReaderSize(file, 1<<16)
	for n := 1; ; n++ {
		line, err := readLine(r)
		if err == io.EOF {
			break
		}
		if err == nil {
			err = l.restore(line)
		} else if !errors.Is(err, errLongLine) {
			return fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		if err != nil {
			if bad++; first == nil {
				first = fmt.Errorf("line %d: %w", n, err)
			}
		}
	}
	if first != nil {
		return fmt.Errorf("%s: %d lines left out: %w", path, bad, first)
	}
	return nil
}

var errLongLine = fmt.Errorf("more than %d bytes", maxPolicyLine)

// readLine returns the next line without its end. Of one that is too long, the rest is passed over.
func readLine(r *bufio.Reader) (line []byte, err error) {
	long := false
	for {
		part, more, err := r.ReadLine()
		switch {
		case err == io.EOF && long:
			return nil, errLongLine
		case err != nil:
			return nil, err
		}
		if long = long || len(line)+len(part) > maxPolicyLine; !long {
			line = append(line, part...)
		}
		switch {
		case more:
		case long:
			return nil, errLongLine
		default:
			return line, nil
		}
	}
}

func (l *Live) restore(line []byte) error {
	var p policyLine
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return err
	}
	d, err := policy.ParseDomain(p.Domain)
	if err != nil {
		return err
	}
	parsed, err := mtasts.ParsePolicy([]byte(p.Text))
	if err != nil {
		return err
	}
	l.policies.put(d, stsPolicy{id: p.ID, policy: parsed, body: []byte(p.Text), fetched: p.Fetched}, l.policyLimit())
	return nil
}

// Refresh confirms the policies of which less than a quarter of their time is left, so that a domain that is written to
// seldom stays protected. It returns how many it asked for.
func (l *Live) Refresh(ctx context.Context) int {
	var g errgroup.Group
	g.SetLimit(refreshers)
	asked := 0
	for d, p := range l.policies.all() {
		now := l.Now()
		if !p.valid(now) || !p.due(now) || p.policy.Mode == mtasts.None || p.fetched.Add(p.policy.MaxAge*3/4).After(now) {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		asked++
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, livePatience)
			defer cancel()
			l.search(ctx, d)
			return nil
		})
	}
	g.Wait()
	return asked
}
