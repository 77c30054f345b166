package cells

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// A row takes margin contributors more than three in the month before, and up to spread more than those: the secret says how
// many, for each provider and month anew. With a bound that is known, a row that appears tells that somebody has come. The margin
// lets rows stay whole for their month, and keeps small crowds, in which everybody shows, out of tables. README.md has what
// other values gave.
const (
	margin = 3
	spread = 12
)

// Chosen are the rows that a month's tables have of what senders contribute, if their weeks are large enough as well: chosen
// once, by the month before. So what appears within a month appears for nobody's sake.
type Chosen struct {
	Month     Month
	domains   map[string]bool
	providers map[string]bool
}

func (c Chosen) domain(name string) bool   { return c.domains[name] }
func (c Chosen) provider(name string) bool { return c.providers[name] }

// Choose chooses the rows of a month by what was seen in the month before; other observations are passed over. secret is
// the month's, at least 32 bytes, and known to nobody else.
func Choose(m Month, seen iter.Seq[Observation], listed Listed, secret []byte) Chosen {
	return choose(m, m.Before().Has, seen, listed, func(provider string) int { return threshold(secret, m, provider) })
}

// choose takes what was seen within some days, and what each provider's rows take.
func choose(m Month, within func(tlsrpt.Day) bool, seen iter.Seq[Observation], listed Listed, least func(provider string) int) Chosen {
	c := Chosen{m, map[string]bool{}, map[string]bool{}}
	domains := sum(seen, within, listed)
	for d, row := range domains {
		if row.enough(Senders, least(row.provider)) {
			c.domains[d.String()] = true
		}
	}
	// The roll-ups are of all others. What one threshold hides another would show, so a provider has one for all its rows.
	for p, row := range rollUp(domains, c) {
		if row.enough(Senders, least(p)) {
			c.providers[p] = true
		}
	}
	return c
}

// threshold is how many contributors the rows of a provider take.
func threshold(secret []byte, m Month, provider string) int {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("policylist feedback threshold v1\n" + m.String() + "\n" + provider))
	return MinContributors + margin + int(binary.BigEndian.Uint64(mac.Sum(nil))%(spread+1))
}

// chosenJSON is how a choice is kept.
type chosenJSON struct {
	Month     string   `json:"month"`
	Domains   []string `json:"domains"`
	Providers []string `json:"providers"`
}

// Bytes is the choice as JSON. It tells more than the tables do, and is nobody's but the operator's.
func (c Chosen) Bytes() []byte {
	b, err := json.Marshal(chosenJSON{c.Month.String(), names(c.domains), names(c.providers)})
	if err != nil {
		panic(err) // strings only
	}
	return append(b, '\n')
}

func names(set map[string]bool) []string {
	if out := slices.Sorted(maps.Keys(set)); out != nil {
		return out
	}
	return []string{}
}

// ErrChosen is what every refusal of a choice wraps.
var ErrChosen = errors.New("not a choice of rows")

// ParseChosen reads what Bytes wrote.
func ParseChosen(data []byte) (Chosen, error) {
	var j chosenJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return Chosen{}, fmt.Errorf("%w: %w", ErrChosen, err)
	}
	m, err := ParseMonth(j.Month)
	if err != nil {
		return Chosen{}, fmt.Errorf("%w: %w", ErrChosen, err)
	}
	c := Chosen{m, map[string]bool{}, map[string]bool{}}
	for _, n := range j.Domains {
		c.domains[n] = true
	}
	for _, n := range j.Providers {
		c.providers[n] = true
	}
	return c, nil
}
