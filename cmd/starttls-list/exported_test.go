package main

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEveryExportedNameIsDocumented reads all packages as go doc does: each has a comment, and each exported type, function,
// method, constant and variable one that begins with its name, so that go doc and editors show what it is about. Of a group of
// constants or variables, one comment for all is enough, or one behind each.
func TestEveryExportedNameIsDocumented(t *testing.T) {
	packages, names := 0, 0
	err := filepath.WalkDir(treeRoot, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") && name != ".." {
			return filepath.SkipDir
		}
		files := parseFolder(t, path)
		if len(files.list) == 0 {
			return nil
		}
		found, missing := undocumented(t, files)
		packages, names = packages+1, names+found
		for _, m := range missing {
			t.Error(m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if packages < 40 || names < 500 {
		t.Errorf("%d packages with %d exported names: the test does not find them", packages, names)
	}
	t.Logf("%d exported names in %d packages", names, packages)
}

// TestUndocumentedNamesAreFound: each kind of name without its comment is told, and nothing that has one.
func TestUndocumentedNamesAreFound(t *testing.T) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "x.go", `package x

func Bare() {}

// It does something.
func Misnamed() {}

// Good does something.
func Good() {}

// A Kind is one.
type Kind int

func (Kind) Method() {}

// Kinds that there are.
const (
	One Kind = iota
	Two
)

const Three Kind = 3

const (
	Four Kind = 4 // the last
)

type hidden int

func (hidden) Method() {}
`, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	_, missing := undocumented(t, goFolder{set, []*ast.File{file}, "x"})
	for i, m := range missing {
		missing[i] = m[strings.LastIndexByte(m, ' ')+1:]
	}
	if want := []string{"x", "Three", "Kind.Method", "Bare", "Misnamed"}; !slices.Equal(missing, want) {
		t.Errorf("told %q, want %q", missing, want)
	}
}

// goFolder is the files of one package, tests aside.
type goFolder struct {
	set  *token.FileSet
	list []*ast.File
	path string
}

func parseFolder(t *testing.T, path string) goFolder {
	t.Helper()
	f := goFolder{set: token.NewFileSet(), path: path}
	sources, err := filepath.Glob(filepath.Join(path, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(f.set, source, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		f.list = append(f.list, file)
	}
	return f
}

// undocumented counts the exported names and lists those without a comment that begins with them.
func undocumented(t *testing.T, f goFolder) (names int, missing []string) {
	t.Helper()
	p, err := doc.NewFromFiles(f.set, f.list, f.path)
	if err != nil {
		t.Fatal(err)
	}
	tell := func(name, text string) {
		names++
		base := name[strings.LastIndexByte(name, '.')+1:]
		if name != base && (base == "Error" || base == "Unwrap" || base == "String") {
			return // what these methods do, packages errors and fmt say
		}
		if !beginsWith(text, base) {
			missing = append(missing, fmt.Sprintf("%s: no comment that begins with its name: %s", f.path, name))
		}
	}
	values := func(list []*doc.Value) {
		for _, v := range list {
			text := "" // "DefaultMost and DefaultWithin bound one round" stands before the first
			for _, spec := range v.Decl.Specs {
				text += spec.(*ast.ValueSpec).Doc.Text()
			}
			for _, spec := range v.Decl.Specs {
				s := spec.(*ast.ValueSpec)
				for _, name := range s.Names {
					if !name.IsExported() {
						continue
					}
					grouped := v.Decl.Lparen.IsValid()
					if names++; v.Doc == "" && s.Doc.Text() == "" && s.Comment.Text() == "" && !strings.Contains(text, name.Name) || !grouped && !beginsWith(v.Doc, name.Name) {
						missing = append(missing, fmt.Sprintf("%s: no comment that begins with its name: %s", f.path, name.Name))
					}
				}
			}
		}
	}
	if p.Doc == "" && p.Name != "main" {
		missing = append(missing, fmt.Sprintf("%s: no comment of package %s", f.path, p.Name))
	}
	values(p.Consts)
	values(p.Vars)
	for _, typ := range p.Types {
		tell(typ.Name, typ.Doc)
		values(typ.Consts)
		values(typ.Vars)
		for _, fn := range slices.Concat(typ.Funcs, typ.Methods) {
			name := fn.Name
			if fn.Recv != "" {
				name = typ.Name + "." + name
			}
			tell(name, fn.Doc)
		}
	}
	for _, fn := range p.Funcs {
		tell(fn.Name, fn.Doc)
	}
	return names, missing
}

// beginsWith reports whether a comment begins with a name, behind an article perhaps, or names it among the first of several
// ("Name, KeyHash and Verify make a note.Verifier").
func beginsWith(text, name string) bool {
	for _, article := range []string{"A ", "An ", "The "} {
		text = strings.TrimPrefix(text, article)
	}
	first, _, _ := strings.Cut(text, ".")
	words := strings.FieldsFunc(first, func(r rune) bool { return strings.ContainsRune(" ,:;'’\n", r) })
	return len(words) > 0 && (words[0] == name || slices.Contains(words[:min(len(words), 6)], name))
}
