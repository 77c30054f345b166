package mta

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// file is what a format writes.
func file(t testing.TB, f Format, l policy.List) ([]byte, Report) {
	t.Helper()
	var out Buffer
	report, err := f.Write(&out, l.All(), header)
	if err != nil {
		t.Fatalf("%s: %v", f.Name, err)
	}
	if n := report.Emitted + report.Testing + len(report.Refused); n != l.Len() {
		t.Errorf("%s: %d of %d entries accounted for", f.Name, n, l.Len())
	}
	return out.Bytes(), report
}

// cdbRecords lists a database's records in the order of the file, one "key -> value" a line.
func cdbRecords(t testing.TB, data []byte) string {
	t.Helper()
	end := uint32(len(data))
	for i := range uint32(cdbTables) {
		end = min(end, binary.LittleEndian.Uint32(data[i*8:]))
	}
	var out strings.Builder
	for at := uint32(cdbHeader); at < end; {
		klen, vlen := binary.LittleEndian.Uint32(data[at:]), binary.LittleEndian.Uint32(data[at+4:])
		fmt.Fprintf(&out, "%s -> %s\n", data[at+8:at+8+klen], data[at+8+klen:at+8+klen+vlen])
		at += 8 + klen + vlen
	}
	return out.String()
}

// readable is a file as a person sees it.
func readable(t testing.TB, f Format, data []byte) []byte {
	if f.Name == "exim" {
		return []byte(cdbRecords(t, data))
	}
	return data
}

func TestEachFormat(t *testing.T) {
	for _, f := range Formats() {
		data, report := file(t, f, example(t))
		golden(t, f.Name+".golden", readable(t, f, data))
		if again, _ := file(t, f, example(t)); !bytes.Equal(again, data) {
			t.Errorf("%s: two runs, two files", f.Name)
		}
		if testing := 2; f.Name != "hints" && (report.Testing != testing || report.Emitted != 5) {
			t.Errorf("%s: %+v", f.Name, report)
		}
		var expired Buffer
		if err := f.Empty(&expired, header, Expired); err != nil {
			t.Fatal(err)
		}
		golden(t, f.Name+"-expired.golden", readable(t, f, expired.Bytes()))
		if left := read(t, f, expired.Bytes()); len(left) > 0 {
			t.Errorf("%s: an expired list still has %v", f.Name, left)
		}
		if g, ok := FindFormat(f.Name); !ok || g.File != f.File {
			t.Errorf("%s is not found", f.Name)
		}
		if s := f.Settings("/where/it/is"); strings.Contains(s, "@FILE@") || !strings.Contains(s, "/where/it/is") || !strings.HasSuffix(s, "\n") {
			t.Errorf("%s: settings that do not name the file:\n%s", f.Name, s)
		}
	}
	if _, ok := FindFormat("postfix"); ok {
		t.Error("Postfix is none of these")
	}
}

