package witness

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/transparency"
)

// specimen is a witness with a known key, and its line under a checkpoint's text at a time.
func specimen() (w transparency.WitnessURL, cosign func(text string, at int64) string) {
	const name = "w.example"
	seed := sha256.Sum256([]byte("specimen"))
	key := ed25519.NewKeyFromSeed(seed[:])
	typed := append([]byte{4}, key.Public().(ed25519.PublicKey)...)
	hash := sha256.Sum256(append([]byte(name+"\n"), typed...))
	w = transparency.WitnessURL{Name: "w", VKey: fmt.Sprintf("%s+%x+%s", name, hash[:4], base64.StdEncoding.EncodeToString(typed))}
	return w, func(text string, at int64) string {
		sig := ed25519.Sign(key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text))
		raw := append(binary.BigEndian.AppendUint64(append([]byte{}, hash[:4]...), uint64(at)), sig...)
		return fmt.Sprintf("— %s %s\n", name, base64.StdEncoding.EncodeToString(raw))
	}
}

const specimenText = "list.example/2026\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"

func specimenRequest() Request {
	return Request{Checkpoint: []byte(specimenText + "\n— list.example/2026 AAAAAAAAAAA=\n")}
}

// TestCosignatureOfOtherTextDoesNotCount: a note's text ends at its last empty line, so that an answer could bring text
// of its own.
func TestCosignatureOfOtherTextDoesNotCount(t *testing.T) {
	w, cosign := specimen()
	r := specimenRequest()
	good := cosign(specimenText, 1)
	if v, err := r.judge(w, 7, Response{200, "", []byte(good)}); err != nil || string(v.cosignature.Line) != good || v.cosignature.Time.Unix() != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	more := string(r.Checkpoint) + "more\n"
	for name, body := range map[string]string{
		"other text":       "more\n\n" + cosign(more, 1),
		"an empty line":    "\n" + good,
		"larger tree":      cosign(strings.Replace(specimenText, "\n7\n", "\n8\n", 1), 1),
		"time in the line": strings.Replace(good, "AAAAAAA", "AAAAAAB", 1),
		"not a line":       strings.TrimSuffix(good, "\n"),
		"a name like its":  strings.Replace(good, "w.example", "v.example", 1),
	} {
		if v, err := r.judge(w, 7, Response{200, "", []byte(body)}); err == nil {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// FuzzJudge: whatever a witness answers, only a verified line is a cosignature, and only a size is a size.
func FuzzJudge(f *testing.F) {
	w, cosign := specimen()
	f.Add(200, "text/plain", []byte(cosign(specimenText, 1795608000)))
	f.Add(200, "", []byte("— other AAAA\n"+cosign(specimenText, 1)))
	f.Add(409, "text/x.tlog.size", []byte("7\n"))
	f.Add(409, "TEXT/X.tlog.size; charset=utf-8", []byte("8\n"))
	f.Add(409, "", []byte("7\n"))
	f.Add(422, "", []byte(nil))
	f.Add(307, "", []byte("elsewhere"))
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte) {
		r := specimenRequest()
		v, err := r.judge(w, 7, Response{status, kind, body})
		switch {
		case err != nil:
		case status == 200:
			if line := string(v.cosignature.Line); cosign(specimenText, v.cosignature.Time.Unix()) != line || v.refused || v.size >= 0 {
				t.Errorf("%+v", v)
			}
		case status == 409 && !v.refused:
			if string(body) != fmt.Sprintf("%d\n", v.size) || v.size > 7 || v.size < 0 {
				t.Errorf("%+v from %q", v, body)
			}
		case !v.refused || status != 409 && status != 422:
			t.Errorf("%d: %+v", status, v)
		}
	})
}
