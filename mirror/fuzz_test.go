package mirror

import (
	"bytes"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// FuzzOpenPointer gives whole pointers, and old proofs: what is accepted proves a release that was really made, whatever
// was done to the file, and nothing makes the verifiers panic.
func FuzzOpenPointer(f *testing.F) {
	w := newWorld(f, 3)
	made := map[string]bool{}
	for _, edits := range [][]policy.Edit{{set("a.example", policy.Enforce)}, nil, {del("a.example")}} {
		made[string(w.release(edits...).Raw)] = true
	}
	for _, p := range w.pointers {
		f.Add(p)
	}
	f.Add([]byte("c2sp.org/tlog-proof@v1\nindex 0\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if rel, c, err := OpenPointer(data, w.chain); err == nil && (!made[string(rel.Raw)] || rel.Index != c.Tree.N-1) {
			t.Errorf("accepted %q", data)
		}
		if rel, err := OpenProof(data, w.chain); err == nil && !made[string(rel.Raw)] {
			t.Errorf("accepted %q as a proof", data)
		}
	})
}

// FuzzVerifyBundle gives cosign bundles: none that a fuzzer makes carries a good signature.
func FuzzVerifyBundle(f *testing.F) {
	w := newWorld(f, 0)
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"AAAA"}},"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="},"signature":"AAAA"}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if VerifyBundle(data, w.chain.Newest(), []byte("hello")) == nil {
			t.Errorf("accepted %q", data)
		}
	})
}

// FuzzUnzstd: the limit holds whatever the file says of itself, and what fits is what CheckPacked compares.
func FuzzUnzstd(f *testing.F) {
	w := newWorld(f, 0)
	for _, n := range []int{0, 1, 99, 100, 101, 5000} {
		f.Add(w.zstd.EncodeAll(bytes.Repeat([]byte("a"), n), nil))
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		const limit = 100
		data, err := Unzstd(packed, limit)
		if err == nil && len(data) > limit {
			t.Errorf("%d bytes", len(data))
		}
		if same := CheckPacked(packed, limit, sum(data)); (same == nil) != (err == nil) {
			t.Errorf("Unzstd says %v, CheckPacked %v", err, same)
		}
	})
}
