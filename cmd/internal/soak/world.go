package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/transparency"
	"github.com/starttls-everywhere/policylist/transparency/witness/loopback"
)

// world is everything that runs.
type world struct {
	book
	o     Options
	rnd   *rand.Rand // of faults
	edits *rand.Rand // of the source: what faults take of chance does not change it
	start time.Time  // of the list's time
	time  atomic.Int64
	trust *transparency.Trust

	places    []*place
	witnesses []*loopback.Witness
	silent    [3]atomic.Bool // witnesses that do not answer
	static    *follower
	behind    *follower // the daemon's
	daemon    *daemon
	judge     *judge
	source    source

	publisher *pipeline.Publisher
	skew      time.Duration // of the publisher's clock
	calls     fuse          // counts the operations of a release
	closers   []func()
	fault     fault
	round     int
	began     time.Time // by the machine's clock
	heap, rss []sample
}

// place is one mirror.
type place struct {
	address
	kind   string
	reader mirror.Reader // the objects themselves
	front  *front
	gw     *gateway // nil: a folder
	away   bool     // the publisher does not reach it
}

// follower is one client.
type follower struct {
	name    string
	folder  string
	client  *mirror.Client
	skew    time.Duration
	release int64 // the newest that it held
	calls   fuse  // counts the operations of an update
}

// interval is the list's time from one release to the next: longer than a publisher's clock may be off.
const interval = 15 * time.Minute

func (w *world) now() time.Time { return time.Unix(0, w.time.Load()).UTC() }

func (w *world) path(name string) string { return filepath.Join(w.o.Dir, filepath.FromSlash(name)) }

func (w *world) say(format string, args ...any) {
	if w.o.Out != nil {
		w.o.Out(format, args...)
	}
}

