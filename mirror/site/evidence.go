package site

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
)

// Bounds of what a page repeats from evidence, most of which other people's servers wrote.
const (
	maxLine     = 16 << 20 // of merged evidence: schema/README.md
	maxCodes    = 64
	maxVantages = 32
	maxTroubles = 16
	maxText     = 500 // bytes
)

// Evidence is what the probes saw last, and what senders reported.
type Evidence struct {
	Release  int64 // the newest one whose evidence the mirror has; 0: none
	Digest   [32]byte
	Findings map[string]Finding // by domain: of those that were ever listed
	Feedback *Feedback          // nil: no table yet
}

// Finding is what several vantages decided about a domain.
type Finding struct {
	Verdict  string    `json:"verdict"` // "pass", "warn", "fail" or "inconclusive"
	Since    string    `json:"since"`   // RFC 3339
	Codes    []string  `json:"codes"`
	Vantages []Vantage `json:"vantages"`
}

// Vantage is what one of them saw.
type Vantage struct {
	Name     string    `json:"name"`
	Verdict  string    `json:"verdict"`
	Since    string    `json:"since"`
	Codes    []string  `json:"codes"`
	Troubles []Trouble `json:"troubles,omitempty"`
}

// Trouble is a session with a mail server that did not come to its end, and what the server said last.
type Trouble struct {
	Host    string `json:"host"`
	Address string `json:"address"`
	Stage   string `json:"stage"`
	Detail  string `json:"detail,omitempty"`
	Reply   string `json:"reply,omitempty"`
}

// Feedback is a week's table of what senders reported: schema/README.md.
type Feedback struct {
	From, To string // YYYY-MM-DD
	Domains  map[string]map[string]string
}

// evidenceLine is any line of an evidence file, of one vantage or merged, as far as pages repeat it. Members that are
// not known are skipped: a later version sees more.
type evidenceLine struct {
	Kind     string         `json:"kind"`
	Domain   string         `json:"domain"`
	Vantage  string         `json:"vantage"`
	Verdict  string         `json:"verdict"`
	Since    string         `json:"since"`
	Codes    []string       `json:"codes"`
	Seen     []evidenceLine `json:"seen"`
	Observed struct {
		Hosts []struct {
			Name     string            `json:"name"`
			Sessions []evidenceSession `json:"sessions"`
		} `json:"hosts"`
	} `json:"observed"`
	Feedback *struct {
		From    string `json:"from"`
		To      string `json:"to"`
		Domains []struct {
			Domain string            `json:"domain"`
			Cells  map[string]string `json:"cells"`
		} `json:"domains"`
	} `json:"feedback"`
}

type evidenceSession struct {
	Address  string         `json:"address"`
	Stage    string         `json:"stage"`
	Detail   string         `json:"detail"`
	Greeting *evidenceReply `json:"greeting"`
	EHLO     *evidenceReply `json:"ehlo"`
	STARTTLS *evidenceReply `json:"starttls"`
}

type evidenceReply struct {
	Code  int      `json:"code"`
	Lines []string `json:"lines"`
}

// readEvidence reads the evidence of the newest release that has some. Mirrors keep it for 90 days: none at all is no
// fault. A file with other content than the release signs is.
func readEvidence(ctx context.Context, r mirror.Reader, m *Model) (Evidence, error) {
	newest := m.Newest().Timestamp
	asked := map[[32]byte]bool{}
	for _, rel := range slices.Backward(m.Releases) {
		if newest.Sub(rel.Timestamp) > mirror.KeepEvidence {
			break
		}
		if rel.ReleaseLeaf.Evidence == nil || asked[*rel.ReleaseLeaf.Evidence] {
			continue
		}
		digest := *rel.ReleaseLeaf.Evidence
		asked[digest] = true
		data, err := r.Get(ctx, mirror.EvidencePath(digest), mirror.MaxPackedEvidence)
		if mirror.IsAbsent(err) {
			continue
		}
		if err != nil {
			return Evidence{}, unread(err)
		}
		e := Evidence{Release: rel.Release, Digest: digest, Findings: map[string]Finding{}}
		listed := make(map[string]bool, len(m.Domains))
		for _, d := range m.Domains {
			listed[d.Name.String()] = true
		}
		take := func(line []byte) error { return e.take(line, listed) }
		if err := mirror.UnpackLines(data, mirror.MaxObservationsBytes, digest, maxLine, take); err != nil {
			return Evidence{}, fmt.Errorf("%w: %s: %w", ErrUnverified, mirror.EvidencePath(digest), err)
		}
		return e, nil
	}
	return Evidence{}, nil
}