// read returns a file's entries as its server takes them, strictly: what no entry may be is an error.
func read(t testing.TB, f Format, data []byte) map[string]string {
	t.Helper()
	entries := map[string]string{}
	if f.Name == "json" {
		var got struct {
			Origin, Expires, List string
			Release               uint64
			Policies              map[string][]string
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		if err := d.Decode(&got); err != nil || got.Release != header.Release || got.Origin != header.Origin {
			t.Fatalf("%v\n%s", err, data)
		}
		for domain, mxs := range got.Policies {
			entries[domain] = strings.Join(mxs, " : ")
		}
		return entries
	}
	for line := range strings.Lines(string(readable(t, f, data))) {
		line, whole := strings.CutSuffix(line, "\n")
		if !whole || line == "" || line[0] == ' ' || line[0] == '\t' {
			t.Fatalf("%s: line %q", f.Name, line)
		}
		if line[0] == '#' || line[0] == ';' || line == "[outbound]" || line+"\n" == nobody {
			continue
		}
		key, value := line, ""
		switch f.Name {
		case "exim":
			key, value, _ = strings.Cut(line, " -> ")
		case "sendmail", "sendmail-sts":
			key, value, _ = strings.Cut(line, "\t")
			key = strings.TrimPrefix(key, "TLS_Rcpt:")
		case "haraka":
			key = strings.TrimPrefix(line, "force_tls_hosts[]=")
		}
		if _, err := policy.ParseDomain(key); err != nil {
			t.Fatalf("%s: line %q: %v", f.Name, line, err)
		}
		if _, twice := entries[key]; twice {
			t.Errorf("%s: %s twice", f.Name, key)
		}
		entries[key] = value
	}
	return entries
}

// value is what a format says of a domain besides its name.
func value(f Format, p policy.Policy) string {
	var names, sts []string
	for _, mx := range p.MXs {
		names, sts = append(names, mx.String()), append(sts, mx.STS())
	}
	switch f.Name {
	case "exim", "json":
		return strings.Join(sts, " : ")
	case "sendmail":
		return "TEMP+VERIFY:128+CN"
	case "sendmail-sts":
		return "secure match=" + strings.Join(names, ":") + " servername=hostname"
	}
	return ""
}

// The names that look most like something else, and the longest: what goes in comes out, and nothing beside it.
func TestFormatsOfTheWorstNames(t *testing.T) {
	label := strings.Repeat("a", 63)
	long := strings.Join([]string{label, label, label, strings.Repeat("b", 53) + ".example"}, ".")
	worst := []string{
		long, "xn--bcher-kva.example", "match.secure", "true.null", "0.0.0.0.x", "1e3.e5", "end.outbound", "mxs.policies", "expires.origin",
		"a--b.c-d", "hasownproperty.constructor", "localhost.localdomain", "127.0.0.1.example", "tls-rcpt.ok", strings.Repeat("1.", 120) + "x",
	}
	var entries []policy.Entry
	for _, name := range worst {
		p := rule(t, policy.Enforce, name, "."+name)
		if len(name)+1 > 253 {
			p = rule(t, policy.Enforce, name)
		}
		entries = append(entries, policy.Entry{Domain: domain(t, name), Policy: p})
	}
	var sixteen []string
	for i := range policy.MaxMXs {
		sixteen = append(sixteen, fmt.Sprintf("%c%s", 'a'+i, long[1:]))
	}
	entries = append(entries, policy.Entry{Domain: domain(t, "sixteen.example"), Policy: rule(t, policy.Enforce, sixteen...)})
	l := list(t, entries...)
	for _, f := range Formats() {
		data, _ := file(t, f, l)
		got := read(t, f, data)
		for d, p := range l.All() {
			if v, ok := got[d.String()]; !ok || v != value(f, p) {
				t.Errorf("%s: %s: %q, want %q", f.Name, d, v, value(f, p))
			}
		}
		if len(got) != l.Len() {
			t.Errorf("%s: %d entries, want %d: %v", f.Name, len(got), l.Len(), slices.Sorted(maps.Keys(got)))
		}
	}
}

// Values that only a broken caller can make are counted and left out; the rest of each file stands.
func TestFormatsRefuse(t *testing.T) {
	cases := spoiled(t)
	for _, f := range Formats() {
		var out Buffer
		report, err := f.Write(&out, func(yield func(policy.Domain, policy.Policy) bool) {
			for _, e := range cases {
				if !yield(e.Domain, e.Policy) {
					return
				}
			}
		}, header)
		if err != nil {
			t.Fatal(err)
		}
		got := read(t, f, out.Bytes())
		if len(got) != 1 || report.Emitted != 1 || len(report.Refused) != 6 {
			t.Errorf("%s: %v, %+v", f.Name, got, report)
		}
		for _, r := range report.Refused {
			if !errors.Is(r.Err, ErrUnusable) {
				t.Errorf("%s: %s: %v", f.Name, r.Domain, r.Err)
			}
		}
	}
}

func TestFormatsFail(t *testing.T) {
	l := many(t, 20_000)
	for _, f := range Formats() {
		for _, origin := range []string{"", "list.example\nevil.example  may", "a\x00", "list\u2028"} {
			var out Buffer
			_, err := f.Write(&out, l.All(), Header{Origin: origin})
			if errExpired := f.Empty(&out, Header{Origin: origin}, Expired); !errors.Is(err, ErrHeader) || !errors.Is(errExpired, ErrHeader) || len(out.Bytes()) > 0 {
				t.Errorf("%s, origin %q: %v, %v", f.Name, origin, err, errExpired)
			}
		}
		if err := f.Empty(&Buffer{}, header, "off\nevil.example"); !errors.Is(err, ErrHeader) {
			t.Errorf("%s: a reason of two lines: %v", f.Name, err)
		}
		reversed := func(yield func(policy.Domain, policy.Policy) bool) {
			for _, e := range slices.Backward(l.Entries()) {
				if !yield(e.Domain, e.Policy) {
					return
				}
			}
		}
		if _, err := f.Write(&Buffer{}, reversed, header); !errors.Is(err, ErrOrder) {
			t.Errorf("%s: unsorted: %v", f.Name, err)
		}
		for _, room := range []int{0, flushSize + 10_000} {
			if _, err := f.Write(&smallDisk{room: room}, l.All(), header); err == nil {
				t.Errorf("%s: a full disk went unnoticed", f.Name)
			}
		}
	}
}

// Whatever name the types accept, each file has exactly the one entry.
func FuzzFormats(f *testing.F) {
	f.Add("a.example", ".mx.a.example")
	f.Add("a.example\nb.example", "mx.a.example protocols=!TLSv1.3")
	f.Add("{a}.example", "mx:evil.example")
	f.Fuzz(func(t *testing.T, name, pattern string) {
		d, err1 := policy.ParseDomain(name)
		m, err2 := policy.ParseMXPattern(pattern)
		if err1 != nil || err2 != nil {
			return
		}
		p, err := policy.NewPolicy(policy.Enforce, []policy.MXPattern{m})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range Formats() {
			data, _ := file(t, f, list(t, policy.Entry{Domain: d, Policy: p}))
			if got := read(t, f, data); len(got) != 1 || got[name] != value(f, p) {
				t.Errorf("%s: %q", f.Name, got)
			}
		}
	})
}
