package site

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror"
)

// ManifestPath names the list of the site's objects, by which the next build knows what is there already.
const ManifestPath = "site/manifest.json"

const (
	manifestFormat   = "site-manifest/1"
	stateDone        = "done"
	stateUnfinished  = "unfinished"
	maxManifestBytes = 256 << 20 // a million objects
)

type manifest struct {
	Format  string            `json:"format"`
	State   string            `json:"state"`         // "done"; "unfinished" while a build writes, and where it did not come to its end
	Run     string            `json:"run,omitempty"` // of an unfinished one: random, the build that wrote it
	Objects map[string]string `json:"objects"`       // lower-case hex SHA-256 by path; "" for what nobody knows

	absent bool
	raw    [32]byte // digest of its text
}

// ErrOccupied means that the place has a home page that is not this site's.
var ErrOccupied = errors.New("there is an " + homePath + " already that no build of the site wrote")

// occupied refuses to replace somebody's home page. What is below site/ is ours by the format.
func (m manifest) occupied(ctx context.Context, r mirror.Reader) error {
	if !m.absent {
		return nil
	}
	_, err := r.Get(ctx, homePath, maxManifestBytes)
	switch {
	case mirror.IsAbsent(err):
		return nil
	case err == nil || errors.Is(err, mirror.ErrTooLarge):
		return ErrOccupied
	}
	return err
}

// readManifest returns the last build's. One that is damaged, or names what no build makes, counts as none: then all is
// written, and nothing is deleted.
func readManifest(ctx context.Context, r mirror.Reader) (manifest, error) {
	data, err := r.Get(ctx, ManifestPath, maxManifestBytes)
	if mirror.IsAbsent(err) {
		return manifest{absent: true}, nil
	}
	if errors.Is(err, mirror.ErrTooLarge) {
		return manifest{}, nil
	}
	if err != nil {
		return manifest{}, err
	}
	raw := sha256.Sum256(data)
	m := manifest{raw: raw}
	if err := json.Unmarshal(data, &m); err != nil || m.Format != manifestFormat {
		return manifest{raw: raw}, nil
	}
	for path := range m.Objects {
		if mirror.CheckPath(path) != nil || path != homePath && !strings.HasPrefix(path, "site/") || path == ManifestPath {
			return manifest{raw: raw}, nil
		}
	}
	return m, nil
}

func (m manifest) write(ctx context.Context, s Sink) error {
	data, err := indented(m) // objects in bytewise order: encoding/json sorts them
	if err != nil {
		return err
	}
	return s.Put(ctx, mirror.NewObject(ManifestPath, data))
}

// begin says in the manifest that what is there is neither the old site nor the new one, before the first change.
func (w *writer) begin(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.begun != "" {
		return nil
	}
	now, err := readManifest(ctx, w.sink)
	if err != nil {
		return err
	}
	if now.raw != w.old.raw {
		return ErrBusy // what was compared with the old one is worth nothing any more
	}
	run := rand.Text()
	if err := (manifest{Format: manifestFormat, State: stateUnfinished, Run: run, Objects: w.either()}).write(ctx, w.sink); err != nil {
		return err
	}
	w.begun = run
	return nil
}

// mine looks whether the manifest is still this build's: where nothing locks, as on S3, another one may have begun since.
// What the two wrote, each over the other's, no manifest may then vouch for.
func (w *writer) mine(ctx context.Context) error {
	now, err := readManifest(ctx, w.sink)
	if err != nil {
		return err
	}
	if w.begun == "" && now.raw != w.old.raw || w.begun != "" && now.Run != w.begun {
		return ErrBusy
	}
	return nil
}

// either names everything that the old site or the new one has, and knows of nothing whether it is there.
func (w *writer) either() map[string]string {
	all := make(map[string]string, len(w.objects))
	for path := range w.old.Objects {
		all[path] = ""
	}
	for _, obj := range w.objects {
		all[obj.path] = ""
	}
	return all
}

const (
	homePath   = "index.html" // the page at the mirror's root, which leads to the site
	siteFolder = "site"
)
