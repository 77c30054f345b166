package site

import (
	"context"
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
	State   string            `json:"state"`   // "done"; "unfinished" while a build writes
	Objects map[string]string `json:"objects"` // lower-case hex SHA-256 by path

	absent bool
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
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil || m.Format != manifestFormat {
		return manifest{}, nil
	}
	for path := range m.Objects {
		if mirror.CheckPath(path) != nil || path != homePath && !strings.HasPrefix(path, "site/") || path == ManifestPath {
			return manifest{}, nil
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

// homePath is the page at the mirror's root, which leads to the site.
const homePath = "index.html"
