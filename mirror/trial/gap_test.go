package trial

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTallyGapOfTooMuch: of a log that has grown by more than is read at once the end is read, and the gap told.
func TestTallyGapOfTooMuch(t *testing.T) {
	log := logFile{t, filepath.Join(t.TempDir(), "mail.log")}
	must(t, os.WriteFile(log.path, nil, 0o644))
	must(t, os.Truncate(log.path, maxRead+100)) // a hole, which takes no disk
	log.add("\n" + story(2)[0])
	var tally Tally
	r, err := tally.Read(log.path, at, listing(t, map[string]string{"a.example": "mx.a.example"}))
	if must(t, err); !r.Gap || len(tally.Domains) != 1 {
		t.Errorf("%+v %s", r, tally.sums())
	}
}
