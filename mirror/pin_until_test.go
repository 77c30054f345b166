package mirror

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// A pin whose end somebody has moved ends with its list all the same: an expired list is never in force by it.
func TestPinOutlivesNoList(t *testing.T) {
	w := newWorld(t, 1)
	first := w.release(many(3, policy.Testing)...)
	r := w.join(w.mirror())
	r.update()
	w.now = w.now.Add(48 * time.Hour)
	second := w.release(set("x.example", policy.Testing))
	r.update()
	pin := r.back(1, time.Time{})
	path := filepath.Join(r.Dir, pinFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	until := pin.Until.Format(time.RFC3339)
	moved := bytes.Replace(text, []byte(`"until": "`+until), []byte(`"until": "`+pin.Until.AddDate(9, 0, 0).Format(time.RFC3339)), 1)
	if bytes.Equal(moved, text) {
		t.Fatalf("no %s in %s", until, text)
	}
	if err := os.WriteFile(path, moved, 0o644); err != nil {
		t.Fatal(err)
	}
	w.now = first.Leaf.Expires.Add(-time.Second)
	r.inForce(first)
	w.now = first.Leaf.Expires
	if out := r.inForce(second); out.Pin != nil {
		t.Errorf("%+v", out.Pin)
	}
}
