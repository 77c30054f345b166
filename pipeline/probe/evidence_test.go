package probe

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/canonical"
)

// vantageKey is fixed, so that evidence in tests can be repeated.
func vantageKey(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

// scan writes the evidence of a small lab: a good domain, a broken one, one that greets with terminal escapes.
func scan(t testing.TB, key ed25519.PrivateKey, change func(*Options)) []byte {
	t.Helper()
	l := startLab(t)
	var targets []Target
	for name, b := range map[string]lab.Behaviour{
		"a.example": lab.Good, "b.example": lab.NoStartTLS, "c.example": lab.Garbage,
	} {
		must(t, l.AddHost(lab.Host{Name: "mx." + name, Behaviour: b}))
		must(t, l.AddDomain(lab.Domain{Name: name, MX: []string{"mx." + name}}))
		targets = append(targets, Target{Domain: domain(name), Policy: enforce(t, name, "mx.@")})
	}
	slices.SortFunc(targets, func(a, b Target) int { return strings.Compare(a.Domain.String(), b.Domain.String()) })
	p := newProber(t, l, false, change)
	header, err := p.Header(t.Context(), "")
	must(t, err)
	var out bytes.Buffer
	w, err := NewEvidence(&out, header)
	must(t, err)
	must(t, p.Each(t.Context(), targets, w.Add))
	if key != nil {
		must(t, w.Sign(key))
	}
	return out.Bytes()
}

func TestEvidenceIsReadBack(t *testing.T) {
	file := scan(t, vantageKey(1), func(o *Options) { o.Canary = domain("a.example") })
	e, err := ReadEvidence(bytes.NewReader(file), MaxEvidence)
	must(t, err)
	must(t, e.Verify(vantageKey(1).Public().(ed25519.PublicKey)))
	if err := e.Verify(vantageKey(2).Public().(ed25519.PublicKey)); !errors.Is(err, ErrEvidence) {
		t.Errorf("another vantage's key: %v", err)
	}
	if len(e.Records) != 3 || e.Records[domain("a.example")].Verdict != Pass || e.Records[domain("b.example")].Verdict != Fail {
		t.Errorf("records %+v", e.Records)
	}
	if e.Header.Canary == nil || e.Header.Canary.Verdict != Pass || e.Header.Vantage != "lab" {
		t.Errorf("header %+v", e.Header)
	}
	for i, c := range file {
		if (c < 0x20 || c > 0x7e) && c != '\n' {
			t.Fatalf("byte %#x at offset %d would reach a terminal", c, i)
		}
	}
	if !bytes.Contains(file, []byte(`\\x1b[2J`)) {
		t.Error("the hostile greeting is not shown")
	}
}

// TestEvidenceTampered flips bytes of a signed file in turn: none may go unnoticed.
func TestEvidenceTampered(t *testing.T) {
	file := scan(t, vantageKey(1), nil)
	pub := vantageKey(1).Public().(ed25519.PublicKey)
	for i := 0; i < len(file); i += everyNth() {
		bad := bytes.Clone(file)
		bad[i] ^= 1
		e, err := ReadEvidence(bytes.NewReader(bad), MaxEvidence)
		if err == nil {
			err = e.Verify(pub)
		}
		if !errors.Is(err, ErrEvidence) {
			t.Fatalf("byte %d (%q) flipped: %v", i, file[i], err)
		}
	}
}

func TestEvidenceRefused(t *testing.T) {
	lines := strings.SplitAfter(string(scan(t, vantageKey(1), nil)), "\n")
	header, a, b, signature := lines[0], lines[1], lines[2], lines[4]
	cases := map[string]string{
		"empty":                     "",
		"no header":                 a,
		"two headers":               header + header,
		"a domain twice":            header + a + a,
		"last line without end":     header + strings.TrimSuffix(a, "\n"),
		"an empty line":             header + "\n" + a,
		"white space":               header + strings.Replace(a, `,"codes"`, `, "codes"`, 1),
		"a name in capitals":        header + strings.Replace(a, `{"at"`, `{"At":"x","at"`, 1),
		"unknown keys unsorted":     header + strings.Replace(a, `{"at"`, `{"zz":1,"at"`, 1),
		"domains unsorted":          header + b + a,
		"keys in another order":     header + strings.Replace(a, `"codes":[],"domain":"a.example"`, `"domain":"a.example","codes":[]`, 1),
		"a key twice":               header + strings.Replace(a, `"codes":[]`, `"codes":[],"codes":[]`, 1),
		"null":                      header + strings.Replace(a, `"codes":[]`, `"codes":null`, 1),
		"an escaped letter":         header + strings.Replace(a, `"lab"`, `"l\u0061b"`, 1),
		"a control character":       header + strings.Replace(a, `"tool":"test"`, `"tool":"te\u001bst"`, 1),
		"an unknown verdict":        header + strings.Replace(a, `"verdict":"pass"`, `"verdict":"fine"`, 1),
		"capitals":                  header + strings.Replace(a, `"domain":"a.example"`, `"domain":"A.example"`, 1),
		"since later than at":       header + strings.Replace(a, `"since":"2`, `"since":"3`, 1),
		"another vantage":           header + strings.Replace(a, `"vantage":"lab"`, `"vantage":"den"`, 1),
		"signature of other lines":  header + a + signature,
		"lines after the signature": strings.Join(lines, "") + b,
		"a line too long":           header + `{"at":"` + strings.Repeat("x", maxLine) + "\"}\n",
		"bytes behind the object":   header + strings.Replace(a, "}\n", "}}\n", 1),
	}
	for name, text := range cases {
		if _, err := ReadEvidence(strings.NewReader(text), MaxEvidence); !errors.Is(err, ErrEvidence) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadEvidence(strings.NewReader(header+a+b), int64(len(header)+len(a))); !errors.Is(err, ErrEvidence) {
		t.Errorf("a file over the limit: %v", err)
	}
	e, err := ReadEvidence(strings.NewReader(header+a+b), MaxEvidence)
	must(t, err)
	if err := e.Verify(vantageKey(1).Public().(ed25519.PublicKey)); !errors.Is(err, ErrEvidence) {
		t.Errorf("unsigned file: %v", err)
	}
}

// TestSince follows one domain through scans an hour apart: the time stays while the verdict does.
func TestSince(t *testing.T) {
	clock := &fakeClock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	l, err := lab.Start(t.Context(), lab.Options{Now: clock.Now})
	must(t, err)
	t.Cleanup(l.Close)
	d := domain("a.example")
	must(t, l.AddHost(lab.Host{Name: "mx.a.example"}))
	must(t, l.AddDomain(lab.Domain{Name: "a.example", MX: []string{"mx.a.example"}}))
	var previous map[policy.Domain]Past
	for i, step := range []struct {
		behaviour lab.Behaviour
		verdict   Verdict
		since     string
	}{
		{lab.Good, Pass, "12:00:00"}, {lab.Good, Pass, "12:00:00"}, {lab.Expired, Fail, "14:00:00"},
		{lab.NoStartTLS, Fail, "14:00:00"}, {lab.Good, Pass, "16:00:00"},
	} {
		must(t, l.SetBehaviour("mx.a.example", step.behaviour))
		r := probeOne(t, newProber(t, l, false, func(o *Options) { o.Clock, o.Previous = clock, previous }), Target{Domain: d})
		if got := r.Since.Format(time.TimeOnly); r.Verdict != step.verdict || got != step.since {
			t.Errorf("scan %d: %s since %s, want %s since %s", i, r.Verdict, got, step.verdict, step.since)
		}
		var file bytes.Buffer
		w, err := NewEvidence(&file, Header{Format: evidenceFormat, Kind: "header", Vantage: "lab", Roots: rootsOf(r), Started: formatTime(clock.Now())})
		must(t, err)
		must(t, w.Add(r))
		previous, err = ReadPast(&file, MaxEvidence, "lab")
		must(t, err)
		clock.Sleep(context.Background(), time.Hour)
	}
}

func rootsOf(r Result) string {
	var rec Record
	if err := readCanonical(r.Line, &rec); err != nil {
		panic(err)
	}
	return rec.Roots
}

// TestLineKeysAreSorted holds the types to what makes encoding/json canonical.
func TestLineKeysAreSorted(t *testing.T) {
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice:
			walk(typ.Elem())
		case reflect.String, reflect.Uint, reflect.Uint16:
		case reflect.Struct:
			var keys []string
			for i := range typ.NumField() {
				if !typ.Field(i).IsExported() {
					continue // what the judge needs and evidence does not show
				}
				key, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
				keys = append(keys, key)
				walk(typ.Field(i).Type)
			}
			if !slices.IsSorted(keys) || slices.Contains(keys, "") {
				t.Errorf("%s: keys %q", typ, keys)
			}
		default:
			t.Errorf("%s cannot stand in canonical JSON", typ)
		}
	}
	for _, v := range []any{Header{}, Record{}, signatureLine{}} {
		walk(reflect.TypeOf(v))
	}
}

