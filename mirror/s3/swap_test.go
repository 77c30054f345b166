package s3_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/s3"
	"github.com/starttls-everywhere/policylist/mirror/storetest"
)

func lease(text string) mirror.Object { return mirror.Object{Path: "lease.json", Data: []byte(text)} }

// Swap is a compare-and-swap over bytes: absent, first, second; and who comes with old knowledge changes nothing.
func TestSwap(t *testing.T) {
	_, at := gateway(t)
	s := open(t, at("state"))
	for _, c := range []struct {
		old      []byte
		new      string
		conflict bool
	}{
		{[]byte("first"), "x", true},
		{nil, "first", false},
		{nil, "again", true},
		{[]byte("first"), "second", false},
		{[]byte("first"), "third", true},
		{[]byte("second"), "third", false},
	} {
		err := s.Swap(t.Context(), lease(c.new), c.old)
		if c.conflict != errors.Is(err, mirror.ErrConflict) || !c.conflict && err != nil {
			t.Errorf("from %q to %q: %v", c.old, c.new, err)
		}
	}
	if got := get(t, s, "lease.json"); got != "third" {
		t.Errorf("in the end: %q", got)
	}
}

// Eight writers count up together: every success is a step of its own. There may be more steps: those who were overtaken
// before they could read back.
func TestSwapLosesNothing(t *testing.T) {
	_, at := gateway(t)
	s := open(t, at("state"))
	var steps atomic.Int64
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for range 10 {
				held, err := s.Get(t.Context(), "lease.json", 100)
				n := 0
				if err == nil {
					fmt.Sscanf(string(held), "%d", &n)
				} else if held = nil; !mirror.IsAbsent(err) {
					t.Error(err)
				}
				switch err := s.Swap(t.Context(), lease(fmt.Sprintf("%d by %d", n+1, w)), held); {
				case err == nil:
					steps.Add(1)
				case !errors.Is(err, mirror.ErrConflict):
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	var last int64
	if got := get(t, s, "lease.json"); steps.Load() == 0 {
		t.Errorf("nobody succeeded: %q", got)
	} else if _, err := fmt.Sscanf(got, "%d by", &last); err != nil || last < steps.Load() || last > 80 {
		t.Errorf("%d successes ended in %q", steps.Load(), got)
	}
}

// Bodies that are on their way for a while: the gateway then cuts some of the losers off instead of answering, which is no
// reason to call the outcome unknown where reading back shows it, and none to let two win.
func TestLargeBodiesRace(t *testing.T) {
	_, at := gateway(t)
	s := open(t, at("state"))
	body := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 1<<20) }
	for round := range 4 {
		path, errs := fmt.Sprintf("blob/%d", round), make([]error, 16)
		var writers sync.WaitGroup
		for i := range errs {
			writers.Go(func() {
				o := mirror.Object{Path: path, Data: body(i)}
				if round%2 == 0 {
					errs[i] = s.Create(t.Context(), o)
				} else {
					errs[i] = s.Swap(t.Context(), o, nil)
				}
			})
		}
		writers.Wait()
		won := []int{}
		for i, err := range errs {
			switch {
			case err == nil:
				won = append(won, i)
			case !errors.Is(err, mirror.ErrConflict):
				t.Errorf("round %d, writer %d: %v", round, i, err)
			}
		}
		if held, err := s.Get(t.Context(), path, 1<<21); err != nil || len(won) != 1 || !bytes.Equal(held, body(won[0])) {
			t.Errorf("round %d: winners %v, %v", round, won, err)
		}
	}
}

func TestSwapWhoseAnswerIsLost(t *testing.T) {
	_, at := gateway(t)
	for i, c := range []struct {
		name    string
		decide  func(*http.Request) act
		unknown bool
	}{
		{"stored, then 500", always(act{forward: true, answer: 500, code: "InternalError"}), false},
		{"stored, then a reset", always(act{forward: true, answer: reset}), false},
		{"412 once, nothing stored", puts(func(n int) act {
			if n == 1 {
				return act{answer: 412, code: "PreconditionFailed"}
			}
			return pass
		}), false},
		{"not stored, 500", always(act{answer: 500, code: "InternalError"}), true},
		{"not stored, 412 for ever", always(act{answer: 412, code: "PreconditionFailed"}), true},
		{"not stored, 200", always(act{answer: 200}), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			plain := at(fmt.Sprintf("swap%d", i))
			put(t, open(t, plain), lease("old"))
			o, _ := through(t, plain, c.decide)
			err := open(t, o).Swap(t.Context(), lease("new"), []byte("old"))
			if c.unknown != errors.Is(err, s3.ErrUnknown) || !c.unknown && err != nil || errors.Is(err, mirror.ErrConflict) {
				t.Errorf("swap: %v, want unknown: %v", err, c.unknown)
			}
		})
	}
}

