package signing

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

var updateVectors = flag.Bool("update-openpgp-vectors", false, "make the OpenPGP test vectors anew: other keys, other signatures")

// vectorFolder holds the test vectors, whose README says what the members of a case mean.
const vectorFolder = "../../schema/testdata/vectors"

// openPGPVector is one case of openpgp.json.
type openPGPVector struct {
	Name    string            `json:"name"`
	Kind    string            `json:"kind"`
	Why     string            `json:"why"`
	Verdict string            `json:"verdict"`
	Key     string            `json:"key"`
	File    string            `json:"file"`
	List    string            `json:"list"`
	Now     string            `json:"now"`
	Result  map[string]string `json:"result,omitempty"`
}

// TestOpenPGPVectors holds the code to the stored vectors. They are signatures over the list of the vectors' second release,
// made once: when that list changes, they have to be made anew.
func TestOpenPGPVectors(t *testing.T) {
	if *updateVectors {
		makeOpenPGPVectors(t)
	}
	read := func(name string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(vectorFolder, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var cases []openPGPVector
	if err := json.Unmarshal(read("openpgp.json"), &cases); err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for _, v := range cases {
		keyring, err := ReadKeyring(read(v.Key))
		if err != nil {
			t.Fatal(err)
		}
		now, err := time.Parse(policy.TimeFormat, v.Now)
		if err != nil {
			t.Fatal(err)
		}
		signer, signed, err := VerifyDetached(keyring, read(v.List), read(v.File), now)
		t.Logf("%s (%s): %v", v.Name, v.Why, err)
		switch {
		case (err == nil) != (v.Verdict == "accept"):
			t.Errorf("%s (%s): %v", v.Name, v.Why, err)
		case err == nil:
			if accepted++; signed.Format(policy.TimeFormat) != v.Result["signed"] || signer != keyring.Fingerprints()[0] {
				t.Errorf("%s: signed %s by %s", v.Name, signed, signer)
			}
		case errors.Is(err, ErrNotValidThen) != (v.Name == "early"):
			t.Errorf("%s: refused for another reason: %v", v.Name, err)
		}
	}
	if accepted == 0 || len(cases)-accepted < 5 {
		t.Errorf("%d to accept of %d: the vectors were not found", accepted, len(cases))
	}
}

func makeOpenPGPVectors(t *testing.T) {
	t.Helper()
	made := time.Date(2026, 11, 1, 14, 0, 0, 0, time.UTC)
	write := func(name string, data []byte) string {
		t.Helper()
		path := filepath.Join(vectorFolder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	key := func() *OpenPGPKey {
		t.Helper()
		private, err := GenerateOpenPGP("Vectors", "list@vectors.example", made.AddDate(0, -1, 0), nil)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, private, 0o600); err != nil {
			t.Fatal(err)
		}
		k, _, err := LoadOpenPGP(path, Password{})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	ours, others := key(), key()
	public, err := ours.PublicKey(true)
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join(vectorFolder, "release/2.json"))
	if err != nil {
		t.Fatal(err)
	}
	sign := func(k *OpenPGPKey, data []byte) []byte {
		t.Helper()
		asc, err := k.Sign(data, made)
		if err != nil {
			t.Fatal(err)
		}
		return asc
	}
	good := sign(ours, list)
	lines := strings.SplitAfter(string(good), "\n")
	last := lines[len(lines)-4] // of the signature itself
	flipped := strings.Replace(string(good), last, last[1:5]+last[:1]+last[5:], 1)
	base := openPGPVector{Kind: "openpgp", Key: write("openpgp/key.asc", public), File: write("openpgp/2.json.asc", good), List: "release/2.json", Now: "2026-11-01T14:00:00Z"}
	var cases []openPGPVector
	add := func(name, why string, change func(*openPGPVector)) {
		c := base
		c.Name, c.Why, c.Verdict = name, why, "refuse"
		change(&c)
		cases = append(cases, c)
	}
	add("good", "the list's key signed it, as starttls-list does", func(c *openPGPVector) {
		c.Verdict, c.Result = "accept", map[string]string{"signed": base.Now}
	})
	add("other-list", "the signature is over the list of another release", func(c *openPGPVector) { c.List = "release/1.json" })
	add("early", "signed after the reader's time", func(c *openPGPVector) { c.Now = "2026-11-01T13:59:59Z" })
	add("stranger", "another key signed", func(c *openPGPVector) { c.File = write("openpgp/stranger.asc", sign(others, list)) })
	add("flip", "letters of the signature are others", func(c *openPGPVector) { c.File = write("openpgp/flip.asc", []byte(flipped)) })
	add("cut", "the armor ends early", func(c *openPGPVector) { c.File = write("openpgp/cut.asc", good[:len(good)/2]) })
	add("key-for-signature", "a public key instead of a signature", func(c *openPGPVector) { c.File = base.Key })
	out := []byte("[\n")
	for i, c := range cases {
		var line bytes.Buffer
		if err := json.NewEncoder(&line).Encode(c); err != nil {
			t.Fatal(err)
		}
		out = append(out, bytes.TrimSpace(line.Bytes())...)
		if i+1 < len(cases) {
			out = append(out, ',')
		}
		out = append(out, '\n')
	}
	write("openpgp.json", append(out, "]\n"...))
}
