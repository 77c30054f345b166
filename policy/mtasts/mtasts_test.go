package mtasts

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

func TestRecord(t *testing.T) {
	long := strings.Repeat("a", 32)
	for _, c := range []struct {
		txts []string
		id   string
		err  error
	}{
		{[]string{"v=STSv1; id=20260101;"}, "20260101", nil},
		{[]string{"v=STSv1;id=1"}, "1", nil},
		{[]string{"v=STSv1 \t;\tid=1 ; "}, "1", nil},
		{[]string{"v=STSv1; id=" + long}, long, nil},
		{[]string{"v=STSv1; x-note=hello:there; id=1"}, "1", nil},
		{[]string{"v=spf1 -all", "v=STSv1; id=1"}, "1", nil}, // case 3
		{[]string{"v=STSv1; id=1", "v=STSv1; id=2"}, "", ErrManyRecords},
		{[]string{"v=STSv1; id=1", "v=STSv1; id=1"}, "", ErrManyRecords},
		{nil, "", ErrNoRecord},
		{[]string{"v=spf1 -all"}, "", ErrNoRecord},
		{[]string{"V=STSv1; id=1"}, "", ErrNoRecord}, // the version is case-sensitive
		{[]string{"v=stsv1; id=1"}, "", ErrNoRecord},
		{[]string{"v=STSv10; id=1"}, "", ErrNoRecord},
		{[]string{" v=STSv1; id=1"}, "", ErrNoRecord},
		{[]string{"v=STSv1"}, "", ErrNoRecord},
		{[]string{"v=STSv1;"}, "", ErrRecord},
		{[]string{"v=STSv1; id="}, "", ErrRecord},
		{[]string{"v=STSv1; ID=1"}, "", ErrRecord},
		{[]string{"v=STSv1; id=1;;"}, "", ErrRecord},
		{[]string{"v=STSv1; id=1; id=2"}, "", ErrRecord},
		{[]string{"v=STSv1; id=2026-01-01"}, "", ErrRecord},
		{[]string{"v=STSv1; id=" + long + "a"}, "", ErrRecord},
		{[]string{"v=STSv1; id=1 2"}, "", ErrRecord},
		{[]string{"v=STSv1; id=1; hello"}, "", ErrRecord},
		{[]string{"v=STSv1; id=1; .x=y"}, "", ErrRecord},
		{[]string{"v=STSv1; id=1\x00"}, "", ErrRecord},
	} {
		rec, err := ParseRecord(c.txts)
		if rec.ID != c.id || !errors.Is(err, c.err) {
			t.Errorf("%q: id %q, %v; want %q, %v", c.txts, rec.ID, err, c.id, c.err)
		}
	}
	if !errors.Is(ErrManyRecords, ErrNoRecord) {
		t.Error("two records must count as none")
	}
}

// text is a policy with the given lines in the middle.
func text(lines ...string) string {
	return "version: STSv1\n" + strings.Join(lines, "\n") + "\nmax_age: 604800\n"
}

