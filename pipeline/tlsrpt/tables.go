package tlsrpt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt/cells"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// chosenName is the folder of the store with the rows that were chosen for each month; its owner's alone.
const chosenName = "chosen"

// maxLateTable is how many days after it was due a table is still made, when nobody was there to make it.
const maxLateTable = 21

// MakeTables makes the tables of feedback that are due and that the folder does not have, and returns them, oldest first. A
// table is written once and never changed: what is published twice could be subtracted. listed is the list of today. The folder's
// parent exists; other users may read in it. Of two processes that make one at the same time, the first's stays.
func (s *Store) MakeTables(ctx context.Context, folder string, listed cells.Listed) (made []cells.Table, err error) {
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	now := s.opts.Now()
	today := tlsrpt.DayOf(now)
	this := cells.MonthOf(today)
	for _, week := range slices.Concat(this.Before().Weeks(), this.Weeks()) {
		if due := week.Due(); due.After(now) || today-tlsrpt.DayOf(due) > maxLateTable {
			continue
		}
		path := filepath.Join(folder, week.String()+".json")
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return made, err
			}
			continue
		}
		table, err := s.makeTable(ctx, path, week, listed)
		if err != nil {
			return made, fmt.Errorf("table of the week from %s: %w", week, err)
		}
		made = append(made, table)
	}
	return made, s.closeTold(ctx, folder, today)
}

func (s *Store) makeTable(ctx context.Context, path string, week cells.Week, listed cells.Listed) (cells.Table, error) {
	chosen, err := s.chosen(ctx, week.Month(), listed)
	if err != nil {
		return cells.Table{}, err
	}
	var table cells.Table
	err = s.observe(ctx, week.First(), week.Last(), func(seen iter.Seq[cells.Observation]) { table = cells.Make(week, seen, listed, chosen) })
	if err != nil {
		return cells.Table{}, err
	}
	data := table.Bytes()
	if len(data) > cells.MaxTableBytes {
		return cells.Table{}, fmt.Errorf("%w: %d rows are %d bytes, the most is %d", cells.ErrTable, len(table.Domains)+len(table.Providers), len(data), cells.MaxTableBytes)
	}
	return table, writeOnce(path, data)
}

// writeOnce never replaces a file: a link fails where a rename would not. Another process has made the table then.
func writeOnce(path string, data []byte) error {
	fresh := path + ".new-" + rand.Text()
	defer os.Remove(fresh)
	if err := durable.WriteFile(fresh, data, 0o644); err != nil {
		return err
	}
	if err := os.Link(fresh, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// chosen are the rows of a month, which are chosen once. Of a month whose secret is gone nothing is chosen any more: who knows
// no bound publishes nothing.
func (s *Store) chosen(ctx context.Context, m cells.Month, listed cells.Listed) (cells.Chosen, error) {
	path := s.path(chosenName, m.String()+".json")
	data, err := durable.ReadFile(path)
	if err == nil {
		return cells.ParseChosen(data)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return cells.Chosen{}, err
	}
	secret, err := s.monthSecret(ctx, m)
	if errors.Is(err, ErrClosed) {
		return cells.Chosen{Month: m}, nil
	}
	if err != nil {
		return cells.Chosen{}, err
	}
	before := m.Before()
	var c cells.Chosen
	err = s.observe(ctx, before.First(), before.Last(), func(seen iter.Seq[cells.Observation]) { c = cells.Choose(m, seen, listed, secret) })
	if err != nil {
		return cells.Chosen{}, err
	}
	if err := os.Mkdir(s.path(chosenName), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return c, err
	}
	return c, durable.WriteFile(path, c.Bytes(), 0o600)
}

// closeTold closes months whose four tables are made and whose last contribution may have come, and forgets choices that have
// done their part: from then on nobody can tell whose pseudonym is whose, or which bound a row had.
func (s *Store) closeTold(ctx context.Context, folder string, today tlsrpt.Day) error {
	m := cells.MonthOf(today).Before()
	weeks := m.Weeks()
	if _, err := os.Lstat(filepath.Join(folder, weeks[len(weeks)-1].String()+".json")); err == nil && today > m.Last()+tlsrpt.MaxContributionAge {
		if err := s.CloseMonth(ctx, m); err != nil {
			return err
		}
	}
	names, err := filepath.Glob(s.path(chosenName, "*.json"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if month := strings.TrimSuffix(filepath.Base(name), ".json"); month < m.String() {
			if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// NewestTable returns the bytes of the newest table of a folder, and its name. The error wraps fs.ErrNotExist when there is none.
func NewestTable(folder string) (name string, data []byte, err error) {
	names, err := TableNames(folder)
	if err != nil {
		return "", nil, err
	}
	if len(names) == 0 {
		return "", nil, fmt.Errorf("%s has no feedback table yet: %w", folder, fs.ErrNotExist)
	}
	name = names[len(names)-1]
	data, err = durable.ReadFile(filepath.Join(folder, name))
	return name, data, err
}

// TableNames are the tables' files, oldest first. Other files are passed over.
func TableNames(folder string) (names []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		first, ok := strings.CutSuffix(e.Name(), ".json")
		if _, err := cells.ParseWeek(first); ok && err == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil // ReadDir sorts
}
