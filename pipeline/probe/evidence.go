package probe

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/starttls-everywhere/policylist/policy"
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

// Evidence is an evidence file that was read.
type Evidence struct {
	Header  Header
	Records map[policy.Domain]Record // filled by ReadEvidence only
	SHA256  string                   // of the whole file, as the release leaf names it

	signature *signatureLine
	seen      map[policy.Domain]bool
}

// ReadEvidence reads a file into memory; see WalkEvidence.
func ReadEvidence(r io.Reader, limit int64) (*Evidence, error) {
	records := make(map[policy.Domain]Record)
	e, err := WalkEvidence(r, limit, func(d policy.Domain, rec Record) error {
		records[d] = rec
		return nil
	})
	if err != nil {
		return nil, err
	}
	e.Records = records
	return e, nil
}

// WalkEvidence reads a file strictly: header first, one line a domain, each domain once, at most one signature and that
// at the end. limit caps the bytes read. each gets the records in the order of the file, before it is known whether the
// rest is good; its error ends the walk. Errors about the file wrap ErrEvidence and name the line. Whether the signature
// is good is Verify's to say.
func WalkEvidence(r io.Reader, limit int64, each func(policy.Domain, Record) error) (*Evidence, error) {
	whole := sha256.New()
	capped := &io.LimitedReader{R: r, N: limit + 1}
	in := bufio.NewScanner(io.TeeReader(capped, whole))
	in.Buffer(make([]byte, 0, 64<<10), maxLine+1)
	in.Split(wholeLines)
	e := &Evidence{seen: make(map[policy.Domain]bool)}
	before := sha256.New()
	n := 0
	for ; in.Scan(); n++ {
		line := in.Bytes()
		if err := e.take(n, line, before, each); err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		before.Write(line)
		before.Write([]byte{'\n'})
	}
	switch err := in.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d: %w: longer than %d bytes", n+1, ErrEvidence, maxLine)
	case err != nil:
		return nil, err
	case capped.N == 0:
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrEvidence, limit)
	case n == 0:
		return nil, fmt.Errorf("%w: it is empty", ErrEvidence)
	}
	e.SHA256 = hex.EncodeToString(whole.Sum(nil))
	return e, nil
}

// wholeLines splits at LF and refuses a last line without one: that is what a killed writer leaves.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, fmt.Errorf("%w: the last line has no end", ErrEvidence)
	}
	return 0, nil, nil
}

// take reads line n (from 0); before is the digest of the lines before it.
func (e *Evidence) take(n int, line []byte, before hash.Hash, each func(policy.Domain, Record) error) error {
	if e.signature != nil {
		return fmt.Errorf("%w: a line after the signature", ErrEvidence)
	}
	if n == 0 {
		if err := readCanonical(line, &e.Header); err != nil {
			return err
		}
		if e.Header.Kind != "header" || e.Header.Format != evidenceFormat {
			return fmt.Errorf("%w: no header of %s", ErrEvidence, evidenceFormat)
		}
		return nil
	}
	if bytes.HasPrefix(line, []byte(`{"key":`)) {
		return e.takeSignature(line, before)
	}
	var r Record
	if err := readCanonical(line, &r); err != nil {
		return err
	}
	if r.Kind != "domain" {
		return fmt.Errorf("%w: kind %q", ErrEvidence, r.Kind)
	}
	if err := r.check(); err != nil {
		return err
	}
	d, _ := policy.ParseDomain(r.Domain)
	if e.seen[d] {
		return fmt.Errorf("%w: %s stands twice", ErrEvidence, d)
	}
	if r.Vantage != e.Header.Vantage || r.Roots != e.Header.Roots {
		return fmt.Errorf("%w: %s was seen by another vantage or with other roots than the header says", ErrEvidence, d)
	}
	e.seen[d] = true
	return each(d, r)
}

func (e *Evidence) takeSignature(line []byte, before hash.Hash) error {
	var s signatureLine
	if err := readCanonical(line, &s); err != nil {
		return err
	}
	if digest := hex.EncodeToString(before.Sum(nil)); s.Kind != "signature" || s.SHA256 != digest {
		return fmt.Errorf("%w: the signature is for %s, the lines before it have digest %s", ErrEvidence, escape(s.SHA256, 64), digest)
	}
	e.signature = &s
	return nil
}

// Verify reports whether the vantage with that key signed the file. Errors wrap ErrEvidence.
func (e *Evidence) Verify(key ed25519.PublicKey) error {
	if e.signature == nil {
		return fmt.Errorf("%w: it is not signed", ErrEvidence)
	}
	hint, err := keyHint(key)
	if err != nil {
		return err
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(e.signature.Signature)
	if err != nil || e.signature.Key != hint || !ed25519.Verify(key, signedMessage(e.Header.Vantage, e.signature.SHA256), sig) {
		return fmt.Errorf("%w: no signature of vantage %q by key %s", ErrEvidence, e.Header.Vantage, hint)
	}
	return nil
}