func TestPolicy(t *testing.T) {
	plain := text("mode: enforce", "mx: mx.a.test")
	for _, c := range []struct {
		name, text string
		want       string // mode, max_age in seconds, mxs; "" when refused
		deviations int
		err        error
	}{
		{"LF (case 1)", plain, "enforce 604800 mx.a.test", 0, nil},
		{"CRLF (case 1)", strings.ReplaceAll(plain, "\n", "\r\n"), "enforce 604800 mx.a.test", 0, nil},
		{"lone CR (case 1)", strings.ReplaceAll(plain, "\n", "\r"), "", 0, ErrPolicy},
		{"CR before CRLF", strings.Replace(plain, "\n", "\r\r\n", 1), "", 0, ErrPolicy},
		{"no final line end (case 2)", strings.TrimSuffix(plain, "\n"), "enforce 604800 mx.a.test", 0, nil},
		{"trailing blanks (case 2)", strings.Replace(plain, "enforce", "enforce  \t", 1), "enforce 604800 mx.a.test", 0, nil},
		{"no blank behind the colon", strings.ReplaceAll(plain, ": ", ":"), "enforce 604800 mx.a.test", 0, nil},
		{"blank line at the end (case 2)", plain + "\n", "enforce 604800 mx.a.test", 1, nil},
		{"blank line inside", text("", "mode: none"), "none 604800", 1, nil},
		{"any order", "max_age: 1\nmx: *.a.test\nmode: testing\nmx: b.test\nversion: STSv1", "testing 1 .a.test b.test", 0, nil},
		{"none needs no mx", text("mode: none"), "none 604800", 0, nil},
		{"nmx (case 6)", text("mode: enforce", "nmx: mx.a.test"), "", 0, ErrNoMX},
		{"no mx", text("mode: testing"), "", 0, ErrNoMX},
		{"unknown field", text("mode: testing", "mx: a.test", "x-more: of this: and that"), "testing 604800 a.test", 0, nil},
		{"address beside a name (case 7)", text("mode: enforce", "mx: mail.a.test", "mx: 192.0.2.86"), "enforce 604800 mail.a.test", 1, nil},
		{"only addresses (case 7)", text("mode: enforce", "mx: 192.0.2.86", "mx: [2001:db8::1]"), "", 0, ErrNoMX},
		{"capitals in a name", text("mode: enforce", "mx: MX.A.test"), "enforce 604800 mx.a.test", 0, nil},
		{"final dot", text("mode: enforce", "mx: mx.a.test."), "enforce 604800 mx.a.test", 1, nil},
		{"the list's suffix is not MTA-STS", text("mode: enforce", "mx: .a.test", "mx: b.test"), "enforce 604800 b.test", 1, nil},
		{"star inside", text("mode: enforce", "mx: m*.a.test", "mx: b.test"), "enforce 604800 b.test", 1, nil},
		{"the same mx twice", text("mode: enforce", "mx: a.test", "mx: A.test"), "enforce 604800 a.test", 0, nil},
		{"second mode is ignored", text("mode: enforce", "mode: none", "mx: a.test"), "enforce 604800 a.test", 1, nil},
		{"capital in mode", text("mode: Enforce", "mx: a.test"), "", 0, ErrPolicy},
		{"capital in a field's name", text("Mode: enforce", "mx: a.test"), "", 0, ErrPolicy},
		{"blank before the colon", text("mode : enforce", "mx: a.test"), "enforce 604800 a.test", 1, nil},
		{"no colon", text("mode: enforce", "mx: a.test", "hello"), "", 0, ErrPolicy},
		{"no value", text("mode:", "mx: a.test"), "", 0, ErrPolicy},
		{"control character", text("mode: enforce", "mx: a.test", "x: \x1b[2J"), "", 0, ErrPolicy},
		{"other version", strings.Replace(plain, "STSv1", "STSv2", 1), "", 0, ErrPolicy},
		{"no version", strings.TrimPrefix(plain, "version: STSv1\n"), "", 0, ErrPolicy},
		{"no max_age", strings.Replace(plain, "max_age", "maxage", 1), "", 0, ErrPolicy},
		{"negative max_age", strings.Replace(plain, "604800", "-1", 1), "", 0, ErrPolicy},
		{"eleven digits", strings.Replace(plain, "604800", "00000604800", 1), "", 0, ErrPolicy},
		{"max_age at the limit", strings.Replace(plain, "604800", "31557600", 1), "enforce 31557600 mx.a.test", 0, nil},
		{"max_age over the limit (case 14)", strings.Replace(plain, "604800", "31557601", 1), "", 0, ErrPolicy},
		{"HTML", "<!doctype html>\n<p>not found: sorry\n", "", 0, ErrPolicy},
		{"empty", "", "", 0, ErrPolicy},
		{"too large", plain + strings.Repeat("x: y\n", MaxPolicyBytes/5), "", 0, ErrPolicy},
	} {
		p, err := ParsePolicy([]byte(c.text))
		got := ""
		if err == nil {
			got = fmt.Sprintf("%s %d", p.Mode, int(p.MaxAge/time.Second))
			for _, mx := range p.MXs {
				got += " " + mx.String()
			}
		}
		if got != c.want || len(p.Deviations) != c.deviations || !errors.Is(err, c.err) || p.Strict() != (c.deviations == 0) {
			t.Errorf("%s: %q %q, %v; want %q, %d deviations, %v", c.name, got, p.Deviations, err, c.want, c.deviations, c.err)
		}
	}
}

