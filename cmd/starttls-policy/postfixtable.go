package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// postmapDeadline is far more than hash takes for a million lines, 15 s.
const postmapDeadline = 5 * time.Minute

// errOvertaken is returned when what the table was made from has changed meanwhile.
var errOvertaken = errors.New("overtaken by a change of what the table is made from")

// compiles reports whether Postfix reads another form than the text, and it is made here.
func (p postfixConfig) compiles() bool {
	return compiledSuffix[p.Type] != "" && (p.Postmap == nil || *p.Postmap)
}

// install puts the text in its place, compiled first if that is asked for, and reports whether anything changed.
// Postfix finds the old table or the new one: both forms are made under other names and renamed, the compiled one,
// which Postfix reads, before the text, and their sums last. After a crash in between the sums are others, so the next call
// does it all again. still, unless it is nil, is asked when all that takes long is done: errOvertaken when it says no.
func install(ctx context.Context, p postfixConfig, text rendering, still func() bool) (changed bool, err error) {
	path := string(p.Map)
	if current(p, text) {
		return false, nil
	}
	if !p.compiles() {
		return true, text.replace(path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, err
	}
	temp, err := os.MkdirTemp(filepath.Dir(path), ".tmp-"+filepath.Base(path)+"-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(temp)
	made := filepath.Join(temp, filepath.Base(path))
	if err := compile(ctx, p.Type, made, text); err != nil {
		return false, err
	}
	sums, err := tableSums(postfixConfig{Map: absolutePath(made), Type: p.Type})
	if err != nil {
		return false, err
	}
	if still != nil && !still() {
		return false, errOvertaken
	}
	for _, s := range []string{compiledSuffix[p.Type], ""} {
		if err := os.Rename(made+s, path+s); err != nil {
			return false, err
		}
	}
	if err := durable.SyncDir(filepath.Dir(path)); err != nil {
		return false, err
	}
	return true, durable.WriteFile(path+sumsSuffix, sums, 0o644)
}

// compile makes the text and beside it the form that Postfix reads, both durable: cdb by ourselves, others by postmap.
func compile(ctx context.Context, t tableType, path string, text rendering) error {
	if t == cdb {
		return withCDB(path, text)
	}
	if err := text.replace(path); err != nil {
		return err
	}
	postmap, err := program("postmap")
	if err != nil {
		return fmt.Errorf("type = %q needs Postfix's postmap: %w", t, err)
	}
	ctx, cancel := context.WithTimeout(ctx, postmapDeadline)
	defer cancel()
	out, err := exec.CommandContext(ctx, postmap, string(t)+":"+path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("postmap %s: %w: %s", t, err, bytes.TrimSpace(out[:min(len(out), 1000)]))
	}
	f, err := os.Open(path + compiledSuffix[t])
	if err != nil {
		return fmt.Errorf("postmap %s made no table: %w", t, err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// withCDB makes both forms of one rendering: of a million lines it takes longer than the database.
func withCDB(path string, text rendering) error {
	f, err := os.OpenFile(path+compiledSuffix[cdb], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	c := mta.NewCDB(f)
	both := rendering(func(w io.Writer) error { return text(io.MultiWriter(w, c.Lines())) })
	if err = both.replace(path); err == nil {
		err = c.Close()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// current reports whether the table is there with this text, and compiled from it.
func current(p postfixConfig, text rendering) bool {
	same, err := text.isIn(string(p.Map))
	return err == nil && same && (!p.compiles() || sealed(p))
}
