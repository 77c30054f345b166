package mirror

import (
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// stolen is an attack with keys: a thief goes on from release 3 with a release of its own.
func stolen(name string, deed func(s *scene, thief *world)) attack {
	return attack{name, refused, refused, 0, func(s *scene) *hostile {
		thief := s.at3.fork()
		deed(s, thief)
		return thief.hostile()
	}}
}

func evil() policy.Edit { return set("evil.example", policy.Enforce) }

// without makes a thief lose what it has not stolen: it signs with keys of its own instead.
func (w *world) without(release, log bool, witnesses int) {
	if release {
		fake := newReleaseKey(w.t, "fake")
		genuine := w.keys.releases
		w.resign = func(leaf *ReleaseLeaf, msg []byte) {
			for _, k := range genuine {
				leaf.Signatures = append(leaf.Signatures, transparency.KeySignature{Key: k.ID(), Signature: fake.sign(msg)})
			}
		}
	}
	if log {
		w.keys.log.priv = newTestKey("fake log").priv
	}
	w.keys.witnesses = w.keys.witnesses[:witnesses]
}

func keyAttacks() []attack {
	return []attack{
		stolen("T-09 a release of the staging list", func(_ *scene, w *world) {
			w.keys.log = newTestKey("policylist.example/staging")
			w.release(evil())
		}),
		stolen("T-09 a staging leaf in this log", func(_ *scene, w *world) {
			w.edit = func(leaf *ReleaseLeaf) { leaf.Origin = "policylist.example/staging" }
			w.release(evil())
		}),
		stolen("T-11 no key", func(_ *scene, w *world) { w.without(true, true, 1); w.release(evil()) }),
		stolen("T-11 the release keys", func(_ *scene, w *world) { w.without(false, true, 3); w.release(evil()) }),
		stolen("T-11 the log key and the witnesses", func(_ *scene, w *world) { w.without(true, false, 3); w.release(evil()) }),
		stolen("T-11 release and log keys and one witness", func(_ *scene, w *world) { w.without(false, false, 1); w.release(evil()) }),
		stolen("T-11 release keys and one root", func(_ *scene, w *world) {
			w.usurpRoots(1)
			w.without(false, true, 3)
			w.release(evil())
		}),
		stolen("T-11 one root of two, and keys of its own", func(_ *scene, w *world) {
			w.usurpRoots(1)
			w.release(evil())
		}),
		stolen("T-23 one release key twice", func(_ *scene, w *world) {
			w.resign = func(leaf *ReleaseLeaf, msg []byte) {
				k := w.keys.releases[0]
				leaf.Signatures = []transparency.KeySignature{k.signature(msg), k.signature(msg)}
			}
			w.release(evil())
		}),
		stolen("T-23 one release key under two names", func(_ *scene, w *world) {
			w.resign = func(leaf *ReleaseLeaf, msg []byte) {
				a, b := w.keys.releases[0], w.keys.releases[1]
				leaf.Signatures = []transparency.KeySignature{a.signature(msg), {Key: b.ID(), Signature: a.sign(msg)}}
			}
			w.release(evil())
		}),
		stolen("T-23 one witness twice", func(_ *scene, w *world) {
			w.keys.witnesses = []testKey{w.keys.witnesses[0], w.keys.witnesses[0]}
			w.release(evil())
		}),
	}
}

// usurpRoots publishes a next trust version of the thief's that n of the roots sign.
func (w *world) usurpRoots(n int) {
	genuine := w.keys.roots
	w.keys.releases = []testReleaseKey{newReleaseKey(w.t, "evil.a"), newReleaseKey(w.t, "evil.b")}
	w.keys.roots, w.keys.rootK = []testKey{newTestKey("evil.root")}, 1
	next := w.keys.trust(w.t, w.chain.Newest().Version+1, append(genuine[:n:n], w.keys.roots...)...)
	w.objects[TrustPath(next.Version)] = next.Note()
}

// logAttacks are made with the log's key and the witnesses, some with the release keys as well.
func logAttacks() []attack {
	fork := func(name string, deed func(w *world)) attack {
		return attack{name, caught, caught, 0, func(s *scene) *hostile {
			other := s.at2.fork()
			deed(other)
			return other.hostile()
		}}
	}
	return []attack{
		fork("T-12 another history of the same size", func(w *world) { w.release(evil()) }),
		fork("T-12 another history, larger", func(w *world) {
			w.release(evil())
			w.release()
			w.release()
		}),
		fork("T-12 another history, much larger", func(w *world) {
			w.release(many(290, policy.Enforce)...)
			w.release()
		}),
		fork("T-12 another history without the second witness's word", func(w *world) {
			w.keys.witnesses = w.keys.witnesses[1:]
			w.release(evil())
		}),
		stolen("T-14 dated before the held release", func(s *scene, w *world) {
			w.edit = func(leaf *ReleaseLeaf) {
				leaf.Timestamp = s.at2.now
				w.relist(leaf, evil())
			}
			w.release(evil())
		}),
		stolen("T-14 dated after the witnesses saw it", func(_ *scene, w *world) {
			w.edit = func(leaf *ReleaseLeaf) {
				leaf.Timestamp = w.now.Add(maxFuture + time.Second)
				leaf.Expires = leaf.Timestamp.Add(MinLifetime)
				w.relist(leaf, evil())
			}
			w.release(evil())
		}),
		stolen("T-15 signed, not logged, under the proof of another leaf", func(s *scene, w *world) {
			honest := s.at4.fork()
			w.release(evil())
			w.objects[PointerPath] = honest.pointer(honest.last.Index, w.last.Raw, w.now)
		}),
		stolen("T-15 the proof of the held leaf", func(s *scene, w *world) {
			honest := s.at4.fork()
			w.release(evil())
			w.objects[PointerPath] = honest.pointer(s.at3.last.Index, w.last.Raw, w.now)
		}),
		stolen("T-17 changes without a release", func(_ *scene, w *world) {
			last := w.last
			w.addChanges(evil())
			w.publish(9, w.now)
			w.objects[PointerPath] = w.pointer(last.Index, last.Raw, w.now)
		}),
		stolen("T-17 changes behind a genuine leaf logged again", func(_ *scene, w *world) {
			w.addChanges(evil())
			w.add(w.last.Raw)
			w.publish(9, w.now)
		}),
		stolen("T-17 a release of before logged again", func(s *scene, w *world) {
			w.add(s.at2.last.Raw)
			w.publish(9, w.now)
		}),
		stolen("T-08 a leaf with a member more", func(_ *scene, w *world) {
			w.release(evil())
			n := len(w.leaves) - 1
			raw := strings.Replace(string(w.last.Raw), `,"trust":`, `,"target":"https://evil.example/","trust":`, 1)
			w.leaves, w.hashes = w.leaves[:n], w.hashes[:len(w.hashes)-storedBy(int64(n))]
			w.add([]byte(raw))
			w.publish(4, w.now)
		}),
	}
}

// storedBy is how many hashes entry n adds to those that are stored: its own, and one for each subtree it completes.
func storedBy(n int64) (hashes int) {
	for hashes = 1; n&1 == 1; n >>= 1 {
		hashes++
	}
	return hashes
}
