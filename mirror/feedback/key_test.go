package feedback

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSpread: days are sent at times that look random, are the same each time, and keep to the bounds; another key has others.
func TestSpread(t *testing.T) {
	a, b := testKey(t, 1), testKey(t, 2)
	hours, same := map[int]int{}, 0
	for day := march2; day < march2+500; day++ {
		due := a.Due(day)
		after := due.Sub((day + 1).Begin())
		if after < 2*time.Hour || after >= 26*time.Hour || !due.Equal(a.Due(day)) {
			t.Fatalf("%s: %s after its end", day, after)
		}
		hours[int(after.Hours())]++
		if due.Equal(b.Due(day)) || a.ReportID(day) == a.ReportID(day+1) || a.ReportID(day) == b.ReportID(day) {
			same++
		}
	}
	if len(hours) != 24 || same > 1 {
		t.Errorf("%d hours of 24, %d alike", len(hours), same)
	}
}

// TestKeyFile: a key reads back, is not replaced by accident, and not used when others can read it.
func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), KeyFile)
	if _, err := LoadKey(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	k := testKey(t, 1)
	must(t, k.Save(path, false))
	got, err := LoadKey(path)
	if must(t, err); !got.Public().Equal(k.Public()) || got.ReportID(march2) != k.ReportID(march2) {
		t.Error("another key comes back")
	}
	if err := testKey(t, 2).Save(path, false); !errors.Is(err, ErrKeyExists) {
		t.Errorf("%v", err)
	}
	must(t, testKey(t, 2).Save(path, true))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	must(t, os.Chmod(path, 0o640))
	if _, err := LoadKey(path); err == nil || !strings.Contains(err.Error(), "others") {
		t.Errorf("%v", err)
	}
	must(t, os.Chmod(path, 0o600))
	for _, text := range []string{"", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"} {
		must(t, os.WriteFile(path, []byte(text), 0o600))
		if _, err := LoadKey(path); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
	if _, err := NewKey(strings.NewReader("short")); err == nil {
		t.Error("a key of few bytes")
	}
}
