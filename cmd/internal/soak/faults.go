package soak

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/transparency"
)

// kind is one way in which something goes wrong.
type kind string

const (
	publisherKilled kind = "publisher killed mid-release"
	publisherFull   kind = "publisher's disk full"
	publisherClock  kind = "publisher's clock stepped"
	mirrorDown      kind = "mirror down"
	mirrorSlow      kind = "mirror slow"
	mirrorShort     kind = "mirror truncating"
	mirrorRewound   kind = "mirror rewound"
	mirrorOld       kind = "mirror serving old"
	s3Errors        kind = "S3 errors"
	witnessDown     kind = "witnesses down"
	clientKilled    kind = "client killed mid-update"
	clientFull      kind = "client's disk full"
	clientClock     kind = "client's clock stepped"
	clientDamaged   kind = "client's files damaged"
)

// kinds are all there are, of which s3Errors needs a gateway.
var kinds = []kind{publisherKilled, publisherFull, publisherClock, mirrorDown, mirrorSlow, mirrorShort, mirrorRewound, mirrorOld,
	s3Errors, witnessDown, clientKilled, clientFull, clientClock, clientDamaged}

// shots is how often a fault of one moment strikes while it is with us.
const shots = 3

// fault is what goes wrong at present.
type fault struct {
	kind     kind      // "": nothing
	place    int       // of the mirror that it is about, where it is about one
	follower *follower // of the client
	shots    int
	heal     func() // takes it back; nil: it is over by itself
}

// deck gives out the kinds in an order that the seed decides, each once before any comes again.
type deck struct {
	rnd  *rand.Rand
	all  []kind
	left []kind
}

func (d *deck) draw() kind {
	if len(d.left) == 0 {
		for _, i := range d.rnd.Perm(len(d.all)) {
			d.left = append(d.left, d.all[i])
		}
	}
	k := d.left[0]
	d.left = d.left[1:]
	return k
}

// kinds are those that this world can have.
func (w *world) kinds() []kind {
	var out []kind
	if w.o.only != nil {
		return w.o.only
	}
	for _, k := range kinds {
		if k != s3Errors || w.bucketPlace() != nil {
			out = append(out, k)
		}
	}
	return out
}

// bucketPlace is the mirror that is a bucket; nil for none.
func (w *world) bucketPlace() *place {
	for _, p := range w.places {
		if p.gw != nil {
			return p
		}
	}
	return nil
}

// strike begins a fault.
func (w *world) strike(ctx context.Context, k kind) (fault, error) {
	f := fault{kind: k, shots: shots}
	f.follower = []*follower{w.static, w.behind}[w.rnd.IntN(2)]
	f.place = w.rnd.IntN(len(w.places))
	p := w.places[f.place]
	detail := "mirror " + p.Name
	switch k {
	case publisherKilled, publisherFull:
		detail = fmt.Sprintf("%d times", shots)
	case publisherClock:
		w.skew = w.step(9 * time.Minute)
		f.heal, detail = func() { w.skew = 0 }, w.skew.String()
	case mirrorDown:
		p.away = true
		p.front.behave(down, nil)
		f.heal = func() { p.away = false; p.front.behave(honest, nil) }
	case mirrorSlow:
		p.front.behave(slow, nil)
	case mirrorShort:
		p.front.behave(truncating, nil)
	case mirrorRewound, mirrorOld:
		back := int64(0)
		if k == mirrorRewound {
			back = 1 + w.rnd.Int64N(20)
		}
		served, release, err := w.past(ctx, p, back)
		if err != nil {
			return f, err
		}
		p.front.behave(old, served)
		detail += fmt.Sprintf(" with release %d", release)
	case s3Errors:
		detail = w.disturbBucket()
	case witnessDown:
		n := 1 + w.rnd.IntN(2) // two are no quorum
		for _, i := range w.rnd.Perm(len(w.silent))[:n] {
			w.silent[i].Store(true)
		}
		f.heal, detail = w.rouse, fmt.Sprintf("%d of %d", n, len(w.silent))
	case clientKilled, clientFull, clientDamaged:
		detail = fmt.Sprintf("%s, %d times", f.follower.name, shots)
	case clientClock:
		f.follower.skew = w.step(6 * time.Hour)
		f.heal, detail = func() { f.follower.skew = 0 }, fmt.Sprintf("%s, %s", f.follower.name, f.follower.skew)
	}
	if f.heal == nil {
		f.heal = func() { p.front.behave(honest, nil); w.calm() }
	}
	w.note(func(r *Report) { r.Faults[string(k)]++ })
	w.say("  %8s  release %d: %s: %s", time.Since(w.began).Round(time.Second), w.judge.newest(), k, detail)
	return f, nil
}

