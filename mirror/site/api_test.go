package site

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
	"github.com/starttls-everywhere/policylist/schema"
)

// kindOf is the schema of each file of JSON that a build writes; "" for one that has none.
func kindOf(p string) schema.Kind {
	switch {
	case path.Dir(p) == "site/api/v1/domain":
		return schema.Status
	case p == "site/changes/feed.json", p == "site/changes/pending.json":
		return schema.JSONFeed
	}
	return map[string]schema.Kind{"site/api/v1/list.json": schema.StatusList, "site/api/v1/codes.json": schema.StatusCodes, "site/api/v1/pending.json": schema.StatusPending,
		"site/changes/changes.jsonl": schema.StatusChange, ManifestPath: schema.SiteManifest}[p]
}

// Each file of JSON that a build writes is of a schema, whatever state the list is in.
func TestEveryFileHasASchema(t *testing.T) {
	set, err := schema.Load()
	must(t, err)
	empty := newOperator(t)
	empty.publish()
	large := whole(t)
	large.publish(many(200)...)
	for name, tt := range map[string]struct {
		o     *operator
		extra Extra
		want  int // files of JSON
	}{
		"whole":         {whole(t), Extra{Pending: []byte(held), Address: "https://list.example/", Survey: readSurvey(t)}, 256 + 7},
		"what weakens":  {whole(t), Extra{Pending: []byte(weakening)}, 256 + 7},
		"nothing else":  {story(t), Extra{}, 256 + 7},
		"an empty list": {empty, Extra{}, 256 + 7},
		"many domains":  {large, Extra{Pending: []byte(held)}, 4096 + 7},
	} {
		m := tt.o.read(tt.extra)
		if tt.o == large {
			m.maxPages, m.maxTwoDigits = 1, 200
		}
		sink, n := fresh(t, m), 0
		for p := range sink.paths() {
			if ext := path.Ext(p); ext != ".json" && ext != ".jsonl" {
				continue
			}
			n++
			kind := kindOf(p)
			if kind == "" {
				t.Errorf("%s: %s has no schema", name, p)
				continue
			}
			docs := [][]byte{sink.objects[p]}
			if path.Ext(p) == ".jsonl" {
				docs = bytes.Split(bytes.TrimSuffix(sink.objects[p], []byte("\n")), []byte("\n"))
			}
			for _, doc := range docs {
				var v any
				if len(doc) == 0 {
					continue // no change yet
				}
				must(t, json.Unmarshal(doc, &v))
				for _, bad := range set.Validate(kind, v) {
					t.Errorf("%s: %s: %s: %s", name, p, bad.Pointer, bad.Message)
				}
			}
		}
		if n != tt.want {
			t.Errorf("%s: %d files, want %d", name, n, tt.want)
		}
	}
}

// And so is the manifest that a build leaves which ends midway.
func TestUnfinishedManifestHasASchema(t *testing.T) {
	sink := &faulty{memory: newMemory(), left: 3}
	_, err := Build(t.Context(), story(t).read(Extra{}), sink, Options{})
	if err == nil {
		t.Fatal("it came to its end")
	}
	set, err := schema.Load()
	must(t, err)
	var v any
	must(t, json.Unmarshal(sink.objects[ManifestPath], &v))
	for _, bad := range set.Validate(schema.SiteManifest, v) {
		t.Errorf("%s: %s", bad.Pointer, bad.Message)
	}
}

// Beyond 10,000 domains a shard is named by three digits (schema/README.md).
func TestShardDigits(t *testing.T) {
	m := story(t).read(Extra{})
	if two, three := m.shardDigits(10_000), m.shardDigits(10_001); two != 2 || three != 3 {
		t.Errorf("%d and %d digits", two, three)
	}
}

