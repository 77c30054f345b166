package socketmap

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// Save writes the valid policies to a file, one a line, sorted.
func (l *Live) Save(path string) error {
	var lines []string
	for d, p := range l.policies.all() {
		if !p.valid(l.Now()) {
			continue
		}
		text, err := json.Marshal(policyLine{d.String(), p.id, p.fetched.UTC().Truncate(time.Second), string(p.body)})
		if err != nil {
			return err
		}
		lines = append(lines, string(text)+"\n")
	}
	slices.Sort(lines)
	return durable.WriteFile(path, []byte(strings.Join(lines, "")), 0o644)
}

// Restore reads what Save wrote. A line that is damaged or out of date is left out; the error counts the damaged ones. The
// domains are asked again at their first use.
func (l *Live) Restore(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxPolicyLine)
	bad, first := 0, error(nil)
	for n := 1; lines.Scan() && n <= maxPolicies; n++ {
		if err := l.restore(lines.Bytes()); err != nil {
			if bad++; first == nil {
				first = fmt.Errorf("line %d: %w", n, err)
			}
		}
	}
	if err := errors.Join(first, lines.Err()); err != nil {
		return fmt.Errorf("%s: %d lines left out: %w", path, bad, err)
	}
	return nil
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
	if known := (stsPolicy{id: p.ID, policy: parsed, body: []byte(p.Text), fetched: p.Fetched}); known.valid(l.Now()) {
		l.policies.put(d, known, maxPolicies)
	}
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
