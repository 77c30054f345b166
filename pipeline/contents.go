package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
)

// contents is state.json: what a vault's folder contains. It is complete: a file that it does not name is not there. The
// JSON is one line; a second one is its digest, so that a store that forgot a bit is noticed.
type contents struct {
	Format string  `json:"format"`
	Epoch  int64   `json:"epoch"`  // of the lease under which it was written
	Run    string  `json:"run"`    // that wrote it
	Serial int64   `json:"serial"` // counts replacements: no two state.json are ever the same bytes
	Probe  *probed `json:"probe,omitempty"`

	// Older are digests of blobs that hold maps like Files, oldest first. What comes later replaces what came before, so
	// that state.json stays small while the state grows.
	Older []string        `json:"older,omitempty"`
	Files map[string]file `json:"files"` // by slash-separated path
}

// probed is what the store's conditional writes were worth, and when.
type probed struct {
	mirror.Conditions
	Time time.Time `json:"time"` // the publisher's clock
}

// file is one file of the state, by its digest. Small ones are here themselves.
type file struct {
	SHA256 string `json:"sha256,omitempty"` // lower-case hex; "": the file is not there any more
	Size   int64  `json:"size,omitempty"`
	Data   []byte `json:"data,omitempty"`
}

const (
	contentsFormat = "policylist/state/v1"
	maxContents    = 8 << 20
	inline         = 512     // bytes of a file up to which it needs no blob
	sealAt         = 256     // files in state.json at which they move to a blob
	mergeAt        = 64      // such blobs at which they become one
	maxStateFile   = 1 << 30 // bytes of one file; the entries of a first release with a million domains are 200 MB
)

func parseContents(data []byte) (contents, error) {
	var c contents
	line, sum, _ := bytes.Cut(data, []byte("\n"))
	if string(sum) != digest(line)+"\n" {
		return c, fmt.Errorf("%w: %s has not the digest in its last line", ErrVault, statePath)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil || c.Format != contentsFormat || c.Epoch < 1 {
		return c, fmt.Errorf("%w: %s is not %s (%v)", ErrVault, statePath, contentsFormat, err)
	}
	return c, checkFiles(c.Files)
}

// checkFiles keeps a damaged or hostile map from writing anywhere else.
func checkFiles(files map[string]file) error {
	for p, f := range files {
		if !filepath.IsLocal(filepath.FromSlash(p)) || path.Clean(p) != p || private(p) || f.Size < 0 || f.Size > maxStateFile {
			return fmt.Errorf("%w: it names the file %.100q", ErrVault, p)
		}
		if f.SHA256 != "" && f.Size <= inline && (digest(f.Data) != f.SHA256 || int64(len(f.Data)) != f.Size) {
			return fmt.Errorf("%w: %s has not the digest beside it", ErrVault, p)
		}
	}
	return nil
}

func (c contents) bytes() ([]byte, error) {
	c.Format = contentsFormat
	data, err := json.Marshal(c)
	return fmt.Appendf(data, "\n%s\n", digest(data)), err
}

func (c contents) clone() contents {
	c.Older, c.Files = slices.Clone(c.Older), maps.Clone(c.Files)
	if c.Files == nil {
		c.Files = map[string]file{}
	}
	return c
}

// equal compares the files of two contents that have the same older ones.
func (c contents) equal(d contents) bool {
	return maps.EqualFunc(c.Files, d.Files, func(a, b file) bool { return a.SHA256 == b.SHA256 })
}

// private reports whether a file of the state folder belongs to this machine alone: locks, work in progress, and what any run
// can begin anew, the verifying clients and what the site was made from.
func private(p string) bool {
	for name := range strings.SplitSeq(p, "/") {
		if name == "lock" || name == "tmp" || strings.HasPrefix(name, tempPrefix) {
			return true
		}
	}
	return strings.HasPrefix(p, "verify/") || strings.HasPrefix(p, siteCacheDir+"/")
}