var errEvidence = errors.New("not a line of evidence")

// take adds a line. The lists of files and signatures in it are for auditors.
func (e *Evidence) take(line []byte, listed map[string]bool) error {
	var l evidenceLine
	if err := json.Unmarshal(line, &l); err != nil {
		return fmt.Errorf("%w: %w", errEvidence, err)
	}
	switch {
	case l.Kind == "feedback" && l.Feedback != nil:
		e.Feedback = &Feedback{cut(l.Feedback.From), cut(l.Feedback.To), map[string]map[string]string{}}
		for _, row := range l.Feedback.Domains {
			if listed[row.Domain] {
				e.Feedback.Domains[row.Domain] = cutCells(row.Cells)
			}
		}
	case (l.Kind == "domain" || l.Kind == "") && listed[l.Domain]:
		seen := l.Seen
		if len(seen) == 0 {
			seen = []evidenceLine{l}
		}
		f := Finding{verdict(l.Verdict), moment(l.Since), cutAll(l.Codes), []Vantage{}}
		for _, v := range seen[:min(len(seen), maxVantages)] {
			f.Vantages = append(f.Vantages, Vantage{cut(v.Vantage), verdict(v.Verdict), moment(v.Since), cutAll(v.Codes), v.troubles()})
		}
		e.Findings[l.Domain] = f
	}
	return nil
}

// troubles are the sessions that failed.
func (l evidenceLine) troubles() []Trouble {
	var out []Trouble
	for _, h := range l.Observed.Hosts {
		for _, s := range h.Sessions {
			if len(out) == maxTroubles {
				return out
			}
			if s.Stage == "done" {
				continue
			}
			t := Trouble{Host: cut(h.Name), Address: cut(s.Address), Stage: cut(s.Stage), Detail: cut(s.Detail)}
			for _, reply := range []*evidenceReply{s.STARTTLS, s.EHLO, s.Greeting} {
				if reply != nil {
					t.Reply = cut(fmt.Sprintf("%d %s", reply.Code, strings.Join(reply.Lines, " / ")))
					break
				}
			}
			out = append(out, t)
		}
	}
	return out
}

// verdict is one of the four; one that is not known says nothing.
func verdict(s string) string {
	switch s {
	case "pass", "warn", "fail":
		return s
	}
	return "inconclusive"
}

// moment is a time as evidence has it, "" for anything else: pages take it apart.
func moment(s string) string {
	if _, err := time.Parse(policy.TimeFormat, s); err != nil {
		return ""
	}
	return s
}

// cut bounds a text, and cleans it.
func cut(s string) string { return clean(s[:min(len(s), maxText)]) }

// clean replaces what no page should hold: control characters, for most of which XML has no form, and those that turn the
// direction of what follows (Unicode's Trojan Source).
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.In(r, unicode.C) || r == 0xfffe || r == 0xffff {
			return '?'
		}
		return r
	}, s)
}

func cutCells(cells map[string]string) map[string]string {
	out := map[string]string{}
	for result, share := range cells {
		out[cut(result)] = cut(share)
	}
	return out
}

func cutAll(codes []string) []string {
	out := []string{}
	for _, c := range codes[:min(len(codes), maxCodes)] {
		out = append(out, cut(c))
	}
	return out
}
