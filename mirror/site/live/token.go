package live

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"maps"
	"sync"
	"time"
)

const (
	tokenLife  = 15 * time.Minute
	nonceBytes = 16
	bodyBytes  = nonceBytes + 8 // nonce, end as Unix seconds
	tokenBytes = bodyBytes + sha256.Size
	// maxSpent is how many tokens are remembered as used. Only what passed all other limits gets there.
	maxSpent = 1 << 16
)

var (
	errToken = errors.New("this form is too old, was used before, or was loaded from another network")
	errFull  = errors.New("too many requests")
)

// nonce makes each token another, and is what is remembered of a used one.
type nonce [nonceBytes]byte

// token is a form's ticket.
type token struct {
	nonce nonce
	end   int64 // Unix seconds, first second at which it is void
	mac   [sha256.Size]byte
}

// String is 56 bytes in base64, without padding.
func (t token) String() string {
	b := binary.BigEndian.AppendUint64(t.nonce[:], uint64(t.end))
	return base64.RawURLEncoding.EncodeToString(append(b, t.mac[:]...))
}

// parseToken reads what String wrote, and nothing else.
func parseToken(text string) (token, error) {
	var t token
	if len(text) != base64.RawURLEncoding.EncodedLen(tokenBytes) {
		return t, errToken
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != tokenBytes { // the decoder skips line ends
		return t, errToken
	}
	copy(t.nonce[:], b)
	t.end = int64(binary.BigEndian.Uint64(b[nonceBytes:]))
	copy(t.mac[:], b[bodyBytes:])
	return t, nil
}

// tokens gives tokens out and takes each back once. The secret lives as long as the process: a form that was loaded before a
// restart has to be loaded again.
type tokens struct {
	secret [32]byte

	mu    sync.Mutex
	spent map[nonce]int64 // end by nonce
}

func newTokens() *tokens {
	t := &tokens{spent: map[nonce]int64{}}
	rand.Read(t.secret[:])
	return t
}

// sign binds a token to whom it is given.
func (ts *tokens) sign(t token, source string) (mac [sha256.Size]byte) {
	h := hmac.New(sha256.New, ts.secret[:])
	h.Write([]byte("policylist probe token v1\n"))
	h.Write(t.nonce[:])
	binary.Write(h, binary.BigEndian, t.end)
	h.Write([]byte(source))
	return [sha256.Size]byte(h.Sum(mac[:0]))
}

// give makes a token for who asks from source.
func (ts *tokens) give(source string, now time.Time) token {
	t := token{end: now.Add(tokenLife).Unix()}
	rand.Read(t.nonce[:])
	t.mac = ts.sign(t, source)
	return t
}

// check reports whether the token was given to source and still counts; whether it was used before, take says.
func (ts *tokens) check(text, source string, now time.Time) (token, error) {
	t, err := parseToken(text)
	if err != nil {
		return t, err
	}
	want := ts.sign(t, source)
	if !hmac.Equal(t.mac[:], want[:]) || t.end <= now.Unix() || t.end > now.Add(tokenLife).Unix() {
		return t, errToken
	}
	return t, nil
}

// take uses up a token that check let pass.
func (ts *tokens) take(t token, now time.Time) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if _, used := ts.spent[t.nonce]; used {
		return errToken
	}
	if len(ts.spent) >= maxSpent {
		maps.DeleteFunc(ts.spent, func(_ nonce, end int64) bool { return end <= now.Unix() })
	}
	if len(ts.spent) >= maxSpent {
		return errFull // to forget one would let it be used again
	}
	ts.spent[t.nonce] = t.end
	return nil
}
