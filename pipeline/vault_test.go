package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/s3"
	"github.com/starttls-everywhere/policylist/mirror/storetest"
	"github.com/starttls-everywhere/policylist/pipeline"
)

// bucket opens stores of one gateway.
type bucket struct {
	t        testing.TB
	gateway  *storetest.VersityGW
	endpoint string        // the gateway's, or that of a proxy before it
	patience time.Duration // of a request; 0 for the usual one
	pause    time.Duration // before a request is sent again, at most; 0 for the usual one
}

// noAmbientAWS hides this machine's settings and credentials from the SDK for as long as the process lasts: stores have
// those of their gateway, and a test that sets variables for itself cannot run beside another.
var noAmbientAWS sync.Once

func newBucket(t testing.TB) *bucket {
	t.Helper()
	g := storetest.StartVersityGW(t)
	noAmbientAWS.Do(func() {
		for _, v := range g.Env() {
			name, value, _ := strings.Cut(v, "=")
			os.Setenv(name, value)
		}
	})
	return &bucket{t: t, gateway: g, endpoint: g.Endpoint}
}

func (b *bucket) store(prefix string) *s3.Store {
	b.t.Helper()
	o, err := s3.Parse(b.gateway.URL(prefix))
	if err != nil {
		b.t.Fatal(err)
	}
	o.Endpoint, o.Patience, o.Pause = b.endpoint, b.patience, b.pause
	o.Credentials = credentials.NewStaticCredentialsProvider(b.gateway.AccessKey, b.gateway.SecretKey, "")
	s, err := s3.Open(b.t.Context(), o)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// remote moves an operator's state into a bucket, with nothing left on the disk between two releases.
func (o *operator) remote(store pipeline.VaultStore) *operator {
	o.State, o.Vault = "", &pipeline.Vault{Store: store}
	return o
}

// another is a second publisher with the same keys, mirrors and vault, on another machine.
func (o *operator) another(store pipeline.VaultStore) *operator {
	twin := &operator{t: o.t, dir: o.dir, now: o.now}
	twin.Publisher = twin.publisher()
	twin.Mirrors, twin.SkipVerify = o.Mirrors, o.SkipVerify
	return twin.remote(store)
}

// TestStateInABucket: every release begins with an empty folder, goes on where the last one ended, and leaves no file
// behind. The number of requests does not grow with the list's history.
func TestStateInABucket(t *testing.T) {
	b := newBucket(t)
	o := newOperator(t, "public").remote(b.store("state"))
	var client *mirror.Client
	var requests []int64
	for n := int64(1); n <= 5; n++ {
		o.write("list/domains/new.json", fmt.Sprintf(`{"policies":{"new.example":{"mode":"testing","mxs":["mx%d.new.example"]}}}`, n))
		before := o.Vault.Requests()
		if got := o.release().Leaf().Release; got != n {
			t.Fatalf("release %d, want %d", got, n)
		}
		requests = append(requests, o.Vault.Requests()-before)
		if client == nil {
			client = o.client("public", mirror.Auto)
		}
		client.Now = func() time.Time { return o.now }
		got, err := client.Update(t.Context())
		if err != nil || got.Release.Release != n {
			t.Fatal(err, got.Problems)
		}
		if o.State != "" {
			t.Errorf("the working folder %s stays", o.State)
		}
		o = o.another(b.store("state"))
	}
	replayAll(t, o.Mirrors[0].Store, o, 1, 5)
	t.Logf("requests to the state's store for each release: %v", requests)
	if requests[4] > requests[1]+60 {
		t.Errorf("requests grow: %v", requests)
	}
	leased(t, b.store("state"), false)
}

// leased fails the test unless the lease is held, or free, as wanted.
func leased(t *testing.T, store *s3.Store, want bool) {
	t.Helper()
	data, err := store.Get(t.Context(), "lease.json", 1<<12)
	if err != nil {
		t.Fatal(err)
	}
	if held := !strings.Contains(string(data), "1970-01-01"); held != want {
		t.Errorf("the lease: %s", data)
	}
}

// TestStateMovesIntoABucket: a vault that has nothing takes over the folder's state; from then on the vault is the state.
func TestStateMovesIntoABucket(t *testing.T) {
	b := newBucket(t)
	o := newOperator(t, "public")
	o.release()
	folder := o.State
	o.remote(b.store("state"))
	o.State = folder
	o.release()
	o = o.another(b.store("state"))
	o.now = o.now.Add(time.Hour)
	if got := o.release().Leaf().Release; got != 3 {
		t.Errorf("release %d", got)
	}
	// The folder is behind now, and has a release of its own that never was: it becomes what the vault has.
	twin := o.another(b.store("state"))
	twin.State = folder
	if err := os.CopyFS(filepath.Join(folder, "outbox/9"), os.DirFS(filepath.Join(folder, "outbox/2"))); err != nil {
		t.Fatal(err)
	}
	if got := twin.release().Leaf().Release; got != 4 {
		t.Errorf("release %d from an old folder", got)
	}
	replayAll(t, o.Mirrors[0].Store, o, 1, 4)
}

// TestDryRunTakesNoLease: Plan reads the state and leaves the store as it is.
func TestDryRunTakesNoLease(t *testing.T) {
	b := newBucket(t)
	o := newOperator(t, "public").remote(b.store("state"))
	o.release()
	before, err := b.store("state").Get(t.Context(), "state.json", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	o.write("list/domains/new.json", `{"policies":{"new.example":{"mode":"testing","mxs":["mx.new.example"]}}}`)
	o.now = o.now.Add(time.Hour)
	plan, _, err := o.Plan(t.Context())
	if err != nil || len(plan.Changes()) != 1 {
		t.Fatalf("%d changes, %v", len(plan.Changes()), err)
	}
	after, err := b.store("state").Get(t.Context(), "state.json", 1<<20)
	if err != nil || string(after) != string(before) {
		t.Error("the state changed")
	}
	leased(t, b.store("state"), false)
}

// stepStore calls a function before each write to a vault or mirror.
type stepStore struct {
	pipeline.VaultStore
	before func(act, path string) error
}

func (s stepStore) Swap(ctx context.Context, o mirror.Object, old []byte) error {
	if err := s.before("swap", o.Path); err != nil {
		return err
	}
	return s.VaultStore.Swap(ctx, o, old)
}

func (s stepStore) Put(ctx context.Context, o mirror.Object) error {
	if err := s.before("put", o.Path); err != nil {
		return err
	}
	return s.VaultStore.Put(ctx, o)
}

func (s stepStore) Create(ctx context.Context, o mirror.Object) error {
	if err := s.before("create", o.Path); err != nil {
		return err
	}
	return s.VaultStore.Create(ctx, o)
}

// TestSecondPublisherIsTurnedAway while the first is at work, and is told who that is; the first does not notice.
func TestSecondPublisherIsTurnedAway(t *testing.T) {
	b := newBucket(t)
	o := newOperator(t, "public")
	asked := 0
	o.remote(stepStore{b.store("state"), func(act, path string) error {
		if act != "swap" || path != "state.json" {
			return nil
		}
		asked++
		_, err := o.another(b.store("state")).Release(t.Context())
		if !errors.Is(err, pipeline.ErrLeased) || !strings.Contains(err.Error(), "until") {
			t.Errorf("the second publisher: %v", err)
		}
		return nil
	}})
	o.release()
	if asked < 4 {
		t.Errorf("%d steps only", asked)
	}
}

// TestPublisherThatSleptIsFenced: at each step in turn a publisher falls asleep until its lease is over; another one
// makes the release and the next. Waking up, the first finds that it was fenced, signs nothing more, and the mirror has
// one history.
func TestPublisherThatSleptIsFenced(t *testing.T) {
	b := newBucket(t)
	for step := 1; ; step++ {
		o := newOperator(t, "public")
		prefix := fmt.Sprintf("state%d", step)
		var mu sync.Mutex // uploads are concurrent; whoever sleeps, sleeps whole
		n, slept := 0, false
		o.remote(stepStore{b.store(prefix), func(string, string) error {
			mu.Lock()
			defer mu.Unlock()
			if n++; n != step {
				return nil
			}
			slept = true
			other := o.another(b.store(prefix))
			other.release()
			other.release()
			return nil
		}})
		o.Vault.Term = time.Nanosecond
		o.SkipVerify = true
		_, err := o.Release(t.Context())
		if !slept {
			if err != nil || step < 10 {
				t.Fatalf("step %d: %v", step, err)
			}
			return
		}
		if err != nil && !errors.Is(err, pipeline.ErrFenced) && !errors.Is(err, pipeline.ErrLeased) {
			t.Errorf("slept before write %d: %v", step, err)
		}
		after := o.another(b.store(prefix))
		after.now = o.now.Add(3 * time.Hour)
		last := after.release()
		replayAll(t, o.Mirrors[0].Store, o, 1, last.Leaf().Release)
		if last.Leaf().Release < 3 {
			t.Errorf("slept before write %d: in the end release %d", step, last.Leaf().Release)
		}
	}
}

// TestClocksOfPublishersDoNotMatter: a publisher whose clock is a day behind or ahead neither takes a lease that lasts
// nor waits for one that is over, since both ends are times of the store's clock.
func TestClocksOfPublishersDoNotMatter(t *testing.T) {
	b := newBucket(t)
	o := newOperator(t, "public")
	for _, off := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		o.remote(stepStore{b.store("state"), func(act, path string) error {
			if path == "lease.json" {
				return nil
			}
			twin := o.another(b.store("state"))
			twin.now = twin.now.Add(off)
			if _, err := twin.Release(t.Context()); !errors.Is(err, pipeline.ErrLeased) {
				t.Errorf("%v off: %v", off, err)
			}
			return nil
		}})
		o.release()
	}
}

// racing is a store whose probe finds that conditional writes race.
type racing struct{ pipeline.VaultStore }

func (racing) Probe(context.Context, string, int) (mirror.Conditions, error) {
	return mirror.Conditions{CreateOnly: true, IfMatch: true, Rounds: 40, Twice: 3}, nil
}

// TestRacingStoreWantsOnePublisher: where the store cannot decide between two writers, a name has to be configured, and
// it has to be the one that the lease has.
func TestRacingStoreWantsOnePublisher(t *testing.T) {
	b := newBucket(t)
	o := newOperator(t, "public").remote(racing{b.store("state")})
	if _, err := o.Release(t.Context()); !errors.Is(err, pipeline.ErrPublisher) {
		t.Fatalf("no name: %v", err)
	}
	o.Vault.Publisher = "ci"
	o.release()
	twin := o.another(racing{b.store("state")})
	twin.Vault.Publisher = "laptop"
	if _, err := twin.Release(t.Context()); !errors.Is(err, pipeline.ErrPublisher) || !strings.Contains(err.Error(), `"ci"`) {
		t.Errorf("another name: %v", err)
	}
	twin.Vault.Publisher = "ci"
	twin.release()
}

// TestDamagedVault: whatever is wrong with an object of the store, nothing is released from it and the mirror stays.
func TestDamagedVault(t *testing.T) {
	b := newBucket(t)
	o := newOperator(t, "public").remote(b.store("state"))
	o.release()
	store := b.store("state")
	var paths []string
	for p, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
	}
	before := objects(t, o.path("public"))
	for _, p := range paths {
		if p == "lease.json" {
			continue
		}
		data, err := store.Get(t.Context(), p, 1<<24)
		if err != nil {
			t.Fatal(err)
		}
		for name, bad := range map[string][]byte{"a bit": flipped(data, len(data)/2), "half": data[:len(data)/2], "gone": nil} {
			if bad == nil {
				err = store.Delete(t.Context(), p)
			} else {
				err = store.Put(t.Context(), mirror.Object{Path: p, Data: bad})
			}
			if err != nil {
				t.Fatal(err)
			}
			twin := o.another(b.store("state"))
			twin.now = o.now.Add(time.Hour)
			if _, err := twin.Release(t.Context()); err == nil {
				t.Errorf("%s, %s: released", p, name)
			}
			if err := errors.Join(store.Delete(t.Context(), p), store.Put(t.Context(), mirror.Object{Path: p, Data: data})); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !maps.Equal(before, objects(t, o.path("public"))) {
		t.Error("the mirror was written to")
	}
	o.release()
}
