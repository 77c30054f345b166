package cells

import (
	"iter"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// tally is what is known of a row while it is made: each contributor's vote, loop by loop.
type tally struct {
	provider string
	votes    [2]map[string]*vote
}

func (t *tally) vote(loop Loop, who string) *vote {
	if t.votes[loop] == nil {
		t.votes[loop] = map[string]*vote{}
	}
	v := t.votes[loop][who]
	if v == nil {
		v = &vote{}
		t.votes[loop][who] = v
	}
	return v
}

// enough reports whether so many contributors of a loop, and never fewer than three, reported 50 sessions together.
func (t *tally) enough(loop Loop, least int) bool {
	var sessions int64
	for _, v := range t.votes[loop] {
		sessions = min(sessions+v.sessions, most)
	}
	return len(t.votes[loop]) >= max(least, MinContributors) && sessions >= MinSessions
}

// cells are the medians of a loop that has enough.
func (t *tally) cells(loop Loop) (c Cells) {
	shares := make([]int64, 0, len(t.votes[loop]))
	for i := range c {
		shares = shares[:0]
		for _, v := range t.votes[loop] {
			shares = append(shares, v.share(i))
		}
		c[i] = bucketOf(middle(shares))
	}
	return c
}

// sum adds up what contributors saw of each listed domain on some days.
func sum(seen iter.Seq[Observation], within func(tlsrpt.Day) bool, listed Listed) map[policy.Domain]*tally {
	rows := map[policy.Domain]*tally{}
	for o := range seen {
		if !within(o.Day) || o.Sessions <= 0 || o.Contributor == "" || o.Loop != Senders && o.Loop != Recipients {
			continue
		}
		row := rows[o.Domain]
		if row == nil {
			p, ok := listed(o.Domain)
			if !ok {
				continue
			}
			row = &tally{provider: p}
			rows[o.Domain] = row
		}
		row.vote(o.Loop, o.Contributor).add(o)
	}
	return rows
}

// rollUp adds up, for each provider, what senders saw of its domains that are not chosen for rows of their own.
func rollUp(domains map[policy.Domain]*tally, chosen Chosen) map[string]*tally {
	providers := map[string]*tally{}
	for d, row := range domains {
		if len(row.votes[Senders]) == 0 || chosen.domain(d.String()) {
			continue
		}
		p := providers[row.provider]
		if p == nil {
			p = &tally{provider: row.provider}
			providers[row.provider] = p
		}
		for who, v := range row.votes[Senders] {
			p.vote(Senders, who).join(v)
		}
	}
	return providers
}
