package site

import (
	"context"
	"slices"
	"sync"

	"github.com/starttls-everywhere/policylist/mirror"
)

// Sink takes the site: any mirror.Store, as of the folder that a web server publishes.
type Sink interface {
	mirror.Reader
	Put(ctx context.Context, o mirror.Object) error
	Delete(ctx context.Context, path string) error
}

// Options say how to build.
type Options struct {
	Full     bool                                // write every object, whatever is there already
	Progress func(stage string, done, total int) // called now and then; nil for never
}

// Report is what a build did.
type Report struct {
	Release int64 `json:"release"`
	Domains int   `json:"domains"` // on the list
	Objects int   `json:"objects"`
	Written int   `json:"written"`
	Deleted int   `json:"deleted"`
	Bytes   int64 `json:"bytes"` // of what was written
}

// builder collects the objects of a site.
type builder struct {
	*Model
	all     []Status
	events  []Event // of all domains, newest first
	modes   map[string]int
	digits  int
	objects []object
}

// object is one file, rendered when its turn comes.
type object struct {
	path   string
	render func() ([]byte, error)
}

func (b *builder) add(path string, render func() ([]byte, error)) {
	b.objects = append(b.objects, object{path, render})
}

func newBuilder(m *Model) *builder {
	b := &builder{Model: m, all: m.statuses(), modes: map[string]int{StatusEnforce: 0, StatusTesting: 0}}
	b.digits = m.shardDigits(len(b.all))
	for _, d := range m.Domains {
		b.events = append(b.events, d.Events...)
	}
	slices.SortFunc(b.events, func(x, y Event) int { return int(y.Index - x.Index) })
	for _, p := range m.List.All() {
		b.modes[p.Mode.String()]++
	}
	return b
}

// Site is what a model looks like: its objects, each made when it has to be written or compared.
type Site struct {
	*builder

	mu      sync.Mutex
	digests map[string]string // lower-case hex SHA-256 by path, of what was made already
}

// New lists the objects of a model's site.
func New(m *Model) (*Site, error) {
	b := newBuilder(m)
	b.addAPI()
	b.addFeeds()
	if err := b.addPages(); err != nil {
		return nil, err
	}
	return &Site{builder: b, digests: make(map[string]string, len(b.objects))}, nil
}

// Build writes a model's site: New and Write.
func Build(ctx context.Context, m *Model, sink Sink, o Options) (Report, error) {
	s, err := New(m)
	if err != nil {
		return Report{}, err
	}
	return s.Write(ctx, sink, o)
}

// digest returns what an object was digested to before, "" for one that was not made yet.
func (s *Site) digest(path string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.digests[path]
}

func (s *Site) made(path, digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.digests[path] = digest
}
