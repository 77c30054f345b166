package survey

import (
	"github.com/starttls-everywhere/policylist/pipeline/probe"
)

// merged sums up a line of merged evidence: verdict and codes are decided there already, every other class is the one that
// more than half of the vantages with an answer give.
func merged(l probe.Line, trustAD func(vantage string) bool) (facts, error) {
	var votes [measureCount]ballot
	var providers ballot
	for _, own := range l.Seen {
		r, err := own.Record()
		if err != nil {
			return facts{}, err
		}
		f, err := factsOf(l.Domain, r, trustAD(own.Vantage))
		if err != nil {
			return facts{}, err
		}
		for i, class := range f.classes {
			votes[i].add(class, class != inconclusive)
		}
		providers.add(f.provider, f.provider != unknown)
	}
	var f facts
	for i := range votes {
		f.classes[i] = votes[i].majority(inconclusive)
	}
	f.classes[verdictMeasure] = string(l.Verdict)
	f.provider = providers.majority(unknown)
	return f, nil
}

// ballot counts answers.
type ballot struct {
	answers []string
	counts  []int
	cast    int
}

func (b *ballot) add(answer string, known bool) {
	if !known {
		return
	}
	b.cast++
	for i, a := range b.answers {
		if a == answer {
			b.counts[i]++
			return
		}
	}
	b.answers, b.counts = append(b.answers, answer), append(b.counts, 1)
}

// majority is the answer of more than half, or otherwise.
func (b *ballot) majority(otherwise string) string {
	for i, n := range b.counts {
		if 2*n > b.cast {
			return b.answers[i]
		}
	}
	return otherwise
}
