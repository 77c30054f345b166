package probe

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
)

// EvidenceWriter writes an evidence file: header, one line a domain, signature. Nothing is buffered, so a killed scan
// leaves whole lines and no signature.
type EvidenceWriter struct {
	out     io.Writer
	sum     hash.Hash
	vantage string
}

// NewEvidence writes the header line.
func NewEvidence(out io.Writer, h Header) (*EvidenceWriter, error) {
	w := &EvidenceWriter{out: out, sum: sha256.New(), vantage: h.Vantage}
	return w, w.line(appendLine(nil, h))
}

// Add writes one domain's line.
func (w *EvidenceWriter) Add(r Result) error { return w.line(r.Line) }

func (w *EvidenceWriter) line(line []byte) error {
	full := append(bytes.Clone(line), '\n')
	w.sum.Write(full)
	if _, err := w.out.Write(full); err != nil {
		return fmt.Errorf("write evidence: %w", err)
	}
	return nil
}

// Sign writes the last line; nothing may be added after it. An unsigned file simply has none.
func (w *EvidenceWriter) Sign(key ed25519.PrivateKey) error {
	hint, err := keyHint(key.Public().(ed25519.PublicKey))
	if err != nil {
		return err
	}
	digest := hex.EncodeToString(w.sum.Sum(nil))
	return w.line(appendLine(nil, signatureLine{
		Key: hint, Kind: "signature", SHA256: digest,
		Signature: base64.StdEncoding.EncodeToString(ed25519.Sign(key, signedMessage(w.vantage, digest))),
	}))
}

// signedMessage is what a vantage signs: format, its own name and the digest of all lines before the signature, each
// ended by LF, so that a signature under one format or name is none under another.
func signedMessage(vantage, digest string) []byte {
	return []byte(evidenceFormat + "\n" + vantage + "\n" + digest + "\n")
}

// keyHint is the standard base64 SHA-256 of the key's SubjectPublicKeyInfo, as release signatures name keys.
func keyHint(key ed25519.PublicKey) (string, error) {
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("vantage key: %w", err)
	}
	sum := sha256.Sum256(spki)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}