// A write whose outcome nobody could tell had arrived: whoever tries the same again is told that it is done, and a writer
// with other bytes still comes too late.
func TestSwapAgainAfterAnUnknownOutcome(t *testing.T) {
	_, at := gateway(t)
	plain := at("again")
	put(t, open(t, plain), lease("old"))
	o, _ := through(t, plain, func(r *http.Request) act {
		if r.Method == http.MethodPut {
			return act{forward: true, answer: reset}
		}
		return pass
	})
	reads := 0
	o, _ = through(t, o, func(r *http.Request) act {
		if r.Method == http.MethodGet {
			if reads++; reads > 1 {
				return act{answer: reset}
			}
		}
		return pass
	})
	if err := open(t, o).Swap(t.Context(), lease("new"), []byte("old")); !errors.Is(err, s3.ErrUnknown) {
		t.Errorf("swap: %v, want ErrUnknown", err)
	}
	if err := open(t, plain).Swap(t.Context(), lease("new"), []byte("old")); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if err := open(t, plain).Swap(t.Context(), lease("other"), []byte("old")); !errors.Is(err, mirror.ErrConflict) {
		t.Errorf("another writer: %v", err)
	}
}

// The store's own clock comes with every answer, also with the one that says that there is nothing.
func TestTimeOfTheStore(t *testing.T) {
	_, at := gateway(t)
	s := open(t, at("state"))
	_, absent, err := s.GetTime(t.Context(), "lease.json", 100)
	if !mirror.IsAbsent(err) {
		t.Fatal(err)
	}
	put(t, s, lease("x"))
	_, there, err := s.GetTime(t.Context(), "lease.json", 100)
	if err != nil || time.Since(absent).Abs() > time.Minute || time.Since(there).Abs() > time.Minute {
		t.Errorf("%v %v %v", absent, there, err)
	}
}

// TestProbe: a single gateway decides between two writers; two of them over one folder, which know nothing of each
// other's locks and share the requests among them, do not; nor does a store that ignores conditions.
func TestProbe(t *testing.T) {
	_, at := gateway(t)
	s := open(t, at("state"))
	c, err := s.Probe(t.Context(), "probe/1", 40)
	if err != nil || !c.Hold() || c.Rounds != 40 {
		t.Errorf("one gateway: %s, %v", c, err)
	}
	for path := range s.List(t.Context(), "") {
		t.Errorf("the probe left %s behind", path)
	}
	if c, err := open(t, deaf(t)).Probe(t.Context(), "probe/1", 40); err != nil || c.Hold() || c.CreateOnly {
		t.Errorf("a store that ignores conditions: %s, %v", c, err)
	}
}

// deaf is a store that keeps objects and takes no notice of conditions.
func deaf(t *testing.T) s3.Options {
	var mu sync.Mutex
	objects := map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		held, there := objects[r.URL.Path]
		switch {
		case r.Method == http.MethodPut:
			data, _ := io.ReadAll(r.Body)
			objects[r.URL.Path] = string(data)
		case r.Method == http.MethodDelete:
			delete(objects, r.URL.Path)
			w.WriteHeader(http.StatusNoContent)
		case !there:
			w.WriteHeader(http.StatusNotFound)
		default:
			w.Header().Set("ETag", fmt.Sprintf("%q", held))
			io.WriteString(w, held)
		}
	}))
	t.Cleanup(server.Close)
	o := options
	o.Endpoint = server.URL
	return o
}

func TestProbeOfARacingPair(t *testing.T) {
	a, b := storetest.StartRacingPair(t)
	o, err := s3.Parse(a.URL("state"))
	if err != nil {
		t.Fatal(err)
	}
	o.Credentials = static(a)
	o.Endpoint = storetest.Between(t, a.Endpoint, b.Endpoint)
	s := open(t, o)
	var c mirror.Conditions
	for i := range 20 { // a race is a matter of luck
		if c, err = s.Probe(t.Context(), fmt.Sprintf("probe/%d", i), 100); err != nil {
			t.Fatal(err)
		}
		if !c.Hold() {
			t.Log(c)
			return
		}
	}
	t.Errorf("two gateways over one folder: %s", c)
}
