package tlsrpt

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// Why a signature does not count.
var (
	// ErrSignature says that the contributor has no key, or another one.
	ErrSignature = errors.New("the signature does not count")
	// ErrNoAnswer says that the key could not be looked up just now.
	ErrNoAnswer = errors.New("the key could not be looked up")
)

const (
	// keyLife is how long a key that was found is believed, and keyNone how long it is believed that there is none: so long
	// an administrator who has just published one waits.
	keyLife = 24 * time.Hour
	keyNone = 5 * time.Minute
	// maxKeys bounds the cache. A contributor sends once a day.
	maxKeys = 4096
)

// keyCache keeps contributors' keys.
type keyCache struct {
	client TXTClient

	mu    sync.Mutex
	known map[policy.Domain]knownKey
}

type knownKey struct {
	key       ed25519.PublicKey
	err       error
	at, until time.Time
}

func newKeyCache(client TXTClient) *keyCache {
	return &keyCache{client: client, known: map[policy.Domain]knownKey{}}
}

// find returns the key that the domain publishes, as it was known not before a time. Errors wrap ErrSignature or ErrNoAnswer.
func (c *keyCache) find(ctx context.Context, d policy.Domain, now, notBefore time.Time) (ed25519.PublicKey, error) {
	c.mu.Lock()
	k, ok := c.known[d]
	c.mu.Unlock()
	if ok && now.Before(k.until) && !now.Before(k.at) && !k.at.Before(notBefore) {
		return k.key, k.err
	}
	answer := c.client.LookupTXT(ctx, tlsrpt.KeyLabel+"."+d.String())
	if !answer.Status.Known() {
		return nil, fmt.Errorf("%w: %s", ErrNoAnswer, answer.Status)
	}
	k = knownKey{at: now, until: now.Add(keyLife)}
	if k.key, k.err = tlsrpt.ParseKeyRecord(answer.TXT); k.err != nil {
		k = knownKey{err: fmt.Errorf("%w: %s.%s: %w", ErrSignature, tlsrpt.KeyLabel, d, k.err), at: now, until: now.Add(keyNone)}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, old := c.known[d]; !old && len(c.known) >= maxKeys { // any will do: it costs a look-up
		for other := range c.known {
			delete(c.known, other)
			break
		}
	}
	c.known[d] = k
	return k.key, k.err
}

// signed is a request whose contributor has a key; whether it signed the body is still open.
type signed struct {
	intake      *Intake
	contributor policy.Domain
	key         ed25519.PublicKey
	signature   string
}

// signer looks up the key of the contributor that a request names, before any of its body is taken.
func (in *Intake) signer(r *http.Request) (s signed, err error) {
	s = signed{intake: in, signature: r.Header.Get(tlsrpt.SignatureHeader)}
	if s.contributor, err = policy.NormalizeDomain(r.Header.Get(tlsrpt.ContributorHeader)); err != nil {
		return s, fmt.Errorf("%w: %s names no domain", ErrSignature, tlsrpt.ContributorHeader)
	}
	s.key, err = in.keys.find(r.Context(), s.contributor, in.opts.Now(), time.Time{})
	return s, err
}

// verify holds the body against the signature. A key that was changed since the last look-up is looked up again.
func (s signed) verify(ctx context.Context, body []byte) error {
	if tlsrpt.VerifyContribution(s.key, s.signature, s.intake.opts.Host, s.contributor, body) {
		return nil
	}
	now := s.intake.opts.Now()
	key, err := s.intake.keys.find(ctx, s.contributor, now, now.Add(-keyNone))
	if err != nil {
		return err
	}
	if tlsrpt.VerifyContribution(key, s.signature, s.intake.opts.Host, s.contributor, body) {
		return nil
	}
	return fmt.Errorf("%w: it is not made with the key at %s.%s, for %s and this body", ErrSignature, tlsrpt.KeyLabel, s.contributor, s.intake.opts.Host)
}

// contribution takes what a sender contributes of a day, and answers with a tlsrpt.Receipt.
func (in *Intake) contribution(w http.ResponseWriter, r *http.Request) answer {
	if r.Method != http.MethodPost {
		return answer{status: http.StatusMethodNotAllowed, line: "contributions are posted here"}
	}
	c, err := in.contribute(w, r)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		return receipt(refused.answer, tlsrpt.Receipt{Status: tlsrpt.ReceiptRefused, Reason: refused.line})
	case errors.Is(err, ErrSecond):
		in.counted(map[Count]int64{CountDuplicates: 1})
		return receipt(answer{status: http.StatusOK}, tlsrpt.Receipt{Status: tlsrpt.ReceiptDuplicate})
	case err != nil:
		a := in.refuse(err)
		return receipt(a, tlsrpt.Receipt{Status: tlsrpt.ReceiptRefused, Reason: a.line})
	}
	in.setFull(false)
	in.counted(map[Count]int64{CountContributions: 1})
	taken := tlsrpt.Receipt{Status: tlsrpt.ReceiptAccepted}
	if in.opts.Notices != nil {
		taken.Notices = in.opts.Notices(c)
	}
	return receipt(answer{status: http.StatusCreated}, taken)
}

func (in *Intake) contribute(w http.ResponseWriter, r *http.Request) (c tlsrpt.Contribution, err error) {
	s, err := in.signer(r)
	if err != nil {
		return c, err
	}
	body, free, refused := in.body(w, r, tlsrpt.MaxContribution, 2)
	if refused != nil {
		return c, refused
	}
	defer free()
	if err := s.verify(r.Context(), body); err != nil {
		return c, err
	}
	if c, err = tlsrpt.ValidateContribution(body); err != nil {
		return c, err
	}
	return c, in.store.Contribute(r.Context(), s.contributor, c)
}

func receipt(a answer, body tlsrpt.Receipt) answer {
	text, err := json.Marshal(body)
	if err != nil { // there is nothing in it that JSON does not have
		return answer{status: http.StatusInternalServerError}
	}
	a.kind, a.line = "application/json", string(text)+"\n"
	return a
}
