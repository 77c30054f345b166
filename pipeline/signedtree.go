package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// SignedTree returns the tree of the newest checkpoint in the outbox that the present log's key has signed; the zero tree
// if there is none. A log that is rebuilt from elsewhere must contain it (OpenLog may ask).
func (p *Publisher) SignedTree() (tlog.Tree, error) {
	c, err := p.newestSigned()
	if err != nil || c.Origin != p.Trust.Newest().Origin {
		return tlog.Tree{}, err
	}
	return c.Tree, nil
}

// newestSigned returns the newest checkpoint in the outbox that the log has signed, whoever cosigned it; the zero value
// if there is none.
func (p *Publisher) newestSigned() (transparency.Cosigned, error) {
	box := outbox{dir: filepath.Join(p.State, "outbox")}
	n, err := box.newest()
	if errors.Is(err, fs.ErrNotExist) {
		return transparency.Cosigned{}, nil
	}
	for ; err == nil && n > 0; n-- {
		note, err := readLimited(box.path(n, outCheckpoint))
		if errors.Is(err, fs.ErrNotExist) {
			note, err = readLimited(box.path(n, outSigned)) // witnesses may have seen it
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // not signed yet
		}
		if err != nil {
			return transparency.Cosigned{}, fmt.Errorf("%w: %w", ErrState, err)
		}
		// One that no trust version accepts is judged elsewhere; here an older one will do.
		if c, err := p.openLogged(note); err == nil {
			return c, nil
		}
	}
	return transparency.Cosigned{}, err
}