// Every state that a domain can have is in the API, with what one can do about it.
func TestStates(t *testing.T) {
	o := whole(t)
	sink := fresh(t, o.read(Extra{Pending: []byte(`{"held":[{"domain":"wait.example","class":"added","codes":[],"findings":[]},{"domain":"a.example","class":"weakened","codes":[],"findings":[]},{"domain":"gone.example","class":"added","codes":[],"findings":[]}]}`)}))
	type state struct {
		status, preloadable, removable string
		held, history                  int
	}
	for name, want := range map[string]state{
		"a.example":             {StatusEnforce, "no", "yes", 1, 2},
		"stays.example":         {StatusEnforce, "unknown", "yes", 0, 1},
		"gone.example":          {StatusRemoved, "unknown", "no", 1, 2},
		"wait.example":          {StatusPending, "unknown", "no", 1, 0},
		"xn--bcher-kva.example": {StatusEnforce, "unknown", "yes", 0, 1},
	} {
		var f statusFile
		mustJSON(t, sink.objects["site/api/v1/domain/"+shardOf(name, 2)+".json"], &f)
		s := f.Domains[name]
		if s == nil {
			t.Errorf("%s is not in its shard", name)
			continue
		}
		if got := (state{s.Status, s.Preloadable, s.Removable, len(s.Pending), len(s.History)}); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// snippet is the block of that language in the specification's part on the API.
func snippet(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile("../../schema/README.md")
	must(t, err)
	_, part, _ := strings.Cut(string(text), "\n## Status API\n")
	part, _, _ = strings.Cut(part, "\n## ")
	_, code, found := strings.Cut(part, "\n```"+language+"\n")
	code, _, closed := strings.Cut(code, "\n```\n")
	if !found || !closed {
		t.Fatalf("no snippet in %s", language)
	}
	return code
}

// withThreeDigits has the shards as a list of more than 10,000 domains has them.
func withThreeDigits(t *testing.T, two *memory) *memory {
	t.Helper()
	three := newMemory()
	for p, data := range two.objects {
		var f statusFile
		switch {
		case path.Dir(p) == "site/api/v1/domain":
			mustJSON(t, data, &f)
			for name, s := range f.Domains {
				shard, err := compact(statusFile{statusFormat, map[string]*Status{name: s}})
				must(t, err)
				three.objects["site/api/v1/domain/"+shardOf(name, 3)+".json"] = shard
			}
		case p == "site/api/v1/list.json":
			three.objects[p] = bytes.Replace(data, []byte(`"shard-digits": 2`), []byte(`"shard-digits": 3`), 1)
		}
	}
	empty := "site/api/v1/domain/" + shardOf("never.example", 3) + ".json"
	three.objects[empty] = []byte(`{"format":"status/1","domains":{}}`)
	return three
}

// The snippets of the specification find a domain in its shard, as it says, with two digits and with three.
func TestSnippets(t *testing.T) {
	small := fresh(t, story(t).read(Extra{}))
	for _, sink := range []*memory{small, withThreeDigits(t, small)} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			data, ok := sink.objects[strings.TrimPrefix(r.URL.Path, "/")]
			if !ok {
				http.NotFound(w, r)
				return
			}
			w.Write(data)
		}))
		defer server.Close()
		for _, domain := range []string{"a.example", "gone.example", "never.example"} {
			local := func(code string) string {
				code = strings.Replace(code, "https://list.example/site", server.URL+"/site", 1)
				return strings.Replace(code, "a.example", domain, 1)
			}
			t.Run("python", func(t *testing.T) {
				c := exec.CommandContext(t.Context(), tool.Path(t, "python3"), "-c", local(snippet(t, "python")))
				c.Env = append(os.Environ(), "no_proxy=*")
				out, err := c.CombinedOutput()
				want := map[string]string{"a.example": "a.example is on the list: enforce since 1 March 2026.\n", "gone.example": "gone.example is not on the list: it was removed on 1 March 2026.\n",
					"never.example": "never.example was never listed\n"}[domain]
				if err != nil || string(out) != want {
					t.Errorf("%v: %s", err, out)
				}
			})
			t.Run("curl", func(t *testing.T) {
				c := exec.CommandContext(t.Context(), "sh", "-c", local(snippet(t, "sh")))
				c.Env = append(os.Environ(), "PATH="+path.Dir(tool.Path(t, "curl"))+":"+os.Getenv("PATH"), "no_proxy=*")
				out, err := c.CombinedOutput()
				var f statusFile
				if err != nil || json.Unmarshal(out, &f) != nil || (f.Domains[domain] == nil) != (domain == "never.example") {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
	}
}
