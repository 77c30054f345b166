package tlsrpt

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// EnrolmentState tells whether a domain's reports count.
type EnrolmentState string

const (
	Waiting  EnrolmentState = "waiting"  // its record was not yet seen with its URI
	Enrolled EnrolmentState = "enrolled" // its record has its URI
	Gone     EnrolmentState = "gone"     // its record had its URI, and has no more
)

// How often a domain's record is looked at, and for how long it may be unreadable before that counts as gone: a name server
// that is down for a weekend enrols nobody else.
const (
	lookEvery   = 24 * time.Hour
	lookWaiting = time.Hour // for the first time, or after one that failed
	lookPatient = 7 * 24 * time.Hour
)

// Enrolment is what the store knows of a domain that asked for reports. Times are UTC, whole seconds.
type Enrolment struct {
	Domain policy.Domain
	State  EnrolmentState
	Added  time.Time
	Looked time.Time // last look; zero for none
	Seen   time.Time // last look that found the URI; zero for none
	Faults []string  // what the last look found wrong with the record, fit to print
	// LookFailed says, in what Look returns, that the record could not be read.
	LookFailed bool
}

// enrolmentJSON is the value in bucketDomains.
type enrolmentJSON struct {
	State  EnrolmentState `json:"state"`
	Added  time.Time      `json:"added"`
	Looked time.Time      `json:"looked"`
	Seen   time.Time      `json:"seen"`
	Faults []string       `json:"faults,omitempty"`
}

func readEnrolment(name string, value []byte) (*Enrolment, error) {
	d, err := policy.ParseDomain(name)
	if err != nil {
		return nil, storeDamage(bucketDomains, err)
	}
	var v enrolmentJSON
	if err := json.Unmarshal(value, &v); err != nil {
		return nil, storeDamage(bucketDomains, err)
	}
	return &Enrolment{Domain: d, State: v.State, Added: v.Added, Looked: v.Looked, Seen: v.Seen, Faults: v.Faults}, nil
}

// enrolment is nil for a domain that never asked.
func (t *transaction) enrolment(d policy.Domain) (*Enrolment, error) {
	value := t.Bucket(bucketDomains).Get([]byte(d.String()))
	if value == nil {
		return nil, nil
	}
	return readEnrolment(d.String(), value)
}

func (t *transaction) putEnrolment(e *Enrolment) error {
	value, err := json.Marshal(enrolmentJSON{e.State, e.Added, e.Looked, e.Seen, e.Faults})
	if err != nil {
		return err
	}
	return t.Bucket(bucketDomains).Put([]byte(e.Domain.String()), value)
}

// Token returns the last part of the domain's URI. It is the same for ever, and for every domain, enrolled or not.
func (s *Store) Token(d policy.Domain) string { return token(s.secret, d) }

// Enrol notes that a domain wants to pass on its reports, and returns its token. It is enrolled once Look has seen its URI.
func (s *Store) Enrol(ctx context.Context, d policy.Domain) (token string, err error) {
	return s.Token(d), s.submit(ctx, func(t *transaction) (refusal, failure error) {
		switch e, err := t.enrolment(d); {
		case err != nil:
			return nil, err
		case e != nil:
			return nil, nil
		}
		return nil, t.putEnrolment(&Enrolment{Domain: d, State: Waiting, Added: t.now.Truncate(time.Second)})
	})
}

// Remove forgets that a domain is enrolled; its tallies end by themselves.
func (s *Store) Remove(ctx context.Context, d policy.Domain) (found bool, err error) {
	err = s.update(ctx, func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bucketDomains)
		found = bucket.Get([]byte(d.String())) != nil
		return bucket.Delete([]byte(d.String()))
	})
	return found, err
}

// Enrolments returns all domains that asked, by name.
func (s *Store) Enrolments(ctx context.Context) (all []Enrolment, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketDomains).ForEach(func(k, v []byte) error {
			e, err := readEnrolment(string(k), v)
			if err == nil {
				all = append(all, *e)
			}
			return err
		})
	})
	return all, err
}

// ErrNotAsked says that Enrol was never called for the domain.
var ErrNotAsked = errors.New("the domain has not asked for its reports to be passed on")

// Look looks whether the domain's _smtp._tls record has its URI under host, and notes what that means.
func (s *Store) Look(ctx context.Context, c *discovery.Client, host string, d policy.Domain) (Enrolment, error) {
	found := discovery.FindTLSRPT(ctx, c, d)
	mine := slices.ContainsFunc(found.RUA, func(uri string) bool { return sameURI(uri, host, s.Token(d)) })
	var out Enrolment
	err := s.submit(ctx, func(t *transaction) (refusal, failure error) {
		e, err := t.enrolment(d)
		switch {
		case err != nil:
			return nil, err
		case e == nil:
			return ErrNotAsked, nil
		}
		e.looked(found, mine, t.now.Truncate(time.Second))
		out = *e
		return nil, t.putEnrolment(e)
	})
	return out, err
}

// looked notes the result of a look. One that failed says nothing about the record.
func (e *Enrolment) looked(found discovery.TLSRPT, mine bool, now time.Time) {
	e.Looked, e.Faults = now, found.Faults
	switch {
	case mine:
		e.State, e.Seen = Enrolled, now
	case found.Status == discovery.TLSRPTFailed:
		e.LookFailed = true
		e.Faults = append(e.Faults, "the look-up failed: "+string(found.Answer.Status))
		if e.State == Enrolled && now.Sub(e.Seen) > lookPatient {
			e.State = Gone
		}
	default:
		if e.State == Enrolled {
			e.State = Gone
		}
		e.Faults = append(e.Faults, absence(found))
	}
}

// absence says why a record that was read has not the domain's URI.
func absence(found discovery.TLSRPT) string {
	switch found.Status {
	case discovery.TLSRPTNone:
		return "there is no TLSRPT record"
	case discovery.TLSRPTOK:
		return "the TLSRPT record has other destinations, and not this one"
	}
	return "the TLSRPT record is of no use (" + string(found.Status) + ")"
}

// sameURI compares as RFC 3986 section 6.2.2 has it: scheme and host in any case, the path to the letter.
func sameURI(uri, host, token string) bool {
	u, err := url.Parse(uri)
	return err == nil && u.Scheme == "https" && strings.EqualFold(strings.TrimSuffix(u.Host, ":443"), strings.TrimSuffix(host, ":443")) &&
		u.Path == ReportPath+token && u.RawQuery == ""
}

// Due reports whether it is time to look at the record again.
func (e Enrolment) Due(now time.Time) bool {
	every := lookEvery
	if e.State == Waiting && now.Sub(e.Added) < lookPatient || e.State == Enrolled && !e.Looked.Equal(e.Seen) {
		every = lookWaiting
	}
	return now.Sub(e.Looked) >= every
}
