package mirror

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// judgeVector asks the code that clients run. The error is a refusal.
func judgeVector(t testing.TB, v vector, read func(string) []byte) (results, error) {
	t.Helper()
	switch v.Kind {
	case "list":
		return judgeList(read(v.File))
	case "leaf":
		return judgeLeaf(read(v.File))
	}
	chain, err := vectorChain(v, read)
	if err != nil {
		return nil, err
	}
	newest := chain.Newest()
	switch v.Kind {
	case "trust":
		return results{"version": fmt.Sprint(newest.Version), "origin": newest.Origin, "expires": stampText(newest.Expires)}, nil
	case "checkpoint":
		c, err := OpenCheckpoint(chain, read(v.File))
		return results{"origin": c.Origin, "size": fmt.Sprint(c.Tree.N), "root": c.Tree.Hash.String(), "quorum-time": stampText(c.QuorumTime)}, err
	case "proof":
		p, err := OpenProof(read(v.File), chain)
		if err != nil {
			return nil, err
		}
		return results{"release": fmt.Sprint(p.Leaf.Release), "index": fmt.Sprint(p.Index), "superseded": fmt.Sprint(p.Superseded)}, nil
	case "bundle":
		return results{}, VerifyBundle(read(v.File), newest, read(v.List))
	case "client":
		return judgeClient(t, v, chain, read)
	}
	return nil, fmt.Errorf("a kind %q of vector", v.Kind)
}

func stampText(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(policy.TimeFormat)
}

func judgeList(data []byte) (results, error) {
	h, l, err := policy.ParseList(data)
	if err != nil {
		return nil, err
	}
	return results{"domains": fmt.Sprint(l.Len()), "sha256": fmt.Sprintf("%x", sum(data)), "timestamp": stampText(h.Timestamp)}, nil
}

func judgeLeaf(data []byte) (results, error) {
	l, err := ParseLeaf(data)
	hash := transparencyLeafHash(data)
	switch {
	case err != nil:
		return nil, err
	case l.Change != nil:
		return results{"kind": "change", "leaf-hash": hash}, nil
	case l.Trust != nil:
		return results{"kind": "trust", "leaf-hash": hash}, nil
	}
	msg, err := l.Release.Message()
	return results{"kind": "release", "leaf-hash": hash, "signed-sha256": fmt.Sprintf("%x", sum(msg))}, err
}

// transparencyLeafHash is the hash of an entry in the log's tree (RFC 6962 section 2.1).
func transparencyLeafHash(data []byte) string {
	h := sum(append([]byte{0}, data...))
	return base64.StdEncoding.EncodeToString(h[:])
}

// vectorChain believes the first version by its fingerprint, the others by their signatures.
func vectorChain(v vector, read func(string) []byte) (*transparency.TrustChain, error) {
	fingerprint := v.Fingerprint
	if fingerprint == "" {
		fingerprint = string(read("fingerprint"))
	}
	var chain *transparency.TrustChain
	for _, name := range v.Trust {
		t, err := transparency.ParseTrust(read(name))
		if err != nil {
			return nil, err
		}
		if chain != nil {
			if err := chain.Extend(t); err != nil {
				return nil, err
			}
			continue
		}
		if got := t.Digest(); hex.EncodeToString(got[:]) != fingerprint {
			return nil, fmt.Errorf("fingerprint %x", got)
		}
		if chain, err = transparency.NewTrustChain(t); err != nil {
			return nil, err
		}
	}
	return chain, nil
}

// judgeClient is a whole client: it joins by the fingerprint, takes what is held, then what is new, from mirrors that have
// only what the vector names.
func judgeClient(t testing.TB, v vector, chain *transparency.TrustChain, read func(string) []byte) (results, error) {
	t.Helper()
	dir, now := t.TempDir(), parseStamp(t, v.Now)
	client := &Client{Dir: dir, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}
	next := vectorMirror(t, chain.Versions(), v.File, v.List, v.Entries, read)
	at := next
	if v.Held != nil {
		at = vectorMirror(t, versionsThen(chain.Versions(), read(v.Held.File)), v.Held.File, v.Held.List, "", read)
	}
	_, err := Join(context.Background(), dir, at, chain.Versions()[0].Digest())
	if err != nil {
		return nil, err
	}
	client.Sources = []Source{{"held", at}}
	if v.Held != nil {
		if _, err := client.Update(context.Background()); err != nil {
			t.Fatalf("what is held: %v", err)
		}
	}
	client.Sources = []Source{{"new", next}}
	if v.Entries != "" {
		client.Method = Delta
	}
	out, err := client.Update(context.Background())
	if err != nil {
		return nil, fmt.Errorf("%w %q", err, out.Problems)
	}
	got := results{"release": fmt.Sprint(out.Release.Release), "freshness": string(out.Freshness), "quorum-time": stampText(out.QuorumTime), "list-sha256": fmt.Sprintf("%x", out.Release.ListDigest)}
	if v.Entries != "" {
		got["alarms"] = fmt.Sprint(len(out.Alarms))
	}
	return got, nil
}

// vectorMirror has a pointer, the trust versions that were there when it was made, and perhaps its list and its entries.
func vectorMirror(t testing.TB, versions []*transparency.Trust, file, list, entries string, read func(string) []byte) Reader {
	t.Helper()
	s := &shelf{objects: map[string][]byte{PointerPath: read(file)}}
	pointer, err := parsePointer(read(file))
	for _, v := range versions {
		s.objects[TrustPath(v.Version)] = v.Note()
	}
	if err != nil {
		return s
	}
	if list != "" {
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		s.objects[BlobPath(pointer.leaf.ListDigest)] = z.EncodeAll(read(list), nil)
	}
	if entries != "" {
		s.objects[TilePaths(0, pointer.proof.Index+1)[1]] = read(entries)
	}
	return s
}

// versionsThen are the trust versions that there were when a held release was made.
func versionsThen(versions []*transparency.Trust, held []byte) []*transparency.Trust {
	pointer, err := parsePointer(held)
	if err != nil {
		return versions
	}
	return versions[:min(int64(len(versions)), max(1, pointer.leaf.Trust))]
}
