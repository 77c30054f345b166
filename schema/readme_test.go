package schema_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/schema"
)

const vectorFolder = "testdata/vectors"

// TestReadmeShowsVectors: the examples in the specification are the bytes of test vectors, which the code and the second
// reader judge. Long lines are broken there, by a newline and a space, and the leaf in a proof is cut short.
func TestReadmeShowsVectors(t *testing.T) {
	page := readPage(t, "README.md")
	blocks := map[string]bool{}
	for _, m := range regexp.MustCompile("(?ms)^```\n(.*?)\n```$").FindAllStringSubmatch(page, -1) {
		blocks[m[1]] = true
		blocks[strings.ReplaceAll(m[1], "\n ", "")] = true
	}
	vector := func(name string) string {
		return strings.TrimSuffix(readPage(t, filepath.Join(vectorFolder, name)), "\n")
	}
	cut := func(name string) string {
		return regexp.MustCompile(`(?m)^(extra .{60}).*$`).ReplaceAllString(vector(name), "$1…")
	}
	leaves := strings.Join([]string{vector("leaf/change-set"), vector("leaf/change-del"), vector("leaf/trust"), vector("leaf/release")}, "\n")
	for name, want := range map[string]string{
		"release/2.json": vector("release/2.json"), "leaf/…": leaves, "trust/2": vector("trust/2"), "checkpoint/three-witnesses": vector("checkpoint/three-witnesses"),
		"release/2.tlog-proof": cut("release/2.tlog-proof"), "bundle/ecdsa": vector("bundle/ecdsa"),
	} {
		if !blocks[want] {
			t.Errorf("README.md does not show the vector %s:\n%s", name, want)
		}
	}
}

// TestReadmeNamesEveryFormat: who comes with a schema in his hand finds here what it is for.
func TestReadmeNamesEveryFormat(t *testing.T) {
	page := readPage(t, "README.md")
	table := strings.Join(regexp.MustCompile(`(?m)^\|.*\|$`).FindAllString(page[:strings.Index(page, "\n## ")], -1), "\n")
	for _, kind := range schema.Kinds() {
		if !strings.Contains(table, "`"+string(kind)+"`") {
			t.Errorf("the first table of README.md does not name %s", kind)
		}
	}
}

// TestReadmeExplainsSignedMembers: the tables of the specification name each member of what is signed or logged.
func TestReadmeExplainsSignedMembers(t *testing.T) {
	page := readPage(t, "README.md")
	for _, kind := range []schema.Kind{schema.List, schema.ChangeLeaf, schema.TrustLeaf, schema.ReleaseLeaf} {
		text, err := schema.Text(kind)
		if err != nil {
			t.Fatal(err)
		}
		eachProperty(decode(t, text), "", func(path string, _ map[string]any) {
			name := path[strings.LastIndexByte(path, '/')+1:]
			if !strings.Contains(page, "`"+name+"`") {
				t.Errorf("%s: README.md does not name the member %s", kind, path)
			}
		})
	}
}

// TestEveryMemberIsExplained: by the specification, or where that leaves a format to its schema, by the schema.
func TestEveryMemberIsExplained(t *testing.T) {
	page, members := readPage(t, "README.md"), 0
	for _, kind := range schema.Kinds() {
		text, err := schema.Text(kind)
		if err != nil {
			t.Fatal(err)
		}
		explained, named := map[string]bool{}, map[string]bool{} // a condition names members again
		eachProperty(decode(t, text), "", func(path string, property map[string]any) {
			members++
			name := path[strings.LastIndexByte(path, '/')+1:]
			named[path] = true
			if property["description"] != nil || property["const"] != nil || property["$ref"] != nil || strings.Contains(page, "`"+name+"`") {
				explained[path] = true
			}
		})
		for path := range named {
			if !explained[path] {
				t.Errorf("%s: nothing explains the member %s", kind, path)
			}
		}
	}
	if members < 200 {
		t.Errorf("only %d members: the test does not find them", members)
	}
}

// eachProperty calls visit for every member that a schema describes, at any depth.
func eachProperty(v any, path string, visit func(path string, property map[string]any)) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			eachProperty(e, path, visit)
		}
	case map[string]any:
		for name, e := range v {
			properties, ok := e.(map[string]any)
			if name != "properties" || !ok {
				eachProperty(e, path, visit)
				continue
			}
			for member, p := range properties {
				if property, ok := p.(map[string]any); ok {
					visit(path+"/"+member, property)
					eachProperty(property, path+"/"+member, visit)
				}
			}
		}
	}
}

func readPage(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
