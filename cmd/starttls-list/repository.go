package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/pipeline"
)

// repositoryFiles are the files of a list's own repository, templates whose actions stand in [[ ]]: workflows have {{ }} of
// their own.
//
//go:embed all:repository
var repositoryFiles embed.FS

// repositoryValues are what the templates say of one list.
type repositoryValues struct{ Origin, Ref string }

// refPattern is what workflows may be pinned to: a whole commit hash, or a release.
var refPattern = regexp.MustCompile(`^([0-9a-f]{40}|v[0-9]+\.[0-9]+\.[0-9]+(-(alpha|beta|rc)[.0-9]*)?)$`)

// ownRef is this program's own version, "" where it is no commit or release that others could fetch.
func ownRef() string {
	if refPattern.MatchString(version) {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	if refPattern.MatchString(info.Main.Version) {
		return info.Main.Version
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			modified = s.Value
		}
	}
	if modified == "false" && refPattern.MatchString(revision) {
		return revision
	}
	return ""
}

// repositoryInit is "init --repository" as given.
type repositoryInit struct {
	private string // folder of the keys and the state, "" for keys in a KMS and a state on S3
	public  string // the repository
	origin  string
	ref     string
}

// check refuses what would be overwritten, and keys in the repository.
func (r *repositoryInit) check(c *cobra.Command) error {
	if r.ref == "" {
		r.ref = ownRef()
	}
	switch {
	case r.ref == "":
		return &term.Exit{Code: exitUsage, Err: errors.New("this program does not know which commit it was built from"),
			Hint: "say with --ref which commit or release of starttls-everywhere/policylist the workflows take"}
	case !refPattern.MatchString(r.ref):
		return usage(c, fmt.Errorf("--ref: %q is neither a whole commit hash nor a release such as v1.2.3", r.ref))
	}
	if err := r.apart(); err != nil {
		return usage(c, err)
	}
	return r.vacant()
}

// apart keeps private keys out of what is pushed to a forge: also where a link leads there.
func (r *repositoryInit) apart() error {
	if r.private == "" {
		return nil
	}
	private, err := realPath(r.private)
	if err != nil {
		return err
	}
	public, err := realPath(r.public)
	if err != nil {
		return err
	}
	if within(public, private) || within(private, public) {
		return fmt.Errorf("%s has private keys, and neither it nor the repository %s may lie in the other", r.private, r.public)
	}
	return nil
}

// realPath follows links in what there is of a path.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(abs) != abs {
		parent, err := realPath(filepath.Dir(abs))
		return filepath.Join(parent, filepath.Base(abs)), err
	}
	return real, err
}

// vacant: a folder that holds nothing but .git is as good as a new one.
func (r *repositoryInit) vacant() error {
	entries, err := os.ReadDir(r.public)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &term.Exit{Code: exitUsage, Err: err, Hint: "--repository names a folder, which is made when it is absent"}
	}
	for _, e := range entries {
		if e.Name() != ".git" {
			return &term.Exit{Code: exitUsage, Err: fmt.Errorf("%s is not empty", r.public), Hint: "choose another folder: nothing is overwritten"}
		}
	}
	return nil
}

// write makes the repository. The keys, if any, are in the private folder already, with a list and a trust that move.
func (r *repositoryInit) write() error {
	var err error
	if r.private == "" {
		r.origin, err = pipeline.SetupSource(filepath.Join(r.public, pipeline.SourceDir), r.origin)
	} else if err = r.move(); err == nil {
		err = r.firstVantage()
	}
	if err != nil {
		return err
	}
	config, err := r.config()
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(r.public, configName), []byte(config), 0o644); err != nil {
		return err
	}
	files, err := fs.Sub(repositoryFiles, "repository")
	if err != nil {
		return err
	}
	return fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		target := filepath.Join(r.public, filepath.FromSlash(name))
		if err != nil || d.IsDir() {
			return errors.Join(err, os.MkdirAll(target, 0o755))
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		t, err := template.New(name).Delims("[[", "]]").Option("missingkey=error").Parse(string(text))
		if err != nil {
			return err
		}
		var out bytes.Buffer
		if err := t.Execute(&out, repositoryValues{r.origin, r.ref}); err != nil {
			return err
		}
		return durable.WriteFile(target, out.Bytes(), 0o644)
	})
}

// move takes what is public out of the folder of keys.
func (r *repositoryInit) move() error {
	for _, name := range []string{pipeline.SourceDir, pipeline.TrustDir} {
		from := filepath.Join(r.private, name)
		if err := os.CopyFS(filepath.Join(r.public, name), os.DirFS(from)); err != nil {
			return err
		}
		if err := os.RemoveAll(from); err != nil {
			return err
		}
	}
	return nil
}

// config is the configuration of a publisher that reads the repository: on this machine, or with nothing of its own.
func (r *repositoryInit) config() (string, error) {
	lines := map[string]string{
		`state = "state"`:                `state = "s3://change-me/state?region=eu-1"`,
		`release = ["keys/release.key"]`: `release = ["awskms:///alias/policylist-release"]`,
		`log = "keys/log.key"`:           `log = "awskms:///alias/policylist-log"`,
		`openpgp = "keys/openpgp.key"`:   `openpgp = ""`,
		`evidence = ""`:                  `evidence = "s3://change-me/evidence?region=eu-1"`,
		`url = "public"`:                 `url = "s3://change-me/public?region=eu-1"`,
	}
	if r.private != "" {
		private, err := filepath.Abs(r.private)
		if err != nil {
			return "", err
		}
		in := func(name string) string { return fmt.Sprintf("%q", filepath.ToSlash(filepath.Join(private, name))) }
		lines = map[string]string{
			`state = "state"`:                `state = ` + in(pipeline.StateDir),
			`release = ["keys/release.key"]`: `release = [` + in(pipeline.ReleaseKeyFile) + `]`,
			`log = "keys/log.key"`:           `log = ` + in(pipeline.LogKeyFile),
			`openpgp = "keys/openpgp.key"`:   `openpgp = ` + in(pipeline.OpenPGPKeyFile),
			`evidence = ""`:                  `evidence = ` + in(evidenceDir),
			`url = "public"`:                 `url = ` + in(pipeline.PublicDir),
		}
	}
	text := configText
	for old, new := range lines {
		if strings.Count(text, "\n"+old+"\n") != 1 {
			return "", fmt.Errorf("the configuration that init writes has no line %q", old)
		}
		text = strings.Replace(text, "\n"+old+"\n", "\n"+new+"\n", 1)
	}
	before, after, _ := strings.Cut(text, "\n[gate]\n")
	return before + "\n[gate]\n" + strings.Replace(after, "\nenabled = false\n", "\nenabled = true\n", 1), nil
}
