package manual

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write the golden files")

// tree is a program of three commands, whose texts have what roff would take for its own.
func tree() *cobra.Command {
	root := &cobra.Command{Use: "tool", Short: "does things", Version: "v1.2.3", Long: `Tool does "things".

Exit codes: 0 done, 1 not.

Files:
  /etc/tool.toml  its configuration
  .toolrc         yours`}
	root.PersistentFlags().Bool("json", false, "report in JSON")
	make := &cobra.Command{Use: "make FILE [--out FILE] | make --all", Short: "makes a thing", Run: func(*cobra.Command, []string) {},
		Long: `.SH this is no heading
'nor this a request: C:\new, don't, ~/x and a^b.

A table:
  one   1
    two 2

Exit codes: 0 made, 3 it's broken.`,
		Example: `  $ tool make .x --out 'a b'
  .x: made
  $ echo \$?`}
	make.Flags().StringP("out", "o", "-", "where to")
	make.Flags().StringArray("more", nil, "more of `THEM`")
	hidden := &cobra.Command{Use: "secret", Short: "x", Hidden: true, Run: func(*cobra.Command, []string) {}}
	root.AddCommand(make, hidden, &cobra.Command{Use: "list", Short: "lists things", Run: func(*cobra.Command, []string) {}})
	return root
}

const example = `# A file. Nothing else.

# Where
# it is.
state = "/var"

# Both of these.
#one = 1
#two = [2]
# Some.
#[[part]]
# A name, "x" or
# 'y'.
#name = "x"
`

// The pages are as they were when somebody last looked at them.
func TestPages(t *testing.T) {
	b := Book{Root: tree(), Date: time.Unix(1795764993, 0), Related: []string{"tool.toml(5)"}}
	pages := append(b.Pages(), b.Configuration("tool.toml", "configuration of tool", "/etc/tool.toml", "It is TOML.", example))
	for _, p := range pages {
		golden := filepath.Join("testdata", p.Name+"."+p.Section)
		if *update {
			if err := os.WriteFile(golden, p.Text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || !bytes.Equal(p.Text, want) {
			t.Errorf("%s: %v, or other than\n%s", golden, err, p.Text)
		}
	}
	if files, err := os.ReadDir("testdata"); err != nil || len(files) != len(pages) || len(pages) != 4 {
		t.Errorf("%d pages, %d golden files, %v", len(pages), len(files), err)
	}
}

// No text of a help can give a request or an escape to roff, which may read files.
func TestTextIsNoRoff(t *testing.T) {
	for _, hostile := range []string{".so /etc/passwd", "'so /etc/passwd", `\*[x] \fBbold`, ".", "'", "a\n.so /etc/passwd\n", "  .so x"} {
		c := &cobra.Command{Use: "x " + hostile, Short: hostile, Long: hostile, Example: hostile, Run: func(*cobra.Command, []string) {}}
		c.Flags().String("flag", hostile, hostile)
		b := Book{Root: c}
		for _, p := range append(b.Pages(), b.Configuration(hostile, hostile, hostile, hostile, "# "+hostile)) {
			for l := range strings.Lines(string(p.Text)) {
				if strings.HasPrefix(l, ".so") || strings.HasPrefix(l, "'") || strings.Contains(l, `\*[x]`) || strings.Contains(l, `\fBbold`) {
					t.Errorf("%q: the page has the line %q", hostile, l)
				}
			}
		}
	}
}

func TestCommandWritesPages(t *testing.T) {
	usage := func(_ *cobra.Command, err error) error { return errors.Join(errUsage, err) }
	for name, c := range map[string]struct {
		epoch string
		args  []string
		ok    bool
	}{
		"dated": {"0", []string{"DIR"}, true}, "undated": {"", []string{"DIR"}, true},
		"no folder": {"", nil, false}, "two folders": {"", []string{"DIR", "DIR"}, false}, "no number": {"today", []string{"DIR"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SOURCE_DATE_EPOCH", c.epoch)
			dir := t.TempDir()
			root := tree()
			root.AddCommand(Command(usage, nil, func(b Book) []Page { return []Page{{"tool.toml", "5", []byte(b.Root.Name())}} }))
			root.SilenceErrors, root.SilenceUsage = true, true
			args := []string{"manual"}
			for range c.args {
				args = append(args, dir)
			}
			root.SetArgs(args)
			err := root.Execute()
			if c.ok != (err == nil) || err != nil && !errors.Is(err, errUsage) {
				t.Fatal(err)
			}
			page, err := os.ReadFile(filepath.Join(dir, "man1", "tool-make.1"))
			if c.ok != (err == nil) {
				t.Fatal(err)
			}
			if dated := bytes.Contains(page, []byte("1970-01-01")); dated != (c.epoch == "0") {
				t.Errorf("the page has a date: %t", dated)
			}
			if _, err := os.Stat(filepath.Join(dir, "man5", "tool.toml.5")); c.ok != (err == nil) {
				t.Error(err)
			}
		})
	}
}

var errUsage = errors.New("usage")
