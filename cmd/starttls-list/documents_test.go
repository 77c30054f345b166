package main

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/mod/modfile"
)

const treeRoot = "../.."

// documents gives every Markdown file of the tree to visit, by its path below the root.
func documents(t *testing.T, visit func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(treeRoot, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".md" {
			return nil
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(treeRoot, path)
		visit(filepath.ToSlash(rel), string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// prose is a document without its blocks of code.
func prose(text string) string {
	return regexp.MustCompile("(?ms)^ *```.*?^ *```").ReplaceAllString(text, "")
}

// anchors are the names by which GitHub lets one link to a document's headings.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#{1,6} +(.*?) *$`).FindAllStringSubmatch(prose(text), -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(m[1], "$1"))
		found[name] = true
	}
	return found
}

// deadLinks are a document's relative links that lead nowhere, in a tree that read knows: files, folders, headings.
func deadLinks(path, text string, read func(path string) (text string, ok bool)) (links int, dead []string) {
	for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(prose(text), -1) {
		u, err := url.Parse(m[1])
		if err != nil {
			dead = append(dead, m[1])
			continue
		}
		if u.Scheme != "" || u.Host != "" {
			continue
		}
		links++
		target := text
		if u.Path != "" {
			var ok bool
			if target, ok = read(filepath.ToSlash(filepath.Join(filepath.Dir(path), u.Path))); !ok {
				dead = append(dead, m[1])
				continue
			}
		}
		if u.Fragment != "" && !anchors(target)[u.Fragment] {
			dead = append(dead, m[1])
		}
	}
	return links, dead
}

// TestLinksLeadSomewhere follows the relative links of all documents.
func TestLinksLeadSomewhere(t *testing.T) {
	read := func(path string) (string, bool) {
		info, err := os.Stat(filepath.Join(treeRoot, path))
		if err != nil || info.IsDir() {
			return "", err == nil
		}
		data, err := os.ReadFile(filepath.Join(treeRoot, path))
		return string(data), err == nil
	}
	links := 0
	documents(t, func(path, text string) {
		n, dead := deadLinks(path, text, read)
		links += n
		for _, link := range dead {
			t.Errorf("%s: the link to %s leads nowhere", path, link)
		}
	})
	if links < 100 {
		t.Errorf("only %d links: the test does not find them", links)
	}
	tree := func(path string) (string, bool) {
		return "# One\n\n```\n# Not a heading\n```\n", path == "a/there.md" || path == "a/folder"
	}
	text := "# It's [here](x): `so`\n[1](there.md) [2](folder) [3](there.md#one) [4](#its-here-so) [5](https://example.org/x)\n```\n[6](in-code.md)\n```\n" +
		"[7](missing.md) [8](there.md#two) [9](there.md#not-a-heading) [10](#there)"
	_, dead := deadLinks("a/page.md", text, tree)
	if want := []string{"x", "missing.md", "there.md#two", "there.md#not-a-heading", "#there"}; !slices.Equal(dead, want) {
		t.Errorf("dead links %q, want %q", dead, want)
	}
}

// TestReadmeIsTwoScreens: the first page stays one that is read to its end.
func TestReadmeIsTwoScreens(t *testing.T) {
	documents(t, func(path, text string) {
		if n := strings.Count(text, "\n"); path == "README.md" && n > 100 {
			t.Errorf("README.md has %d lines, two screens have 100: what is not for everybody belongs beside the code, or into cmd/README.md", n)
		}
	})
}

// TestEveryDependencyHasAReason: the table of cmd/README.md has every module that go.mod requires directly, and no other.
func TestEveryDependencyHasAReason(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(treeRoot, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(treeRoot, "cmd/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## Dependencies")
	var modules, rows []string
	for _, r := range mod.Require {
		if !r.Indirect {
			modules = append(modules, r.Mod.Path)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\| ([^|]*) \| ([^|]+) \|$`).FindAllStringSubmatch(table, -1) {
		if m[1] != "module" && !strings.HasPrefix(m[1], "---") {
			rows = append(rows, regexp.MustCompile(`, | and `).Split(m[1], -1)...)
		}
	}
	for _, module := range modules {
		if !slices.ContainsFunc(rows, func(name string) bool { return standsFor(module, name) }) {
			t.Errorf("cmd/README.md gives no reason for %s", module)
		}
	}
	for _, name := range rows {
		if !slices.ContainsFunc(modules, func(module string) bool { return standsFor(module, name) }) {
			t.Errorf("cmd/README.md gives a reason for %s, which go.mod does not require", name)
		}
	}
	if len(rows) < 30 {
		t.Errorf("only %d modules in the table: the test does not find it", len(rows))
	}
}

// standsFor reports whether a name in the table stands for a module: its path, or the end of it, without a version. A name may
// also be that of a package, or of a whole family of modules.
func standsFor(module, name string) bool {
	module = regexp.MustCompile(`/v[0-9]+$`).ReplaceAllString(module, "")
	name = strings.TrimPrefix(regexp.MustCompile(`/v[0-9]+$`).ReplaceAllString(name, ""), "…/")
	return module == name || strings.HasSuffix(module, "/"+name) || strings.HasPrefix(module, name+"/")
}
