// Package loopback is an honest witness of one log in this process, for tests and demonstrations: C2SP tlog-witness, and
// the monitoring prefix beside it. It remembers nothing beyond its process, so that no log may rest on it.
package loopback

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
	"github.com/starttls-everywhere/policylist/transparency/witness"
)

// Witness is an honest witness of one log; it also serves the monitoring prefix, which neither real one does. Its time
// is its owner's. Set the fields before the first request.
type Witness struct {
	Name string
	VKey string
	URL  string
	Now  func() time.Time
	// Bend, if not nil, sees every request first; true means that it answered.
	Bend func(w http.ResponseWriter, r *http.Request) bool

	key ed25519.PrivateKey
	log note.Verifier

	mu    sync.Mutex // guards what follows
	tree  tlog.Tree
	note  []byte // the last that it cosigned, with its line
	asked int
}

// New makes a witness with a new key for the log with this vkey. Its URL is its caller's to set, who serves it.
func New(name, logVKey string, now func() time.Time) (*Witness, error) {
	log, err := note.NewVerifier(logVKey)
	if err != nil {
		return nil, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return &Witness{Name: name, VKey: VKey(name+".witness.example", public), Now: now, key: private, log: log}, nil
}

// Clone is the same witness in a world of its own: with the key and the memory of f, and no server.
func (f *Witness) Clone() *Witness {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &Witness{Name: f.Name, VKey: f.VKey, URL: f.URL, Now: f.Now, key: f.key, log: f.log, tree: f.tree, note: f.note}
}

// Line is the witness's line of a tlog-policy.
func (f *Witness) Line() string { return fmt.Sprintf("witness %s %s %s\n", f.Name, f.VKey, f.URL) }

// Asked counts the checkpoints that were submitted.
func (f *Witness) Asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// Size is that of the tree that it knows.
func (f *Witness) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tree.N
}

// ServeHTTP speaks C2SP tlog-witness.
func (f *Witness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.Bend != nil && f.Bend(w, r) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	monitored := fmt.Sprintf("/%x/checkpoint", sha256.Sum256([]byte(f.log.Name())))
	switch {
	case r.Method == http.MethodGet && r.URL.Path == monitored && f.note != nil:
		w.Write(f.note)
	case r.Method == http.MethodPost && r.URL.Path == "/add-checkpoint":
		f.asked++
		f.add(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (f *Witness) add(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		return
	}
	req, err := ParseRequest(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	signed, err := note.Open(req.Checkpoint, note.VerifierList(f.log))
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	c, err := transparency.ParseCheckpoint(signed.Text)
	switch {
	case err != nil || req.Old > c.Tree.N:
		http.Error(w, "malformed", http.StatusBadRequest)
		return
	case req.Old != f.tree.N:
		w.Header().Set("Content-Type", "text/x.tlog.size")
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintf(w, "%d\n", f.tree.N)
		return
	case req.Old == 0 && len(req.Proof) > 0 || req.Old > 0 && tlog.CheckTree(req.Proof, c.Tree.N, c.Tree.Hash, req.Old, f.tree.Hash) != nil:
		http.Error(w, "inconsistent", http.StatusUnprocessableEntity)
		return
	}
	line := f.Cosign(signed.Text)
	f.tree, f.note = c.Tree, append(bytes.Clone(req.Checkpoint), line...)
	w.Write(line)
}

// Cosign returns the witness's line under a checkpoint's text, whatever that is.
func (f *Witness) Cosign(text string) []byte {
	at := f.Now().Unix()
	sig := ed25519.Sign(f.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text))
	name, rest, _ := strings.Cut(f.VKey, "+")
	hash, err := strconv.ParseUint(rest[:8], 16, 32)
	if err != nil {
		panic(err) // VKey wrote it
	}
	raw := binary.BigEndian.AppendUint32(nil, uint32(hash))
	raw = append(binary.BigEndian.AppendUint64(raw, uint64(at)), sig...)
	return fmt.Appendf(nil, "— %s %s\n", name, base64.StdEncoding.EncodeToString(raw))
}

// VKey is the cosignature key of a witness as tlog-policy lines have it (C2SP tlog-cosignature, algorithm byte 4).
func VKey(name string, key ed25519.PublicKey) string {
	typed := append([]byte{4}, key...)
	sum := sha256.Sum256(append([]byte(name+"\n"), typed...))
	return fmt.Sprintf("%s+%x+%s", name, sum[:4], base64.StdEncoding.EncodeToString(typed))
}

// ParseRequest reads the body of add-checkpoint strictly; what it accepts formats back to itself.
func ParseRequest(body []byte) (witness.Request, error) {
	head, checkpoint, ok := bytes.Cut(body, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	size, old := strings.CutPrefix(lines[0], "old ")
	n, err := strconv.ParseInt(size, 10, 64)
	if !ok || !old || err != nil || n < 0 || len(lines)-1 > witness.MaxProof {
		return witness.Request{}, fmt.Errorf("not a request: %q", lines[0])
	}
	r := witness.Request{Old: n, Checkpoint: checkpoint}
	for _, line := range lines[1:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return witness.Request{}, err
		}
		r.Proof = append(r.Proof, h)
	}
	if !bytes.Equal(r.Format(), body) {
		return witness.Request{}, fmt.Errorf("not in its one form")
	}
	return r, nil
}