// TestStarStandsForOneLabel is case 8.
func TestStarStandsForOneLabel(t *testing.T) {
	p, err := ParsePolicy([]byte(text("mode: enforce", "mx: *.mx.microsoft", "mx: *.h-v2.mx.microsoft")))
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"t-x.mx.microsoft": true, "t-x.h-v1.mx.microsoft": false, "t-x.h-v2.mx.microsoft": true, "mx.microsoft": false,
	} {
		d, err := policy.ParseDomain(host)
		if err != nil || p.Allows(d) != want {
			t.Errorf("%s: %v, %v", host, p.Allows(d), err)
		}
	}
}

// TestTracks is case 14.
func TestTracks(t *testing.T) {
	for seconds, want := range map[int]Track{
		0: TrackNone, 3600: TrackNone, 86399: TrackNone, 86400: TrackProof, 10886399: TrackProof,
		10886400: TrackService, 31557600: TrackService,
	} {
		if got := (Policy{MaxAge: time.Duration(seconds) * time.Second}).Track(); got != want {
			t.Errorf("max_age %d: %s, want %s", seconds, got, want)
		}
	}
}

// TestMediaTypes is case 9.
func TestMediaTypes(t *testing.T) {
	for header, want := range map[string]MediaType{
		"text/plain": MediaPlain, "text/plain; charset=utf-8": MediaPlain, "Text/Plain": MediaPlain, "text/plain;x": MediaPlain,
		"": MediaMissing, "text/html": MediaOther, "text/plainer": MediaOther, "application/octet-stream": MediaOther, "plain": MediaOther,
	} {
		if got := ParseMediaType(header); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("v=STSv1; id=20260101;")
	f.Add("v=STSv1; x=y; id=1")
	f.Fuzz(func(t *testing.T, txt string) {
		rec, err := ParseRecord([]string{txt})
		if err != nil {
			if !errors.Is(err, ErrNoRecord) && !errors.Is(err, ErrRecord) {
				t.Fatalf("%q: %v", txt, err)
			}
			return
		}
		again, err := ParseRecord([]string{"v=STSv1; id=" + rec.ID})
		if err != nil || again != rec {
			t.Fatalf("%q gives %+v, which reads back as %+v, %v", txt, rec, again, err)
		}
	})
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(text("mode: enforce", "mx: *.a.test", "mx: b.test")))
	f.Add([]byte("version: STSv1\r\nmode: none\r\nmax_age: 1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePolicy(data)
		if err != nil {
			if !errors.Is(err, ErrPolicy) {
				t.Fatalf("%q: %v", data, err)
			}
			return
		}
		if len(p.MXs) == 0 && p.Mode != None {
			t.Fatalf("%q: a policy that no host satisfies", data)
		}
		// Written by the book it reads the same, without deviations.
		out := fmt.Sprintf("version: STSv1\nmode: %s\nmax_age: %d\n", p.Mode, p.MaxAge/time.Second)
		for _, mx := range p.MXs {
			out += "mx: " + mx.STS() + "\n"
		}
		again, err := ParsePolicy([]byte(out))
		if len(out) > MaxPolicyBytes {
			return
		}
		if err != nil || !again.Strict() || again.Mode != p.Mode || again.MaxAge != p.MaxAge || !slices.Equal(again.MXs, p.MXs) {
			t.Fatalf("%q reads as %+v, written again as %+v, %v", data, p, again, err)
		}
	})
}