// newWorld makes keys, trust, witnesses, mirrors and the source, and the first release; then the clients join.
func newWorld(ctx context.Context, o Options) (_ *world, err error) {
	w := &world{o: o, rnd: rand.New(rand.NewPCG(o.Seed, 1)), edits: rand.New(rand.NewPCG(o.Seed, 2)), start: time.Now().UTC().Truncate(time.Second)}
	w.Report = Report{Seed: o.Seed, Faults: map[string]int{}, Killed: map[string]int{}, Problems: []string{}}
	w.time.Store(w.start.UnixNano())
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.trust, err = pipeline.Setup(o.Dir, pipeline.SetupOptions{Plain: true, Now: w.start}); err != nil {
		return nil, err
	}
	if err := w.addWitnesses(); err != nil {
		return nil, err
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := w.addPlace(ctx, name); err != nil {
			return nil, fmt.Errorf("mirror %s: %w", name, err)
		}
	}
	chain, err := mirror.ReadTrust(w.path(pipeline.TrustDir))
	if err != nil {
		return nil, err
	}
	w.judge = newJudge(&w.book, chain)
	if err := w.openPublisher(ctx); err != nil {
		return nil, err
	}
	if err := w.begin(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

// begin makes the first release and lets the clients join.
func (w *world) begin(ctx context.Context) error {
	w.source = newSource(w.edits)
	if err := w.source.write(w.path(pipeline.SourceDir)); err != nil {
		return err
	}
	if _, err := w.publisher.Release(ctx); err != nil {
		return err
	}
	var err error
	if w.static, err = w.join(ctx, "static"); err != nil {
		return err
	}
	if w.behind, err = w.join(ctx, "daemon"); err != nil {
		return err
	}
	if w.daemon, err = newDaemon(ctx, &w.book, w.now); err != nil {
		return err
	}
	w.lookAround(ctx)
	return w.follow(ctx)
}

// openPublisher opens the one that makes all releases but those that are to end badly. Its fields are those of its next run.
func (w *world) openPublisher(ctx context.Context) error {
	var all []address
	for _, p := range w.places {
		all = append(all, p.address)
	}
	targets, done, err := openTargets(ctx, all, nil, &w.calls)
	if err != nil {
		return err
	}
	w.closers = append(w.closers, done)
	for i, p := range w.places {
		targets[i].Store = &reached{targets[i].Store, p}
	}
	w.publisher, err = newPublisher(w.o.Dir, func() time.Time { return w.now().Add(w.skew) }, targets, &w.calls)
	return err
}

// reached is a mirror as the publisher reaches it, or not.
type reached struct {
	mirror.Store
	place *place
}

// Get implements mirror.Reader.
func (r *reached) Get(ctx context.Context, path string, limit int64) ([]byte, error) {
	if r.place.away {
		return nil, errDown
	}
	return r.Store.Get(ctx, path, limit)
}

// Put implements mirror.Store.
func (r *reached) Put(ctx context.Context, o mirror.Object) error {
	if r.place.away {
		return errDown
	}
	return r.Store.Put(ctx, o)
}

// Create implements mirror.Store.
func (r *reached) Create(ctx context.Context, o mirror.Object) error {
	if r.place.away {
		return errDown
	}
	return r.Store.Create(ctx, o)
}

// addPlace starts a mirror and its web server. The third is in a bucket, where there is a gateway.
func (w *world) addPlace(ctx context.Context, name string) error {
	p := &place{address: address{Name: name, Folder: w.path("mirror/" + name)}, kind: "folder"}
	if name == "c" {
		if err := w.addGateway(ctx, p); err != nil {
			return err
		}
	}
	if p.gw == nil {
		r, err := openReader(p.Folder)
		if err != nil {
			return err
		}
		w.closers = append(w.closers, func() { r.Close() })
		p.reader = r
	}
	var err error
	if p.front, err = serve(p.reader); err != nil {
		return err
	}
	w.closers = append(w.closers, func() { p.front.server.Close() })
	w.places = append(w.places, p)
	w.Mirrors = append(w.Mirrors, p.Name+": "+p.kind)
	return nil
}

func openReader(folder string) (*dir.Reader, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	return dir.OpenReader(folder)
}

// addGateway puts a mirror into a bucket. Where that cannot be, it stays a folder, and its kind says why.
func (w *world) addGateway(ctx context.Context, p *place) error {
	if w.o.Gateway == "" {
		p.kind = "folder, for want of versitygw, which would make it S3"
		return nil
	}
	gw, err := startGateway(ctx, w.o.Gateway, w.path("s3"))
	if err != nil {
		if w.o.S3Only {
			return fmt.Errorf("the S3 gateway %s does not start: %w", w.o.Gateway, err)
		}
		p.kind = fmt.Sprintf("folder, since versitygw does not start here (%v)", err)
		return nil
	}
	w.closers = append(w.closers, gw.close)
	name := p.Name
	p.gw, p.address, p.kind = gw, gw.address, "S3 (versitygw)"
	p.Name = name
	p.reader, _, err = gw.direct().openStore(ctx)
	return err
}

// addWitnesses starts three, and makes trust version 1 one that wants two of them. Nobody has seen the old one.
func (w *world) addWitnesses() error {
	var lines strings.Builder
	group := "group two 2"
	for i := range w.silent {
		name := fmt.Sprintf("w%d", i)
		wit, err := loopback.New(name, w.trust.LogVKey(), w.now)
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		wit.URL = "http://" + l.Addr().String()
		wit.Bend = func(rw http.ResponseWriter, _ *http.Request) bool {
			if w.silent[i].Load() {
				http.Error(rw, "down", http.StatusServiceUnavailable)
			}
			return w.silent[i].Load()
		}
		s := &http.Server{Handler: wit, ReadHeaderTimeout: 10 * time.Second}
		go s.Serve(l)
		w.closers = append(w.closers, func() { s.Close() })
		w.witnesses = append(w.witnesses, wit)
		lines.WriteString(wit.Line())
		group += " " + name
	}
	policy, err := transparency.ParseWitnessPolicy(lines.String() + group + "\nquorum two\n")
	if err != nil {
		return err
	}
	return w.signTrust(policy)
}

// trustFor is how long the trust holds: longer than any soak, by the list's time.
const trustFor = 20 * 365 * 24 * time.Hour

func (w *world) signTrust(policy transparency.WitnessPolicy) error {
	old := w.trust
	next, err := transparency.NewTrust(1, w.start.Add(trustFor), old.RootK, old.RootVKeys(), old.ReleaseK, old.ReleaseKeys(), old.LogVKey(), policy)
	if err != nil {
		return err
	}
	root, _, err := signing.Load(w.path(pipeline.RootKeyFile), signing.Password{})
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(old.RootVKeys()[0], "+")
	signer, err := root.NoteSigner(name)
	if err != nil {
		return err
	}
	if _, err := next.Sign([]note.Signer{signer}...); err != nil {
		return err
	}
	w.trust = next
	return durable.WriteFile(w.path(pipeline.TrustDir+"/1"), next.Note(), 0o644)
}

func (w *world) close() {
	for i := len(w.closers) - 1; i >= 0; i-- {
		w.closers[i]()
	}
	w.closers = nil
}

// join starts a client.
func (w *world) join(ctx context.Context, name string) (*follower, error) {
	f := &follower{name: name, folder: w.path("client/" + name)}
	var urls []string
	for _, p := range w.places {
		urls = append(urls, p.front.url)
	}
	if err := os.MkdirAll(f.folder, 0o755); err != nil {
		return nil, err
	}
	var err error
	f.client, err = newClient(f.folder, urls, func() time.Time { return w.now().Add(f.skew) }, &f.calls)
	if err != nil {
		return nil, err
	}
	_, err = mirror.Join(ctx, f.folder, f.client.Sources[0].Reader, w.trust.Digest())
	return f, err
}
