package signing

import (
	"context"
	"crypto/ed25519"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// NoteSigner makes an Ed25519 key sign notes (C2SP signed-note, algorithm byte 0x01) under name: a log's origin, or
// the name of a root key. Errors wrap ErrKeyType, or say that name is no key name.
func (k *Key) NoteSigner(name string) (note.Signer, error) {
	vkey, err := k.VerifierKey(name)
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("key name %q: %w", name, err)
	}
	return &noteSigner{key: k, verifier: verifier}, nil
}

// VerifierKey returns "name+hash+base64", the text that others need to check the notes.
func (k *Key) VerifierKey(name string) (string, error) {
	public, ok := k.public.(ed25519.PublicKey)
	if !ok {
		return "", fmt.Errorf("%w: notes are signed with Ed25519, this key is %s", ErrKeyType, k.Kind())
	}
	vkey, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		return "", fmt.Errorf("key name %q: %w", name, err)
	}
	if _, err := note.NewVerifier(vkey); err != nil { // a name with a plus or a space gives a key that nobody can read
		return "", fmt.Errorf("key name %q: %w", name, err)
	}
	return vkey, nil
}

type noteSigner struct {
	key      *Key
	verifier note.Verifier
}

func (s *noteSigner) Name() string    { return s.verifier.Name() }
func (s *noteSigner) KeyHash() uint32 { return s.verifier.KeyHash() }

// Sign has no context in this interface; a key in memory needs none.
func (s *noteSigner) Sign(msg []byte) ([]byte, error) { return s.key.Sign(context.Background(), msg) }
