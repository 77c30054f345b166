package tlsrpt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// Caps on DKIM: signatures tried in one message, each with a look-up and a verification of its own, and the size of a key
// record, so that no key of absurd length is computed with.
const (
	maxSignatures = 5
	maxKeyRecord  = 2048
)

// TXTClient looks up TXT records; *discovery.Client does. Concurrent calls are made.
type TXTClient interface {
	LookupTXT(ctx context.Context, name string) discovery.Answer
}

// Authentication is who has proven to have sent a mail.
type Authentication struct {
	// Submitter is the organisational domain of the signer (RFC 7489 section 3.2); zero when nobody has proven it.
	Submitter policy.Domain
	// Temporary says that a key could not be looked up just now: the same mail may do later.
	Temporary bool
	// Reasons say of each signature that does not count why, and what is wrong with the mail itself. They are printable ASCII.
	Reasons []string
}

// Authenticate checks the DKIM signatures (RFC 6376) of the message that the report came in. One counts when it verifies and
// its d= has the organisational domain of the From address, or of a signed TLS-Report-Submitter (RFC 8460 section 5.3 has reports
// signed): a forwarder's or a gateway's own signature proves nothing about the report. Keys for tlsrpt alone ("s=tlsrpt",
// RFC 8460 section 3) count as those for all mail do. Deadlines are the client's.
//
// Where one counts, m.Hint loses what is from fields that it does not cover: who passes on a signed mail could else add
// a field that moves its sessions to another domain.
func (m *Mailed) Authenticate(ctx context.Context, client TXTClient) Authentication {
	var a Authentication
	if len(m.header.Values("Dkim-Signature")) == 0 {
		a.reason("the mail has no DKIM signature")
		return a
	}
	if m.header.FieldsByKey("From").Len() != 1 {
		// A second From above the signed one is what people would see (RFC 6376 section 8.15).
		a.reason("the mail has more or less than one From")
		return a
	}
	verifications, err := dkim.VerifyWithOptions(bytes.NewReader(m.message), &dkim.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) { return lookUpKey(ctx, client, name) }, MaxVerifications: maxSignatures,
	})
	if err != nil && !errors.Is(err, dkim.ErrTooManySignatures) {
		a.reason("its signatures cannot be read: %v", err)
	}
	for _, v := range verifications {
		if a.judge(m, v); !a.Submitter.IsZero() {
			m.forget(v.HeaderKeys)
			return Authentication{Submitter: a.Submitter}
		}
	}
	return a
}

func (a *Authentication) reason(format string, args ...any) {
	a.Reasons = append(a.Reasons, strings.Trim(fmt.Sprintf("%+q", fmt.Sprintf(format, args...)), `"`))
}

// judge takes one signature.
func (a *Authentication) judge(m *Mailed, v *dkim.Verification) {
	signer, err := policy.NormalizeDomain(v.Domain)
	switch {
	case v.Err != nil:
		a.Temporary = a.Temporary || dkim.IsTempFail(v.Err)
		a.reason("signature of %.100s: %.200v", v.Domain, v.Err)
		return
	case err != nil:
		a.reason("signature of %.100s, which is no domain", v.Domain)
		return
	}
	organisation := organisational(signer)
	submitter := m.Submitter
	if !covers(v.HeaderKeys, "TLS-Report-Submitter") {
		submitter = policy.Domain{}
	}
	switch {
	case organisation.IsZero():
		a.reason("signature of %s, below which anybody may register", signer)
	case organisation != organisational(m.From) && organisation != organisational(submitter):
		a.reason("signature of %s, but the mail is from %s", signer, m.From)
	default:
		a.Submitter = organisation
	}
}

// forget takes out of the hint what is from fields that are not signed.
func (m *Mailed) forget(signed []string) {
	if !covers(signed, m.domainField) {
		m.Hint.Domain = policy.Domain{}
	}
	if m.nameField != "" && !covers(signed, m.nameField) {
		m.Hint.FileName = ""
	}
}

func covers(signed []string, field string) bool {
	return slices.ContainsFunc(signed, func(k string) bool { return strings.EqualFold(k, field) })
}

// organisational is the domain that was registered: one label more than the public suffix. Zero for a public suffix and for
// the zero Domain.
func organisational(d policy.Domain) policy.Domain {
	registered, _ := policy.ParseDomain(policy.RegisteredDomain(d)) // "" is no domain
	return registered
}

// errLookup makes go-msgauth call a failed look-up temporary: it asks net.Error.
type errLookup struct{ discovery.Status }

func (e errLookup) Error() string { return "the look-up of the key ended in " + string(e.Status) }
func (errLookup) Timeout() bool   { return true }
func (errLookup) Temporary() bool { return true }

// lookUpKey asks for a key record.
func lookUpKey(ctx context.Context, client TXTClient, name string) ([]string, error) {
	answer := client.LookupTXT(ctx, strings.ToLower(name))
	if !answer.Status.Known() {
		return nil, errLookup{answer.Status}
	}
	keys := slices.Clone(answer.TXT)
	for i, key := range keys {
		if len(key) > maxKeyRecord {
			return nil, fmt.Errorf("a key record of %d bytes", len(key))
		}
		var test bool
		if keys[i], test = forMail(key); test {
			return nil, errors.New("the key is marked as a test")
		}
	}
	return keys, nil
}

// forMail takes the service type tlsrpt (RFC 8460 section 3) off a key record, as go-msgauth knows only those of RFC 6376. test is
// set for a key with t=y, whose signatures count as none (RFC 6376 section 3.6.1).
func forMail(record string) (key string, test bool) {
	tags := strings.Split(record, ";")
	for i, tag := range tags {
		name, value, _ := strings.Cut(tag, "=")
		switch name = strings.TrimSpace(name); {
		case name == "s" && lists(value, "tlsrpt"):
			tags[i] = "s=*"
		case name == "t" && lists(value, "y"):
			test = true
		}
	}
	return strings.Join(tags, ";"), test
}

// lists looks for an item among those that colons separate (RFC 6376 section 3.6.1).
func lists(value, item string) bool {
	return slices.ContainsFunc(strings.Split(value, ":"), func(s string) bool { return strings.TrimSpace(s) == item })
}
