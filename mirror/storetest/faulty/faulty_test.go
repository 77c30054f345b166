package faulty_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/storetest/faulty"
)

// shelf is the least that a gateway can be.
type shelf struct {
	mu      sync.Mutex
	objects map[string]string
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, there := s.objects[r.URL.Path]
	switch {
	case r.Method == http.MethodPut:
		data, _ := io.ReadAll(r.Body)
		s.objects[r.URL.Path] = string(data)
		w.Header().Set("ETag", string(data))
	case r.Method == http.MethodDelete:
		delete(s.objects, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	case r.URL.Query().Has("list-type"):
		io.WriteString(w, "<L><Contents><Key>a</Key></Contents><Contents><Key>b</Key></Contents></L>")
	case !there:
		w.WriteHeader(http.StatusNotFound)
	default:
		w.Header().Set("ETag", held)
		io.WriteString(w, held)
	}
}

func (s *shelf) holds(path string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[path]
}

// ask returns "status body", or that there was no whole answer.
func ask(t *testing.T, method, url, body string) string {
	t.Helper()
	return askFor(t, time.Minute, method, url, body)
}

func askFor(t *testing.T, patience time.Duration, method, url, body string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.GetBody = nil // or net/http would send it a second time
	a, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return "silence"
		}
		return "broken"
	}
	defer a.Body.Close()
	data, err := io.ReadAll(a.Body)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("%d %s, silence", a.StatusCode, data)
	case err != nil:
		return fmt.Sprintf("%d %s, broken", a.StatusCode, data)
	case a.StatusCode >= 400:
		return fmt.Sprint(a.StatusCode)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.StatusCode, data))
}

// TestKinds: every kind does what it says, to what it can happen to, and the gateway has what it must.
func TestKinds(t *testing.T) {
	s := &shelf{objects: map[string]string{}}
	gateway := httptest.NewServer(s)
	defer gateway.Close()
	p := faulty.Start(t, gateway.URL, func(path string) string { return path })
	for _, c := range []struct {
		kind          faulty.Kind
		put, held     string // the answer to a write of "new!" over "old!", and what is there then
		landed        string // after Land
		get, listing  string
		again, behind string // the answer to a second write, of "two!", and what is there then
	}{
		{faulty.Error500, "500", "old!", "old!", "500", "500", "200", "two!"},
		{faulty.Error503, "503", "old!", "old!", "503", "503", "200", "two!"},
		{faulty.Error409, "409", "old!", "old!", "409", "409", "200", "two!"},
		{faulty.Error412, "412", "old!", "old!", "412", "412", "200", "two!"},
		{faulty.Reset, "broken", "old!", "old!", "broken", "broken", "200", "two!"},
		{faulty.After500, "500", "new!", "new!", "500", "500", "200", "two!"},
		{faulty.After503, "503", "new!", "new!", "503", "503", "200", "two!"},
		{faulty.After409, "409", "new!", "new!", "", "", "200", "two!"},
		{faulty.After412, "412", "new!", "new!", "", "", "200", "two!"},
		{faulty.AfterReset, "broken", "new!", "new!", "broken", "broken", "200", "two!"},
		{faulty.Overtaken, "broken", "old!", "new!", "", "", "200", "new!"},
		{faulty.Forgotten, "broken", "old!", "new!", "", "", "200", "two!"},
		{faulty.Stale, "", "", "", "200 old!", "200 <L><Contents><Key>a</Key></Contents></L>", "", ""},
		{faulty.Truncated, "", "", "", "200 ne, broken", "200 <L><Contents><Key>a</Key></Contents>, broken", "", ""},
		{faulty.Short, "", "", "", "200 ne", "200 <L><Contents><Key>a</Key></Contents>", "", ""},
		{faulty.ChangedETag, "200", "new!", "new!", "200 new!", "", "200", "two!"},
		{faulty.Slow, "silence", "new!", "new!", "200 ne, silence", "200 <L><Contents><Key>a</Key></Contents>, silence", "200", "two!"},
		{faulty.Mute, "silence", "old!", "old!", "", "", "200", "two!"},
	} {
		at := "/mirror/" + strings.ReplaceAll(string(c.kind), " ", "-")
		want := func(what, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %s: %q, want %q", c.kind, what, got, want)
			}
		}
		if c.kind.Applies("PUT") != (c.put != "") || c.kind.Applies("GET") != (c.get != "") || c.kind.Applies("LIST") != (c.listing != "") {
			t.Errorf("%s applies to PUT %v, GET %v, LIST %v", c.kind, c.kind.Applies("PUT"), c.kind.Applies("GET"), c.kind.Applies("LIST"))
		}
		patience := time.Minute
		if c.kind == faulty.Slow || c.kind == faulty.Mute {
			patience = 300 * time.Millisecond
		}
		once := func(method, name string) {
			p.Arm(faulty.One(faulty.Request{Method: method, Name: name, Nth: 1}, c.kind, 1))
		}
		if c.put != "" {
			for _, late := range []bool{true, false} {
				ask(t, "PUT", p.URL+at, "old!")
				once("PUT", at)
				want("put", askFor(t, patience, "PUT", p.URL+at, "new!"), c.put)
				want("held", s.holds(at), c.held)
				if !late {
					want("again", ask(t, "PUT", p.URL+at, "two!"), c.again)
					want("behind", s.holds(at), c.behind)
				}
				if p.Land(); late {
					want("landed", s.holds(at), c.landed)
				}
			}
		}
		ask(t, "PUT", p.URL+at, "old!")
		ask(t, "PUT", p.URL+at, "new!")
		if c.get != "" {
			once("GET", at)
			want("get", askFor(t, patience, "GET", p.URL+at, ""), c.get)
			want("get again", ask(t, "GET", p.URL+at, ""), "200 new!")
			if hits := p.Disarm(); len(hits) != 2 || hits[0].Fault != c.kind || hits[1].Fault != faulty.None {
				t.Errorf("%s: %v", c.kind, hits)
			}
		}
		if c.listing != "" {
			once("LIST", "x/")
			want("list", askFor(t, patience, "GET", p.URL+"/mirror?list-type=2&prefix=x/", ""), c.listing)
		}
	}
}

