package signing

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// NoteSigner makes an Ed25519 key sign notes (C2SP signed-note, algorithm byte 0x01) under name: a log's origin, or
// the name of a root key. ctx bounds every signature: note.Signer has no context of its own, and one in a key service
// must end with the command that asked for it. Errors wrap ErrKeyType, or say that name is no key name.
func NoteSigner(ctx context.Context, key Signer, name string) (note.Signer, error) {
	vkey, err := VerifierKey(key, name)
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("key name %q: %w", name, err)
	}
	sign := func(message []byte) ([]byte, error) { return key.Sign(ctx, message) }
	return &noteSigner{sign: sign, verifier: verifier}, nil
}

// VerifierKey returns "name+hash+base64", the text that others need to check the notes.
func VerifierKey(key Signer, name string) (string, error) {
	public, err := x509.ParsePKIXPublicKey(key.SPKI())
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKeyType, err)
	}
	ed, ok := public.(ed25519.PublicKey)
	if !ok {
		return "", fmt.Errorf("%w: notes are signed with Ed25519, this key is %s", ErrKeyType, ECDSAP256)
	}
	vkey, err := note.NewEd25519VerifierKey(name, ed)
	if err != nil {
		return "", fmt.Errorf("key name %q: %w", name, err)
	}
	if _, err := note.NewVerifier(vkey); err != nil { // a name with a plus or a space gives a key that nobody can read
		return "", fmt.Errorf("key name %q: %w", name, err)
	}
	return vkey, nil
}

// NoteSigner is the function NoteSigner for a key in memory, which needs no context.
func (k *Key) NoteSigner(name string) (note.Signer, error) {
	return NoteSigner(context.Background(), k, name)
}

// VerifierKey is the function VerifierKey.
func (k *Key) VerifierKey(name string) (string, error) { return VerifierKey(k, name) }

type noteSigner struct {
	sign     func(message []byte) ([]byte, error)
	verifier note.Verifier
}

func (s *noteSigner) Name() string                    { return s.verifier.Name() }
func (s *noteSigner) KeyHash() uint32                 { return s.verifier.KeyHash() }
func (s *noteSigner) Sign(msg []byte) ([]byte, error) { return s.sign(msg) }
