package signing

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// maxDetached caps a detached signature, in bytes.
const maxDetached = 64 << 10

var (
	// ErrUnknownKey is wrapped when a signature names no key of the keyring: it may be good or bad.
	ErrUnknownKey = errors.New("signed by a key that is not in the keyring")
	// ErrNotValidThen is wrapped when the signature is right but its key, or itself, was expired or revoked at the time
	// asked for.
	ErrNotValidThen = errors.New("signature or key not valid at that time")
)

// Keyring is a set of OpenPGP public keys.
type Keyring struct{ entities openpgp.EntityList }

// ReadKeyring reads public keys, armored or binary. Errors wrap ErrNotOpenPGP.
func ReadKeyring(data []byte) (*Keyring, error) {
	entities, err := readEntities(data, openpgp.PublicKeyType)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	return &Keyring{entities}, nil
}

// Fingerprints lists the primary keys in the file's order.
func (k *Keyring) Fingerprints() []string {
	var out []string
	for _, e := range k.entities {
		out = append(out, fingerprint(e))
	}
	return out
}

// VerifyDetached checks a detached signature, armored or binary, over data. With the zero time it asks only whether
// the key made the signature: a list of 2018 stays signed when its key has expired since. With a time, key and
// signature must have been valid then. A key revoked as compromised counts at no time. Returned are the fingerprint of the primary key and the time that the signature
// claims. Errors wrap ErrNotOpenPGP, ErrUnknownKey, ErrBadSignature or ErrNotValidThen; with the last one signer and
// signedAt are set too.
func VerifyDetached(keyring *Keyring, data, sig []byte, at time.Time) (signer string, signedAt time.Time, err error) {
	if len(sig) > maxDetached {
		return "", time.Time{}, fmt.Errorf("%w: a signature of more than %d bytes", ErrNotOpenPGP, maxDetached)
	}
	packets, err := dearmor(sig, openpgp.SignatureType)
	if err != nil {
		return "", time.Time{}, err
	}
	if err := checkPackets(packets, keyring); err != nil {
		return "", time.Time{}, err
	}
	now := at
	if at.IsZero() {
		now = time.Unix(1, 0) // before every key: expiry then says nothing, and no plain revocation has happened yet
	}
	found, entity, err := openpgp.VerifyDetachedSignature(keyring.entities, bytes.NewReader(data), packets, openPGPConfig(now))
	if found == nil || entity == nil {
		return "", time.Time{}, badSignature(err)
	}
	signer, signedAt = fingerprint(entity), found.CreationTime.UTC()
	switch {
	case err == nil:
		return signer, signedAt, nil
	case expiry(err) && at.IsZero():
		return signer, signedAt, nil
	case expiry(err), errors.Is(err, pgperrors.ErrKeyRevoked):
		return signer, signedAt, fmt.Errorf("%w: %s: %w", ErrNotValidThen, signer, err)
	}
	return "", time.Time{}, badSignature(err)
}

func expiry(err error) bool {
	return errors.Is(err, pgperrors.ErrKeyExpired) || errors.Is(err, pgperrors.ErrSignatureExpired)
}

func badSignature(err error) error {
	if errors.Is(err, pgperrors.ErrUnknownIssuer) {
		return fmt.Errorf("%w: %w", ErrUnknownKey, err)
	}
	return fmt.Errorf("%w: %w", ErrBadSignature, err)
}

// checkPackets reads r through and rewinds it: it must hold signatures only, over binary data, and those by keys of
// the ring must not rest on a hash for which collisions are made (RFC 9580 section 9.5).
func checkPackets(r *bytes.Reader, keyring *Keyring) error {
	reader, count := packet.NewReader(r), 0
	for ; ; count++ {
		p, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNotOpenPGP, err)
		}
		s, ok := p.(*packet.Signature)
		if !ok {
			return fmt.Errorf("%w: a %T among the signatures", ErrNotOpenPGP, p)
		}
		if s.IssuerKeyId == nil || len(keyring.entities.KeysById(*s.IssuerKeyId)) == 0 {
			continue
		}
		if s.SigType != packet.SigTypeBinary && s.SigType != packet.SigTypeText {
			return fmt.Errorf("%w: signature type %d is not about a document", ErrBadSignature, s.SigType)
		}
		switch s.Hash {
		case crypto.SHA256, crypto.SHA384, crypto.SHA512:
		default:
			return fmt.Errorf("%w: it rests on %s", ErrBadSignature, s.Hash)
		}
	}
	if count == 0 {
		return fmt.Errorf("%w: no signature in it", ErrNotOpenPGP)
	}
	_, err := r.Seek(0, io.SeekStart)
	return err
}
