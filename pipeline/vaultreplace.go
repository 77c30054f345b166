package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
)

// replacedStates is where a vault keeps the state.json that Recover replaced, by its digest. The blobs that it names stay
// where they are, so that putting it back is all it takes.
const replacedStates = "replaced/"

// copyDamaged makes folder a copy of the state, without the lease. What is wrong with the state is damage, and the folder
// is then empty; err means that the store gave no answer.
func (v *Vault) copyDamaged(ctx context.Context, folder string, now func() time.Time) (damage, err error) {
	v.folder, v.now, v.mending = folder, now, true
	if err := v.load(ctx); err != nil {
		return nil, err
	}
	if damage = v.damage; damage == nil {
		damage = v.restore(ctx)
	}
	if damage == nil {
		return nil, nil
	}
	if !errors.Is(damage, ErrVault) && !mirror.IsAbsent(damage) && !errors.Is(damage, mirror.ErrTooLarge) {
		return nil, damage
	}
	return damage, emptyFolder(folder)
}

// emptyFolder removes what is part of a state.
func emptyFolder(folder string) error {
	names, err := os.ReadDir(folder)
	for _, n := range names {
		if !private(n.Name()) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(folder, n.Name())))
		}
	}
	return err
}

// replace makes the vault what the folder is after fill. It takes the lease for that, and refuses when the state is not
// the one any more that copyDamaged saw. The state before is kept, under v.kept. It is one replacement of state.json: a
// crash before it has changed nothing that counts.
func (v *Vault) replace(ctx context.Context, now func() time.Time, log *slog.Logger, fill func() error) error {
	before := v.raw
	v.now, v.mending = now, true
	if err := v.load(ctx); err != nil {
		return err
	}
	if !bytes.Equal(v.raw, before) {
		return fmt.Errorf("%w: %s", ErrChanged, statePath)
	}
	if err := v.probe(ctx); err != nil {
		return err
	}
	if err := v.take(ctx); err != nil {
		return err
	}
	v.seen = nil // until the end nothing of the folder is the state's
	defer v.close(ctx, log)
	if v.raw != nil {
		path := replacedStates + digest(v.raw) + ".json"
		if err := v.Store.Create(ctx, privateObject(path, v.raw)); err != nil {
			return err
		}
		v.kept = path
	}
	if err := v.claim(ctx); err != nil {
		return err
	}
	v.contents.Older, v.contents.Files, v.seen = nil, map[string]file{}, map[string]seen{}
	if err := fill(); err != nil {
		v.seen = nil
		return err
	}
	return v.Save(ctx)
}
