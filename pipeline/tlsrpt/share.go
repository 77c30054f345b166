package tlsrpt

import (
	"encoding/binary"
	"fmt"

	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// What documents of one reporter may take of the store, and all of nobody proven together, as parts of Options.Space. Whoever
// reads a domain's record may post, and whoever has a domain may sign: beyond its share a document counts, and its body
// is not kept. Else one of them could fill the store, and shut out all others for as long as documents stay.
const (
	shownShare    = 4
	reporterShare = 16
)

// bodiesKey begins the keys in bucketMeta of how many bytes one reporter's lines took on a day: bodiesKey, day, NUL, reporter.
const bodiesKey = "bodies/"

// keepLine adds the line of a document, without its body where its reporter has had its share. A refusal is ErrFull.
func (t *transaction) keepLine(l lineDraft, out Outcome, fresh []tlsrpt.Tally) (refusal, failure error) {
	who, share := "", t.store.opts.Space/shownShare
	if !l.document.Submitter.IsZero() {
		who, share = l.document.Submitter.String(), t.store.opts.Space/reporterShare
	}
	taken, err := t.bodies(who)
	if err != nil {
		return nil, err
	}
	text, err := l.at(t.now, out, fresh, true)
	if err == nil && taken+int64(len(text)) > share {
		text, err = l.at(t.now, out, fresh, false)
	}
	if err != nil {
		return nil, err
	}
	if !t.keep(text) {
		return fmt.Errorf("%w: it may take %d bytes", ErrFull, t.store.opts.Space), nil
	}
	return nil, t.addBodies(who, int64(len(text)))
}

func keyOfBodies(day tlsrpt.Day, who string) []byte {
	return []byte(bodiesKey + day.String() + "\x00" + who)
}

// bodies is what a reporter's lines take on the days that are kept; "" is nobody proven.
func (t *transaction) bodies(who string) (sum int64, err error) {
	today := tlsrpt.DayOf(t.now)
	for day := today - KeepRaw; day <= today; day++ {
		n, err := rawSize(t.Bucket(bucketMeta).Get(keyOfBodies(day, who)))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func (t *transaction) addBodies(who string, by int64) error {
	key := keyOfBodies(tlsrpt.DayOf(t.now), who)
	n, err := rawSize(t.Bucket(bucketMeta).Get(key))
	if err != nil {
		return err
	}
	return t.Bucket(bucketMeta).Put(key, binary.BigEndian.AppendUint64(nil, uint64(n+by)))
}
