package mirror

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// vectorFolder holds the vectors, whose README says what each member of a case means.
const vectorFolder = "../schema/testdata/vectors"

var updateVectors = flag.Bool("update", false, "write the test vectors in schema/testdata/vectors")

// vector is one case: files, and what a reader must say of them. File names are below the folder of vectors.
type vector struct {
	Name        string     `json:"name"`
	Kind        string     `json:"kind"`
	Why         string     `json:"why"`
	Verdict     string     `json:"verdict"` // accept, refuse
	Fingerprint string     `json:"fingerprint,omitempty"`
	Trust       []string   `json:"trust,omitempty"`
	File        string     `json:"file,omitempty"`
	List        string     `json:"list,omitempty"`
	Entries     string     `json:"entries,omitempty"`
	Held        *heldFiles `json:"held,omitempty"`
	Now         string     `json:"now,omitempty"`
	Result      results    `json:"result,omitempty"`
}

// heldFiles are what a client has already.
type heldFiles struct {
	File string `json:"file"`
	List string `json:"list"`
}

// results are what a reader must find in what it accepts: numbers, times and digests as text.
type results map[string]string

// vectorBook is all cases of one manifest and the files that they name.
type vectorBook struct {
	t     testing.TB
	cases []vector
	files map[string][]byte
	names map[string]string // of a file, by its content: no content is stored twice
}

func newVectorBook(t testing.TB) *vectorBook {
	return &vectorBook{t: t, files: map[string][]byte{}, names: map[string]string{}}
}

// file stores data and returns the name it is stored under.
func (b *vectorBook) file(name string, data []byte) string {
	b.t.Helper()
	if have, ok := b.names[string(data)]; ok {
		return have
	}
	if _, taken := b.files[name]; taken {
		b.t.Fatalf("two files %s", name)
	}
	b.files[name], b.names[string(data)] = bytes.Clone(data), name
	return name
}

func (b *vectorBook) add(v vector) {
	b.t.Helper()
	if slices.ContainsFunc(b.cases, func(o vector) bool { return o.Name == v.Name && o.Kind == v.Kind }) {
		b.t.Fatalf("two cases %s of kind %s", v.Name, v.Kind)
	}
	b.cases = append(b.cases, v)
}

// manifest is log.json: one case a line.
func (b *vectorBook) manifest() []byte {
	b.t.Helper()
	out := []byte("[\n")
	for i, v := range b.cases {
		var line bytes.Buffer
		e := json.NewEncoder(&line)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			b.t.Fatal(err)
		}
		out = append(out, bytes.TrimSuffix(line.Bytes(), []byte("\n"))...)
		if i+1 < len(b.cases) {
			out = append(out, ',')
		}
		out = append(out, '\n')
	}
	return append(out, "]\n"...)
}

// TestVectorsAreMade: the vectors are those that this code makes. Keys and times are fixed, so every run signs the same bytes.
func TestVectorsAreMade(t *testing.T) {
	b := makeVectors(t)
	want := maps.Clone(b.files)
	want["log.json"] = b.manifest()
	if *updateVectors {
		writeVectors(t, want)
	}
	have := map[string][]byte{}
	err := filepath.WalkDir(vectorFolder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(vectorFolder, path)
		have[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range want {
		if !bytes.Equal(have[name], data) {
			t.Errorf("%s is not what is made; go test ./mirror -run TestVectorsAreMade -update writes it", name)
		}
	}
	size := 0
	for name, data := range have {
		size += len(data)
		if _, ok := want[name]; !ok && !otherVectors(name) {
			t.Errorf("%s belongs to no vector", name)
		}
	}
	if size > 320_000 {
		t.Errorf("%d bytes of vectors: they are to stay small", size)
	}
	t.Logf("%d vectors, %d files, %d bytes", len(b.cases), len(have), size)
}

// otherVectors are files in the folder that other tests make.
func otherVectors(name string) bool {
	return name == "README.md" || name == "openpgp.json" || filepath.Dir(name) == "openpgp"
}

func writeVectors(t *testing.T, files map[string][]byte) {
	t.Helper()
	old, err := os.ReadDir(vectorFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range old {
		if !otherVectors(d.Name()) && d.Name() != "openpgp" {
			if err := os.RemoveAll(filepath.Join(vectorFolder, d.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, data := range files {
		writeFile(t, vectorFolder, name, string(data))
	}
}

// readVectors reads the cases as they are stored, and returns a function that reads their files.
func readVectors(t testing.TB, manifest string) ([]vector, func(name string) []byte) {
	t.Helper()
	read := func(name string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(vectorFolder, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	d := json.NewDecoder(bytes.NewReader(read(manifest)))
	d.DisallowUnknownFields()
	var cases []vector
	if err := d.Decode(&cases); err != nil {
		t.Fatal(err)
	}
	return cases, read
}

// TestVectors holds the code to every stored vector: it must judge and find what the vector says.
func TestVectors(t *testing.T) {
	cases, read := readVectors(t, "log.json")
	accepted, refused := 0, 0
	for _, v := range cases {
		t.Run(v.Kind+"/"+v.Name, func(t *testing.T) {
			got, err := judgeVector(t, v, read)
			t.Logf("%s: %v", v.Why, err)
			switch {
			case v.Verdict == "accept" && err != nil:
				t.Fatalf("refused (%v), though: %s", err, v.Why)
			case v.Verdict == "refuse" && err == nil:
				t.Fatalf("accepted, though: %s", v.Why)
			case v.Verdict == "accept" && !maps.Equal(got, v.Result):
				t.Errorf("found %v, the vector says %v", got, v.Result)
			}
		})
		if v.Verdict == "accept" {
			accepted++
		} else {
			refused++
		}
	}
	if accepted < 20 || refused < 100 {
		t.Errorf("%d to accept and %d to refuse: the vectors were not found", accepted, refused)
	}
}

func parseStamp(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