// TestStaleHistory: what is out of date is the version before, what was deleted since, or nothing where nothing is known.
func TestStaleHistory(t *testing.T) {
	s := &shelf{objects: map[string]string{"/mirror/older": "one!"}}
	gateway := httptest.NewServer(s)
	defer gateway.Close()
	p := faulty.Start(t, gateway.URL, func(string) string { return "any" })
	stale := func(path, want string) {
		t.Helper()
		p.Arm(faulty.One(faulty.Request{Method: "GET", Name: "any", Nth: 1}, faulty.Stale, 1))
		if got := ask(t, "GET", p.URL+path, ""); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	stale("/mirror/older", "404")
	ask(t, "PUT", p.URL+"/mirror/older", "two!")
	stale("/mirror/older", "200 one!")
	past := p.Remember()
	ask(t, "PUT", p.URL+"/mirror/older", "three!")
	stale("/mirror/older", "200 two!")
	ask(t, "DELETE", p.URL+"/mirror/older", "")
	stale("/mirror/older", "200 three!")
	p.Recall(past)
	stale("/mirror/older", "200 two!")
}

// TestSeeded: a schedule depends on its seed and the request alone, meets every kind, and has faults that last.
func TestSeeded(t *testing.T) {
	kinds, last := map[faulty.Kind]int{}, 0
	for seed := range uint64(200) {
		a, b := faulty.Seeded(seed, 10), faulty.Seeded(seed, 10)
		met := 0
		for n := 1; n <= 60; n++ {
			method := []string{"GET", "PUT", "LIST"}[n%3]
			r := faulty.Request{Method: method, Name: "x", Nth: n}
			k := a(r)
			if k != b(r) || k != faulty.None && !k.Applies(method) {
				t.Fatalf("seed %d: %v meets %q and %q", seed, r, k, b(r))
			}
			if k != faulty.None {
				kinds[k]++
				met++
			}
		}
		if met == 0 || met > 30 {
			t.Errorf("seed %d: %d of 60 requests meet something", seed, met)
		}
		for n := 1; n <= 60; n += 3 {
			r := func(i int) faulty.Kind { return a(faulty.Request{Method: "PUT", Name: "y", Nth: n + i}) }
			if r(0) != faulty.None && r(0) == r(1) && r(1) == r(2) {
				last++
			}
		}
	}
	if len(kinds) != len(faulty.Kinds) || last == 0 {
		t.Errorf("%d kinds of %d, lasting %d", len(kinds), len(faulty.Kinds), last)
	}
}
