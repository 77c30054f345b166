package feedback

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

const (
	// earliest is how long after the end of its day a document may leave, and spread over how long: whoever watches cannot tell
	// a machine by its habits, and reports of the day are there by then.
	earliest = 2 * time.Hour
	spread   = 24 * time.Hour

	keyBlock = "PRIVATE KEY" // PKCS #8, RFC 5958
	maxKey   = 4 << 10
)

// Key is a contributor's key. What has to be random once for each day and the same after every restart is derived from it:
// when the day's document is sent, and its report-id. Only who has the key can tell either beforehand.
type Key struct{ private ed25519.PrivateKey }

// NewKey takes 32 bytes from random, which is crypto/rand.Reader but in tests.
func NewKey(random io.Reader) (Key, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return Key{}, err
	}
	return Key{ed25519.NewKeyFromSeed(seed)}, nil
}

// LoadKey reads what Save wrote. The error is fs.ErrNotExist when there is none. A key that others can read is refused.
func LoadKey(path string) (Key, error) {
	f, err := durable.Open(path)
	if err != nil {
		return Key{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Key{}, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Key{}, fmt.Errorf("%s: others than its owner may open it (%s); chmod 600, and make another key if anybody has", path, info.Mode())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKey))
	if err != nil {
		return Key{}, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != keyBlock {
		return Key{}, fmt.Errorf("%s: no PEM block %q", path, keyBlock)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w", path, err)
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return Key{}, fmt.Errorf("%s: not an Ed25519 key", path)
	}
	return Key{private}, nil
}

// ErrKeyExists is returned by Save where another key stands.
var ErrKeyExists = errors.New("there is a key already")

// Save writes the key, readable for its owner alone. Another key in its place is replaced only when rotate says so.
func (k Key) Save(path string, rotate bool) error {
	if _, err := os.Lstat(path); !rotate && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(ErrKeyExists, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), 0o600)
}

// Record is the text of the TXT record that has to stand at tlsrpt.KeyLabel below the contributor's domain.
func (k Key) Record() string { return tlsrpt.KeyRecord(k.Public()) }

// Public is the key that the record has.
func (k Key) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// Due is when a day's document is sent: 2 to 26 hours after the day's end, to the second, the same whenever it is asked for.
func (k Key) Due(day tlsrpt.Day) time.Time {
	n := binary.BigEndian.Uint64(k.derive("due", day)) % uint64(spread/time.Second) // of 2^64: as good as even
	return (day + 1).Begin().Add(earliest + time.Duration(n)*time.Second)
}

// ReportID is the report-id of a day's document.
func (k Key) ReportID(day tlsrpt.Day) (id [16]byte) {
	copy(id[:], k.derive("report-id", day))
	return id
}

// derive is a pseudo-random function of the key: HMAC-SHA256 with the seed, over a text that no signature is ever made of.
func (k Key) derive(what string, day tlsrpt.Day) []byte {
	h := hmac.New(sha256.New, k.private.Seed())
	fmt.Fprintf(h, "policylist feedback %s v1\n%s\n", what, day)
	return h.Sum(nil)
}
