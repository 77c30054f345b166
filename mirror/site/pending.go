package site

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// ErrExtra is what Read wraps for a document of the operator's that cannot be used.
var ErrExtra = errors.New("not what the pages take")

// Pending is what the operator's gate holds, as "starttls-list pending --json" says it.
type Pending struct {
	Held []Held `json:"held"` // sorted by domain
}

// Held is one change that waits.
type Held struct {
	Domain   string   `json:"domain"`
	Class    string   `json:"class"`
	Since    string   `json:"since,omitempty"` // RFC 3339, "" where nobody can tell
	Until    string   `json:"until,omitempty"`
	Codes    []string `json:"codes"`
	Findings []Found  `json:"findings"`
}

// Found is a finding of the gate.
type Found struct {
	Code    string `json:"code"`
	Summary string `json:"summary"`
	Fix     string `json:"fix"`
}

func parsePending(data []byte) (*Pending, error) {
	if data == nil {
		return nil, nil
	}
	var raw struct {
		Held *[]Held `json:"held"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("pending: %w: %w", ErrExtra, err)
	}
	if raw.Held == nil {
		return nil, fmt.Errorf("pending: %w: it has no member held", ErrExtra)
	}
	for i := range *raw.Held {
		h := &(*raw.Held)[i]
		h.Codes, h.Findings = append([]string{}, h.Codes...), append([]Found{}, h.Findings...) // [] rather than null
		if _, err := policy.ParseDomain(h.Domain); err != nil {
			return nil, fmt.Errorf("pending: %w: %w", ErrExtra, err)
		}
		for _, t := range []string{h.Since, h.Until} {
			if t == "" {
				continue
			}
			if _, err := policy.ParseTime(t); err != nil {
				return nil, fmt.Errorf("pending: %w: %w", ErrExtra, err)
			}
		}
	}
	for i := range *raw.Held {
		(*raw.Held)[i].clean()
	}
	p := &Pending{*raw.Held}
	slices.SortStableFunc(p.Held, func(a, b Held) int { return strings.Compare(a.Domain, b.Domain) })
	return p, nil
}

// of returns what is held of one domain.
func (p *Pending) of(domain string) []Held {
	if p == nil {
		return nil
	}
	at, _ := slices.BinarySearchFunc(p.Held, domain, func(h Held, d string) int { return strings.Compare(h.Domain, d) })
	end := at
	for end < len(p.Held) && p.Held[end].Domain == domain {
		end++
	}
	return p.Held[at:end]
}

// clean rids its texts of what no page should hold: those of findings repeat what probes were told.
func (h *Held) clean() {
	h.Class = clean(h.Class)
	for i := range h.Codes {
		h.Codes[i] = clean(h.Codes[i])
	}
	for i := range h.Findings {
		f := &h.Findings[i]
		f.Code, f.Summary, f.Fix = clean(f.Code), clean(f.Summary), clean(f.Fix)
	}
}
