package mirror

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// attacks is the threat table as far as one mirror can carry it out against a client that holds release 3.
func attacks() []attack {
	return slices.Concat(contentAttacks(), staleAttacks(), floodAttacks(), keyAttacks(), logAttacks(), deltaAttacks(), httpAttacks())
}

// breaks says which paths an attack on one kind of object stops.
func breaks(kind string) (delta, snapshot verdict) {
	delta, snapshot = refused, refused
	switch kind {
	case "bundle":
		snapshot = honest
	case "tile", "list":
		delta = honest
	}
	return delta, snapshot
}

// onEach makes one attack for each kind of object that an update reads.
func onEach(name string, do http.HandlerFunc) []attack {
	var out []attack
	for _, kind := range kinds {
		delta, snapshot := breaks(kind)
		out = append(out, attack{name + " for each " + kind, delta, snapshot, 0, func(s *scene) *hostile {
			return s.at4.hostile().answering(kind, do)
		}})
	}
	return out
}

func contentAttacks() []attack {
	send := func(data string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, data) }
	}
	return slices.Concat(
		onEach("T-01 a page", send("<!doctype html><title>Welcome</title>\n")),
		onEach("T-01 nothing", send("")),
		onEach("T-01 zeros", send(strings.Repeat("\x00", 9000))),
		onEach("T-01 an older object", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"kind":"trust"}`) }),
	)
}

func staleAttacks() []attack {
	var out []attack
	for _, late := range []time.Duration{0, 15 * 24 * time.Hour} {
		for n := int64(1); n < 3; n++ {
			out = append(out, attack{fmt.Sprintf("T-02 the pointer of release %d, %s late", n, late), refused, refused, late, func(s *scene) *hostile {
				return s.at4.hostile().lying(s.at4.pointers[n], PointerPath)
			}})
		}
		out = append(out, attack{fmt.Sprintf("T-02 a whole mirror of release 2, %s late", late), refused, refused, late, func(s *scene) *hostile {
			return s.at2.hostile()
		}})
	}
	for _, size := range []int64{1 << 20, 1 << 40} {
		out = append(out, attack{fmt.Sprintf("T-03 an invented tree of %d entries", size), refused, refused, 0, func(s *scene) *hostile {
			return s.at4.hostile().lying(s.at4.invented(s.at4.last, size), PointerPath)
		}})
	}
	mixed := func(name string, delta, snapshot verdict, lies func(s *scene, h *hostile)) attack {
		return attack{"T-05 " + name, delta, snapshot, 0, func(s *scene) *hostile {
			h := s.at4.hostile()
			lies(s, h)
			return h
		}}
	}
	return append(out,
		mixed("the old checkpoint and list under the new pointer", honest, honest, func(s *scene, h *hostile) {
			h.lies[CheckpointPath], h.lies[ListPath] = s.at2.objects[CheckpointPath], []byte(listText(s.at2.t, s.at2.last))
		}),
		mixed("the old list under the new digest", honest, refused, func(s *scene, h *hostile) {
			h.lies[BlobPath(s.at4.last.Leaf.ListDigest)] = s.at4.objects[BlobPath(s.at3.last.Leaf.ListDigest)]
		}),
		mixed("the new leaf over the old checkpoint", refused, refused, func(s *scene, h *hostile) {
			p, err := transparency.ParseProof(s.at4.objects[PointerPath])
			s.at4.must(err)
			p.Checkpoint = s.at3.objects[CheckpointPath]
			h.lies[PointerPath] = p.Format()
		}),
		mixed("the old leaf over the new checkpoint", refused, refused, func(s *scene, h *hostile) {
			p, err := transparency.ParseProof(s.at3.objects[PointerPath])
			s.at4.must(err)
			p.Checkpoint = s.at4.objects[CheckpointPath]
			h.lies[PointerPath] = p.Format()
		}),
		mixed("tiles and bundles of before", refused, refused, func(s *scene, h *hostile) {
			h.objects = s.at3.objects
			h.lies[PointerPath] = s.at4.objects[PointerPath]
		}),
	)
}

func floodAttacks() []attack {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for chunk := bytes.Repeat([]byte("x"), 1<<16); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(make([]byte, 64<<20))
	z.Close()
	gzipBomb := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(packed.Bytes())
	}
	slow := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			w.Write([]byte("x"))
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	flood := func(name string, delta, snapshot verdict, path func(*scene) string, data func(*scene) []byte) attack {
		return attack{"T-06 " + name, delta, snapshot, 0, func(s *scene) *hostile { return s.at4.hostile().lying(data(s), path(s)) }}
	}
	pointer := func(*scene) string { return PointerPath }
	return slices.Concat(onEach("T-06 an endless body", endless), onEach("T-06 a gzip bomb", gzipBomb), onEach("T-07 a byte now and then", slow), []attack{
		flood("a zstd bomb as list", honest, refused, func(s *scene) string { return BlobPath(s.at4.last.Leaf.ListDigest) },
			func(s *scene) []byte { return s.at4.zstd.EncodeAll(make([]byte, 64<<20), nil) }),
		flood("a million signature lines", refused, refused, pointer, func(s *scene) []byte {
			return append(bytes.Clone(s.at4.objects[PointerPath]), bytes.Repeat([]byte("— x AAAAAAAA\n"), 1_000_000)...)
		}),
		flood("as many signature lines as fit", refused, refused, pointer, func(s *scene) []byte {
			data := bytes.Clone(s.at4.objects[PointerPath])
			line := []byte("— x AAAAAAAA\n")
			return append(data, bytes.Repeat(line, (transparency.MaxProofBytes-len(data))/len(line))...)
		}),
		flood("a million proof lines", refused, refused, pointer, func(s *scene) []byte { return s.at4.longProof(1_000_000) }),
		flood("as many proof lines as fit", refused, refused, pointer, func(s *scene) []byte { return s.at4.longProof(2500) }),
		flood("a million lines of trust", refused, refused, func(*scene) string { return TrustPath(3) }, func(s *scene) []byte {
			return append(bytes.Clone(s.at4.objects[TrustPath(2)]), bytes.Repeat([]byte("root x+00000000+AAAA\n"), 1_000_000)...)
		}),
	})
}

// longProof is the newest pointer with n hashes more in its path.
func (w *world) longProof(n int) []byte {
	w.t.Helper()
	p, err := transparency.ParseProof(w.objects[PointerPath])
	w.must(err)
	hash := tlog.Hash(sum(nil)).String() + "\n"
	text := string(w.objects[PointerPath])
	first := p.Path[0].String() + "\n"
	if !strings.Contains(text, first) {
		w.t.Fatal("the proof's path is not where it was thought to be")
	}
	return []byte(strings.Replace(text, first, strings.Repeat(hash, n)+first, 1))
}

// deltaAttacks poison what lies between the held tree and the new one.
func deltaAttacks() []attack {
	poison := func(name string, do func(s *scene, entries [][]byte, from int) [][]byte) attack {
		return attack{"T-18 " + name, refused, honest, 0, func(s *scene) *hostile {
			h := s.at4.hostile()
			path := transparency.TilePath(tlog.Tile{H: transparency.TileHeight, L: -1, N: 1, W: int(s.at4.shown - transparency.TileWidth)})
			entries, err := transparency.ParseBundle(s.at4.objects[path], int(s.at4.shown-transparency.TileWidth))
			s.at4.must(err)
			data := []byte{}
			for _, e := range do(s, slices.Clone(entries), int(s.at3.shown-transparency.TileWidth)) {
				data, err = transparency.AppendEntry(data, e)
				s.at4.must(err)
			}
			return h.lying(data, path)
		}}
	}
	withhold := func(kind string) attack {
		delta, snapshot := breaks(kind)
		return attack{"T-16 each " + kind + " withheld", delta, snapshot, 0, func(s *scene) *hostile {
			return s.at4.hostile().answering(kind, http.NotFound)
		}}
	}
	out := []attack{withhold("bundle"), withhold("tile"), withhold("list"), withhold("pointer"), {
		"T-16 the trust version that the release names withheld", refused, refused, 0, func(s *scene) *hostile {
			w := s.at4.fork()
			w.rotate(func(k *keyring) { k.expires = k.expires.AddDate(0, 1, 0) })
			w.release()
			return w.hostile().lying(nil, TrustPath(3))
		},
	}}
	for i, name := range []string{"first", "second", "third"} {
		out = append(out,
			poison("the "+name+" change omitted", func(_ *scene, e [][]byte, from int) [][]byte { return slices.Delete(e, from+i, from+i+1) }),
			poison("the "+name+" change twice", func(_ *scene, e [][]byte, from int) [][]byte { return slices.Insert(e, from+i, e[from+i]) }),
			poison("the "+name+" change emptied", func(_ *scene, e [][]byte, from int) [][]byte { e[from+i] = nil; return e }),
			poison("the "+name+" change altered", func(_ *scene, e [][]byte, from int) [][]byte {
				e[from+i] = []byte(strings.Replace(string(e[from+i]), ".example", ".exampla", 1))
				return e
			}),
		)
	}
	return append(out,
		poison("two changes exchanged", func(_ *scene, e [][]byte, from int) [][]byte { e[from], e[from+1] = e[from+1], e[from]; return e }),
		poison("the release leaf first", func(_ *scene, e [][]byte, from int) [][]byte {
			last := len(e) - 1
			return slices.Insert(e[:last:last], from, e[last])
		}),
		poison("a change of the thief's more", func(s *scene, e [][]byte, from int) [][]byte {
			evil := set("evil.example", policy.Enforce)
			return slices.Insert(e, from, ChangeLeaf{evil.Domain, evil.Policy, "add.owner", 4}.Append(nil))
		}),
		poison("an older entry altered", func(_ *scene, e [][]byte, _ int) [][]byte { e[0] = []byte("rubbish"); return e[:len(e)-1] }),
	)
}

// httpAttacks are answers that an honest store or cache never gives for an object that is there.
func httpAttacks() []attack {
	var out []attack
	for _, code := range []int{204, 206, 304, 403, 404, 410, 429, 500} {
		out = append(out, onEach(fmt.Sprintf("T-20 status %d", code), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })...)
	}
	out = append(out, onEach("T-20 the connection cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "500")
		w.Write([]byte("x"))
		panic(http.ErrAbortHandler)
	})...)
	out = append(out, onEach("T-20 an encoding not asked for", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		w.Write([]byte("x"))
	})...)
	out = append(out, onEach("T-08 a redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/checkpoint", http.StatusFound)
	})...)
	// An absent trust version is simply the end, which is what every one of these answers means here.
	return slices.DeleteFunc(out, func(a attack) bool {
		return strings.HasSuffix(a.name, "for each trust") && (strings.Contains(a.name, "403") || strings.Contains(a.name, "404") || strings.Contains(a.name, "410"))
	})
}
