package mirror

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// secondReader has the reader in Python judge a manifest; a vector that it judges otherwise fails the test.
func secondReader(t testing.TB, manifest string) string {
	t.Helper()
	out, content := tool.SecondReader(t, "vectors", manifest)
	if !content {
		wrong := slices.DeleteFunc(strings.Split(out, "\n"), func(l string) bool { return strings.HasPrefix(l, "ok ") })
		t.Fatal(strings.Join(wrong[:min(len(wrong), 30)], "\n"))
	}
	return out
}

// TestSecondReader: a reader that shares no line of code with this one judges every vector alike, and finds the same in it.
func TestSecondReader(t *testing.T) {
	for manifest, least := range map[string]int{"log.json": 200, "openpgp.json": 6} {
		out := secondReader(t, filepath.Join(vectorFolder, manifest))
		if n := strings.Count(out, "ok "); n < least {
			t.Errorf("%s: %d vectors, want %d or more\n%s", manifest, n, least, out)
		}
	}
}

// TestSecondReaderAgreesOnDamage damages the files of the vectors at random, and has both readers judge what comes out: where
// one takes what the other refuses, the specification is not clear or one of them is wrong. The seed is fixed.
func TestSecondReaderAgreesOnDamage(t *testing.T) {
	tool.NeedSecondReader(t)
	cases, read := readVectors(t, "log.json")
	random, dir := rand.New(rand.NewPCG(8461, 9162)), t.TempDir()
	b := newVectorBook(t)
	accepted, count := 0, 0
	for _, v := range cases {
		if v.Verdict == "refuse" || v.Kind == "client" && (v.Name == "stale" || v.Name == "expired") {
			continue
		}
		b.files["fingerprint"] = read("fingerprint")
		for _, file := range v.inputs() {
			b.files[file] = read(file)
		}
		times := 15
		if v.Kind == "client" {
			times = 4 // each is a client with a folder
		}
		if fullForm() {
			times *= 50
		}
		for i := range times {
			c := v
			c.Name = fmt.Sprintf("%s-%d", v.Name, i)
			damaged := c.target()
			name := fmt.Sprintf("damaged/%s-%s", v.Kind, c.Name)
			b.files[name] = damage(random, read(*damaged))
			*damaged = name
			c.judged(t, func(file string) []byte { return b.files[file] })
			if count++; c.Verdict == "accept" {
				accepted++
			}
			b.add(c)
		}
	}
	for name, data := range b.files {
		writeFile(t, dir, name, string(data))
	}
	writeFile(t, dir, "log.json", string(b.manifest()))
	if out := secondReader(t, filepath.Join(dir, "log.json")); !strings.Contains(out, fmt.Sprintf("%d vectors, 0 judged otherwise", count)) {
		t.Error(out)
	}
	t.Logf("%d damaged files judged alike, %d of them still good", count, accepted)
	if count < 400 || accepted == 0 {
		t.Errorf("%d damaged files, %d of them still good", count, accepted)
	}
}

// target is the name of the file that a case is about, to be replaced.
func (v *vector) target() *string {
	switch {
	case v.Kind == "trust":
		v.Trust = slices.Clone(v.Trust)
		return &v.Trust[len(v.Trust)-1]
	case v.Entries != "":
		return &v.Entries
	case v.Kind == "client" && v.Name[0]%2 == 0:
		return &v.List
	}
	return &v.File
}

// inputs are all files that a case names.
func (v *vector) inputs() []string {
	all := append(slices.Clone(v.Trust), v.File, v.List, v.Entries)
	if v.Held != nil {
		all = append(all, v.Held.File, v.Held.List)
	}
	return slices.DeleteFunc(all, func(name string) bool { return name == "" })
}

// judged fills in what this code says of a case.
func (v *vector) judged(t testing.TB, read func(string) []byte) {
	t.Helper()
	if v.Kind == "trust" && len(v.Trust) == 1 { // else no damage to it would get past the fingerprint
		text, _, _ := strings.Cut(string(read(v.Trust[0])), "\n\n")
		v.Fingerprint = fmt.Sprintf("%x", sum([]byte(text+"\n")))
	}
	got, err := judgeVector(t, *v, read)
	if v.Verdict, v.Result = "accept", got; err != nil {
		v.Verdict, v.Result = "refuse", nil
	}
}

// damage makes one to three edits: a bit, a byte less or more, lines in another order or twice, a value in another spelling.
func damage(random *rand.Rand, data []byte) []byte {
	out := slices.Clone(data)
	for range 1 + random.IntN(3) {
		if len(out) == 0 {
			return out
		}
		i := random.IntN(len(out))
		switch lines := strings.SplitAfter(string(out), "\n"); random.IntN(8) {
		case 0:
			out[i] ^= 1 << random.IntN(7)
		case 1:
			out = slices.Delete(out, i, i+1)
		case 2:
			out = slices.Insert(out, i, `",:{}[] 0aA=+-—`[random.IntN(15)])
		case 3:
			j := random.IntN(len(lines))
			out = []byte(strings.Join(slices.Insert(lines, j, lines[random.IntN(len(lines))]), ""))
		case 4:
			j, k := random.IntN(len(lines)), random.IntN(len(lines))
			lines[j], lines[k] = lines[k], lines[j]
			out = []byte(strings.Join(lines, ""))
		case 5:
			j := random.IntN(len(lines))
			out = []byte(strings.Join(slices.Delete(lines, j, j+1), ""))
		case 6:
			words := [][2]string{{`"`, `\u0022`}, {"=", ""}, {"testing", "enforce"}, {"0", "00"}, {"Z", "z"}, {",", ", "}, {"\n", "\r\n"}, {"mx", "MX"}, {"1", "2"}, {"example", "example."}}
			w := words[random.IntN(len(words))]
			out = []byte(strings.Replace(string(out), w[0], w[1], 1+random.IntN(3)))
		default:
			out = out[:i]
		}
	}
	return out
}

// TestVectorsAreExplained: the README of the vectors names every kind, member and result.
func TestVectorsAreExplained(t *testing.T) {
	cases, read := readVectors(t, "log.json")
	page := string(read("README.md"))
	if last := fmt.Sprintf("%d vectors, 0 judged otherwise", len(cases)); !strings.Contains(page, last) {
		t.Errorf("README.md of the vectors does not end its example with %q", last)
	}
	for _, v := range cases {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil {
			t.Fatal(err)
		}
		for name := range members {
			if !strings.Contains(page, "`"+name+"`") {
				t.Errorf("README.md of the vectors does not explain the member %s", name)
			}
		}
		for name := range v.Result {
			if !strings.Contains(page, "`"+name+"`") {
				t.Errorf("README.md of the vectors does not explain the result %s", name)
			}
		}
		if !strings.Contains(page, "| `"+v.Kind+"` |") {
			t.Errorf("README.md of the vectors does not explain the kind %s", v.Kind)
		}
	}
}