// onPaper is a file of evidence about servers that never were, for where no lab is wanted.
func onPaper(t testing.TB, key ed25519.PrivateKey) []byte {
	t.Helper()
	p, err := New(Options{Resolver: netip.MustParseAddrPort("127.0.0.1:53"), EHLO: "probe.operator.example", Vantage: "paper"})
	must(t, err)
	header, err := p.Header(t.Context(), "1/2")
	must(t, err)
	var out bytes.Buffer
	w, err := NewEvidence(&out, header)
	must(t, err)
	for _, s := range []Session{{Address: "192.0.2.1", Stage: StageConnect, Failure: FailUnreachable}, goodSession()} {
		target := Target{Domain: domain(strings.ToLower(string(s.Stage)) + ".example"), Policy: enforce(t, "a.example", ".@")}
		o := oneHost(s)
		must(t, w.Add(p.result(target, o, Judge(target.Domain, o, target.Policy, judgedAt, 0))))
	}
	must(t, w.Sign(key))
	if _, err := ReadEvidence(bytes.NewReader(out.Bytes()), MaxEvidence); err != nil {
		t.Fatalf("a seed that is refused teaches a fuzzer little: %v", err)
	}
	return out.Bytes()
}

func FuzzReadEvidence(f *testing.F) {
	f.Add(onPaper(f, vantageKey(1)))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ReadEvidence(bytes.NewReader(data), 1<<20)
		if err != nil {
			return
		}
		// What is accepted is canonical, and a record that is written again is read as the same one.
		lines := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
		for _, line := range lines {
			if _, err := canonical.Members(line); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
		for d, r := range e.Records {
			var again Record
			if err := readCanonical(appendLine(nil, r), &again); err != nil || !reflect.DeepEqual(r, again) {
				t.Fatalf("%s comes back differently (%v): %+v", d, err, again)
			}
		}
	})
}
