package pipeline

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// What can keep the other version of a source from being read.
var (
	ErrNotRepository = errors.New("the source is in no Git repository")
	ErrNoRevision    = errors.New("no such Git revision")
	ErrGit           = errors.New("git failed")
)

// gitTimeout is far more than reading a tree of a million domains takes.
const gitTimeout = 2 * time.Minute

// readRevision reads the source as it was at a Git revision. A source that was elsewhere then is followed by the rename of
// its list.json (or of the file itself); one that did not exist is empty, so that all of it counts as new.
func readRevision(ctx context.Context, source, revision string) (tree, error) {
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	info, err := os.Stat(source)
	if err != nil {
		return tree{}, fmt.Errorf("%w: %w", ErrSource, err)
	}
	dir, single := source, ""
	if !info.IsDir() {
		dir, single = filepath.Split(source)
	}
	g := git{dir: filepath.Clean(dir + "/.")}
	prefix, err := g.run(ctx, "rev-parse", "--show-prefix")
	if errors.Is(err, exec.ErrNotFound) {
		return tree{}, fmt.Errorf("%w: --base needs the git command: %w", ErrGit, err)
	}
	if err != nil {
		return tree{}, fmt.Errorf("%w: %s: %w", ErrNotRepository, source, err)
	}
	// --end-of-options: a revision that begins with a hyphen is no option.
	commit, err := g.run(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", revision+"^{commit}")
	if err != nil {
		return tree{}, fmt.Errorf("%w: %q", ErrNoRevision, revision)
	}
	r := revisionReader{git: g, commit: strings.TrimSpace(commit), shown: source}
	inside := strings.TrimSuffix(strings.TrimSuffix(prefix, "\n"), "/")
	if single != "" {
		return r.single(ctx, path.Join(inside, single))
	}
	return r.directory(ctx, inside)
}

// revisionReader reads one commit; shown is the source's name in findings.
type revisionReader struct {
	git
	commit, shown string
}

func (r revisionReader) single(ctx context.Context, name string) (tree, error) {
	blobs, err := r.list(ctx, name)
	if err == nil && len(blobs) == 0 {
		if name, err = r.formerName(ctx, name); err == nil && name != "" {
			blobs, err = r.list(ctx, name)
		}
	}
	if err != nil {
		return tree{}, err
	}
	if len(blobs) == 0 {
		return r.nothing(), nil
	}
	files, err := r.read(ctx, blobs[:1], func(string) string { return r.shown })
	if err != nil {
		return tree{}, err
	}
	return tree{single: &files[0]}, nil
}

// nothing is a source without entries.
func (r revisionReader) nothing() tree { return tree{where: display(r.shown, policy.SettingsName)} }

func (r revisionReader) directory(ctx context.Context, dir string) (tree, error) {
	settings := path.Join(dir, policy.SettingsName)
	blobs, err := r.list(ctx, settings)
	if err == nil && len(blobs) == 0 {
		var former string
		if former, err = r.formerName(ctx, settings); err == nil && former != "" {
			dir = path.Dir(former)
		}
	}
	if err != nil {
		return tree{}, err
	}
	if dir == "." {
		dir = ""
	}
	if blobs, err = r.list(ctx, dir); err != nil {
		return tree{}, err
	}
	rel := func(name string) string { return strings.TrimPrefix(strings.TrimPrefix(name, dir), "/") }
	kept := blobs[:0]
	for _, b := range blobs {
		if hidden := strings.HasPrefix(rel(b.name), ".") || strings.Contains(rel(b.name), "/."); path.Ext(b.name) == ".json" && !hidden {
			kept = append(kept, b)
		}
	}
	files, err := r.read(ctx, kept, func(name string) string { return display(r.shown, rel(name)) })
	if err != nil {
		return tree{}, err
	}
	t := r.nothing()
	for i, f := range files {
		t.add(r.shown, rel(kept[i].name), f.Data)
	}
	return t, nil
}

// formerName returns what name, which is new since the commit, was called then; "" when it did not exist.
func (r revisionReader) formerName(ctx context.Context, name string) (string, error) {
	// Compared with the working tree, so that an uncommitted move counts as well.
	out, err := r.run(ctx, "diff", "--no-ext-diff", "--no-textconv", "--find-renames", "--diff-filter=R", "--name-status", "-z", r.commit)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrGit, err)
	}
	fields := strings.Split(out, "\x00")
	for i := 0; i+2 < len(fields); i += 3 {
		if fields[i+2] == name {
			return fields[i+1], nil
		}
	}
	return "", nil
}