// step is up to most, back or forth, in whole minutes, and not none.
func (w *world) step(most time.Duration) time.Duration {
	d := time.Duration(1+w.rnd.Int64N(int64(most/time.Minute))) * time.Minute
	if w.rnd.IntN(2) == 0 {
		return -d
	}
	return d
}

// rouse lets all witnesses answer again.
func (w *world) rouse() {
	for i := range w.silent {
		w.silent[i].Store(false)
	}
}

// disturbBucket lets one request of the publisher in so many go wrong.
func (w *world) disturbBucket() string {
	rnd, share := rand.New(rand.NewPCG(w.rnd.Uint64(), 0)), 3+w.rnd.IntN(10)
	w.bucketPlace().gw.disturb(func() s3Fault {
		if rnd.IntN(share) > 0 {
			return s3Fine
		}
		return s3Busy + s3Fault(rnd.IntN(int(s3Faults-s3Busy)))
	})
	return fmt.Sprintf("one request in %d", share)
}

// calm ends that.
func (w *world) calm() {
	if p := w.bucketPlace(); p != nil {
		p.gw.disturb(nil)
	}
}

// past is what a mirror showed so many releases ago to those who begin there.
func (w *world) past(ctx context.Context, p *place, back int64) (map[string][]byte, int64, error) {
	release := max(1, w.judge.newest()-back)
	for ; release > 0; release-- { // one that was superseded before it was signed has no proof
		data, err := p.reader.Get(ctx, mirror.ReleasePath(release), transparency.MaxProofBytes)
		if mirror.IsAbsent(err) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		proof, err := transparency.ParseProof(data)
		return map[string][]byte{mirror.PointerPath: data, mirror.CheckpointPath: proof.Checkpoint}, release, err
	}
	return nil, 0, errors.New("no release has a proof")
}

// limits are the lengths, in bytes, at which the disk of a process can be full.
var limits = []int64{0, 100, 1_000, 3_000, 9_000}

// breakRelease lets a process release that is to end badly.
func (w *world) breakRelease(ctx context.Context, k kind) error {
	j := job{Release: true, Home: w.o.Dir, Now: w.now(), FileLimit: -1}
	for _, p := range w.places {
		j.Places = append(j.Places, p.address)
	}
	if k == publisherKilled {
		j.DieAt = 1 + w.rnd.Int64N(max(1, w.calls.n.Load()))
	} else {
		j.FileLimit = limits[w.rnd.IntN(len(limits))]
	}
	return w.part(ctx, "publisher", j)
}

// breakUpdate lets a process update a client that is to end badly.
func (w *world) breakUpdate(ctx context.Context, k kind, f *follower) error {
	j := job{Folder: f.folder, Now: w.now(), FileLimit: -1}
	for _, s := range f.client.Sources {
		j.Sources = append(j.Sources, s.Name)
	}
	if w.rnd.IntN(3) == 0 {
		j.Method = mirror.Snapshot
	}
	if k == clientKilled {
		j.DieAt = 1 + w.rnd.Int64N(max(1, f.calls.n.Load()))
	} else {
		j.FileLimit = limits[w.rnd.IntN(len(limits))]
	}
	return w.part(ctx, "client", j)
}

// part runs a process and counts it where it was killed.
func (w *world) part(ctx context.Context, who string, j job) error {
	err := w.o.run(ctx, j)
	if errors.Is(err, errKilled) {
		w.note(func(r *Report) { r.Killed[who]++ })
	}
	return err
}

// damage spoils one of a client's files.
func (w *world) damage(f *follower) error {
	var files []string
	err := filepath.WalkDir(f.folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != "lock" {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		return err
	}
	path := files[w.rnd.IntN(len(files))]
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	switch n := w.rnd.IntN(3); {
	case n == 0 || len(data) == 0:
		return os.Remove(path)
	case n == 1:
		data = data[:w.rnd.IntN(len(data))]
	default:
		data[w.rnd.IntN(len(data))] ^= 1 << w.rnd.IntN(8)
	}
	// Written in place, a second name of the same file would be spoilt as well: on a disk two files do not break at once.
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
