package transparency

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Signature types of signed notes (C2SP signed-note and tlog-cosignature).
const (
	algEd25519     = 0x01
	algCosignature = 0x04
)

// noteKey is a vkey taken apart: "<name>+<8 hex of the key hash>+<base64 of type and key>".
type noteKey struct {
	name string
	hash uint32
	alg  byte
	pub  ed25519.PublicKey
}

// parseVKey accepts the one spelling of an Ed25519 vkey of type alg.
func parseVKey(vkey string, alg byte) (noteKey, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	hash, key64, ok := strings.Cut(rest, "+")
	h, err := strconv.ParseUint(hash, 16, 32)
	key, err64 := base64.StdEncoding.Strict().DecodeString(key64)
	switch {
	case !ok || err != nil || err64 != nil || !validKeyName(name):
		return noteKey{}, fmt.Errorf("%q is not a note verifier key", vkey)
	case len(key) != 1+ed25519.PublicKeySize || key[0] != alg:
		return noteKey{}, fmt.Errorf("%q is not an Ed25519 key of type %d", vkey, alg)
	}
	k := noteKey{name, uint32(h), alg, key[1:]}
	if k.hash != keyHash(name, key) || k.String() != vkey {
		return noteKey{}, fmt.Errorf("%q has a key hash that does not fit", vkey)
	}
	return k, nil
}

func validKeyName(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; c <= ' ' || c > '~' || c == '+' {
			return false
		}
	}
	return name != ""
}

func keyHash(name string, typedKey []byte) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n"), typedKey...))
	return binary.BigEndian.Uint32(sum[:])
}

func (k noteKey) String() string {
	return fmt.Sprintf("%s+%08x+%s", k.name, k.hash, base64.StdEncoding.EncodeToString(append([]byte{k.alg}, k.pub...)))
}

// Name, KeyHash and Verify make a note.Verifier.
func (k noteKey) Name() string    { return k.name }
func (k noteKey) KeyHash() uint32 { return k.hash }

func (k noteKey) Verify(msg, sig []byte) bool {
	if k.alg == algEd25519 {
		return len(sig) == ed25519.SignatureSize && ed25519.Verify(k.pub, msg, sig)
	}
	t, ok := cosignatureTime(sig)
	return ok && ed25519.Verify(k.pub, cosignedMessage(t, msg), sig[8:])
}

// cosignatureTime takes the POSIX seconds in front of a cosignature; the value must fit 63 bits.
func cosignatureTime(sig []byte) (int64, bool) {
	if len(sig) != 8+ed25519.SignatureSize {
		return 0, false
	}
	t := binary.BigEndian.Uint64(sig)
	return int64(t), t < 1<<63
}

// cosignedMessage is what a witness signs: cosignature/v1, its time, and the checkpoint's text.
func cosignedMessage(t int64, checkpoint []byte) []byte {
	return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", t, checkpoint)
}

// signatureTime reads the time of a verified cosignature line.
func signatureTime(s note.Signature) (time.Time, error) {
	b, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil || len(b) < 4 {
		return time.Time{}, errors.New("cosignature is not base64")
	}
	t, ok := cosignatureTime(b[4:])
	if !ok {
		return time.Time{}, errors.New("cosignature has no time")
	}
	return time.Unix(t, 0).UTC(), nil
}

// cosignature returns the key's good line under a checkpoint, and its time; no line when there is none.
func (k noteKey) cosignature(msg []byte) (at time.Time, line *note.Signature, err error) {
	_, _, lines := signedBy(msg, []noteKey{k})
	if len(lines) == 0 {
		return time.Time{}, nil, nil
	}
	if at, err = signatureTime(lines[0]); err != nil {
		return at, nil, err
	}
	// Package note takes base64 with stray bits behind the last byte; kept is the one spelling.
	raw, err := base64.StdEncoding.DecodeString(lines[0].Base64)
	lines[0].Base64 = base64.StdEncoding.EncodeToString(raw)
	return at, &lines[0], err
}

// ErrCosignature means that a witness's key has no good signature where one was looked for.
var ErrCosignature = errors.New("no good cosignature of this key")

// Cosignature returns the witness's own good line under a signed note, "— <name> <base64>\n", and its time. Lines of
// other keys are ignored, whatever they are named.
func (w WitnessURL) Cosignature(msg []byte) (line []byte, at time.Time, err error) {
	if len(msg) > MaxCheckpointBytes {
		return nil, at, fmt.Errorf("%w: %d bytes, the most is %d", ErrCosignature, len(msg), MaxCheckpointBytes)
	}
	key, err := parseVKey(w.VKey, algCosignature)
	if err != nil {
		return nil, at, err
	}
	at, sig, err := key.cosignature(msg)
	if err != nil {
		return nil, at, err
	}
	if sig == nil {
		return nil, at, fmt.Errorf("%w: %s", ErrCosignature, w.VKey)
	}
	return fmt.Appendf(nil, "— %s %s\n", sig.Name, sig.Base64), at, nil
}
