package tlsrpt_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

func codes(r *tlsrpt.Report) (all []tlsrpt.Code) {
	for _, n := range r.Notes {
		all = append(all, n.Code)
	}
	return all
}

// What stands behind the gzip trailer is no part of the report, a second gzip member is (case 11).
func TestGzip(t *testing.T) {
	half := len(plain) / 2
	packed := zip(t, plain)
	for _, c := range []struct {
		name string
		data []byte
		note bool
	}{
		{"a line end behind", append(bytes.Clone(packed), "\r\n"...), true},
		{"a footer behind", append(bytes.Clone(packed), strings.Repeat("\x00scanned", 1000)...), true},
		{"a second header that is none", append(bytes.Clone(packed), 0x1f, 0x8b, 8), true},
		{"a second member that is damaged", append(bytes.Clone(packed), append(bytes.Clone(packed[:60]), "\xff\xff\xff\xff\xff"...)...), true},
		{"no trailer", packed[:len(packed)-8], true},
		{"half a trailer", packed[:len(packed)-3], true},
		{"two members", append(zip(t, plain[:half]), zip(t, plain[half:])...), false},
		{"two members and a line end", append(append(zip(t, plain[:half]), zip(t, plain[half:])...), '\n'), true},
		{"an empty member behind", append(bytes.Clone(packed), zip(t, "")...), false},
		{"line ends in front", append([]byte("\r\n\r\n"), packed...), false},
	} {
		r, err := tlsrpt.Read(c.data, tlsrpt.DefaultLimits())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if r.Policies[0].Successful != 5326 || slices.Contains(codes(r), tlsrpt.NoteTrailer) != c.note {
			t.Errorf("%s: %v", c.name, r.Notes)
		}
	}
	if _, err := tlsrpt.Read(bytes.Repeat(zip(t, " "), 100_000), tlsrpt.DefaultLimits()); !errors.Is(err, tlsrpt.ErrLimit) {
		t.Errorf("a hundred thousand members: %v", err)
	}
	wrong := bytes.Clone(packed)
	wrong[len(wrong)-8] ^= 1
	if _, err := tlsrpt.Read(wrong, tlsrpt.DefaultLimits()); !errors.Is(err, tlsrpt.ErrFormat) {
		t.Errorf("a wrong checksum: %v", err)
	}
	bomb := append(bytes.Clone(packed), zip(t, strings.Repeat("\x00", 1<<20))...)
	if _, err := tlsrpt.Read(bomb, tlsrpt.DefaultLimits()); !errors.Is(err, tlsrpt.ErrLimit) {
		t.Errorf("a bomb in the second member: %v", err)
	}
}

// Beyond a limit of detail the rest is left out with a note, and the summaries still count all.
func TestLimits(t *testing.T) {
	limits := tlsrpt.DefaultLimits()
	limits.Details, limits.Strings, limits.Text, limits.Notes = 10, 3, 40, 5
	detail := `{"result-type":"certificate-expired","failed-session-count":1,"failure-reason-code":"` + strings.Repeat("é", 30) + `"},`
	entry := fmt.Sprintf(`{"policy":{"policy-type":"sts","policy-domain":"d.example","mx-host":["a.example","b.example","c.example","d.example"]},`+
		`"summary":{"total-successful-session-count":1,"total-failure-session-count":90},"failure-details":[%s{}]}`, strings.Repeat(detail, 9))
	r, err := tlsrpt.Read([]byte(ranged(strings.Repeat(entry+",", 9)+entry)), limits)
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, p := range r.Policies {
		kept += len(p.Details)
		if p.Failed != 90 || len(p.MXHosts) != 3 {
			t.Errorf("%+v", p)
		}
		for _, d := range p.Details {
			if len(d.Reason) > 40 || strings.Trim(d.Reason, "é") != "" {
				t.Errorf("%q", d.Reason)
			}
		}
	}
	if kept != 10 || len(r.Policies) != 10 || len(r.Notes) != 5 || r.Unnoted == 0 {
		t.Errorf("%d details in %d policies, %d notes and %d more", kept, len(r.Policies), len(r.Notes), r.Unnoted)
	}
}

// Hostile documents cost little, whatever they are made of. What was allocated in all is an upper bound of what was in use.
func TestReadMemory(t *testing.T) {
	const mb = 1 << 20
	for name, c := range map[string]struct {
		data []byte
		most uint64
	}{
		"1 MB of zeros":           {zip(t, strings.Repeat("\x00", mb)), 5 * mb},
		"16 MB of zeros":          {zip(t, strings.Repeat("\x00", 16*mb)), 40 * mb},
		"a million nested arrays": {[]byte(`{"policies":` + strings.Repeat("[", 1e6)), mb},
		"the same in gzip":        {zip(t, `{"policies":`+strings.Repeat("[", 1e6)), 3 * mb},
		"a million empty arrays":  {[]byte(`{"x":[` + strings.Repeat("[],", 1e6) + `[]]}`), mb},
		"a million empty objects": {[]byte(`{"policies":[` + strings.Repeat("{},", 1e6) + `{}]}`), 2 * mb},
		"a million details":       {[]byte(ranged(`{"failure-details":[` + strings.Repeat("{},", 1e6) + `{}]}`)), 40 * mb},
		"a million keys":          {[]byte(`{` + strings.Repeat(`"k":1,`, 5e5) + `"k":1}`), 25 * mb},
		"a key a million times":   {[]byte(`{` + strings.Repeat(`"report-id":"x",`, 2e5) + `"k":1}`), 20 * mb},
		"a string of 3 MB":        {[]byte(`{"report-id":"` + strings.Repeat("x", 3*mb) + `"}`), mb},
		"the same with escapes":   {[]byte(`{"report-id":"` + strings.Repeat(`\u0041`, mb/2) + `"}`), mb},
		"a key of 3 MB":           {[]byte(`{"` + strings.Repeat("x", 3*mb) + `":1}`), mb},
		"a number of 3 MB":        {[]byte(`{"report-id":` + strings.Repeat("1", 3*mb) + `}`), mb},
		"half a report, packed":   {zip(t, strings.Repeat(plain, 2)[:len(plain)/2]), mb},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := tlsrpt.Read(c.data, tlsrpt.DefaultLimits())
		runtime.ReadMemStats(&after)
		spent := after.TotalAlloc - before.TotalAlloc
		t.Logf("figures: %s: %d KB of input, %d KB allocated, %.80v", name, len(c.data)>>10, spent>>10, err)
		if spent > c.most {
			t.Errorf("%s: %d bytes were allocated, the most is %d", name, spent, c.most)
		}
	}
}