// blob is a file of a commit.
type blob struct{ name, id string }

// list returns the regular files at or below name, a path from the repository's top, "" for all.
func (r revisionReader) list(ctx context.Context, name string) ([]blob, error) {
	args := []string{"ls-tree", "-r", "-z", "--full-tree", r.commit}
	if name != "" {
		args = append(args, "--", name) // ls-tree takes paths, not patterns
	}
	out, err := r.run(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGit, err)
	}
	var blobs []blob
	for _, line := range strings.Split(strings.TrimSuffix(out, "\x00"), "\x00") {
		// "100644 blob <id>\t<name>"; links (120000) and submodules (160000) are no part of a source.
		meta, file, ok := strings.Cut(line, "\t")
		if f := strings.Fields(meta); ok && len(f) == 3 && strings.HasPrefix(f[0], "100") {
			blobs = append(blobs, blob{file, f[2]})
		}
	}
	return blobs, nil
}

// read fetches all blobs by one process.
func (r revisionReader) read(ctx context.Context, blobs []blob, shown func(name string) string) ([]policy.File, error) {
	var ids bytes.Buffer
	for _, b := range blobs {
		ids.WriteString(b.id + "\n")
	}
	cmd := r.command(ctx, "cat-file", "--batch")
	cmd.Stdin = &ids
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGit, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGit, err)
	}
	files := make([]policy.File, 0, len(blobs))
	buffered := bufio.NewReaderSize(out, 1<<16)
	size := 0
	for _, b := range blobs {
		data, err := readBlob(buffered)
		if size += len(data); err == nil && size > maxSourceBytes {
			err = fmt.Errorf("more than %d MiB", maxSourceBytes>>20)
		}
		if err != nil {
			out.Close() // git stops writing
			cmd.Wait()
			return nil, fmt.Errorf("%w: %s at %s: %w", ErrGit, b.name, r.commit, err)
		}
		files = append(files, policy.File{Path: shown(b.name), Data: data})
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGit, err)
	}
	return files, nil
}

// readBlob takes "<id> blob <size>" LF, the bytes, LF.
func readBlob(in *bufio.Reader) ([]byte, error) {
	header, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	f := strings.Fields(header)
	if len(f) != 3 || f[1] != "blob" {
		return nil, fmt.Errorf("git cat-file says %q", strings.TrimSpace(header))
	}
	size, err := strconv.Atoi(f[2])
	if err != nil || size < 0 || size > maxFileBytes {
		return nil, fmt.Errorf("%s bytes, the most is %d", f[2], maxFileBytes)
	}
	data := make([]byte, size+1)
	if _, err := io.ReadFull(in, data); err != nil {
		return nil, err
	}
	return data[:size], nil
}

// git runs the command in a directory.
type git struct{ dir string }

func (g git) command(ctx context.Context, args ...string) *exec.Cmd {
	// The repository may be a stranger's: no monitor program of its configuration is started.
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "core.fsmonitor=false", "-C", g.dir}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0")
	return cmd
}

// run returns what git prints; the error has its complaint.
func (g git) run(ctx context.Context, args ...string) (string, error) {
	var out, complaint bytes.Buffer
	cmd := g.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		if line, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n"); line != "" {
			return "", fmt.Errorf("%w: %s", err, line)
		}
		return "", err
	}
	return out.String(), nil
}
