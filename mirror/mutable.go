package mirror

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/starttls-everywhere/policylist/transparency"
)

// putMutable writes what people, old clients and log tools read by name, then the pointer. When the pointer is the
// same as before it only restores what is missing, and in a deep run what is damaged.
func (r *syncRun) putMutable(ctx context.Context) error {
	for _, f := range []struct {
		path   string
		obtain func(context.Context) ([]byte, error)
		check  func([]byte) error
	}{
		{ListPath, r.newestList, r.checkList},
		{ListPGPPath, r.signature, func([]byte) error { return nil }},
		{ListBundlePath, r.bundle, func(data []byte) error { return r.checkBundle(ctx, data) }},
		{ListKeylessPath, r.keyless, func(data []byte) error { return r.checkKeyless(ctx, data) }},
		{CheckpointPath, r.checkpoint, r.checkCheckpoint},
		{PointerPath, func(context.Context) ([]byte, error) { return r.data, nil }, r.checkPointer},
	} {
		if err := r.replace(ctx, f.path, f.obtain, f.check); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		if r.Progress != nil {
			r.Progress("pointers", 1, 1)
		}
	}
	return nil
}

// replace puts one mutable object. What the source lacks goes from the destination too: an old signature next to a
// new list would look like a forgery.
func (r *syncRun) replace(ctx context.Context, path string, obtain func(context.Context) ([]byte, error), check func([]byte) error) error {
	changed := !bytes.Equal(r.before, r.data)
	if !changed && !r.deep && !r.have[path] && path == ListKeylessPath {
		return nil // most lists have none, and an idle run asks for nothing but the pointer
	}
	if !changed && r.have[path] {
		if !r.deep {
			return nil
		}
		good, err := r.inspect(ctx, syncItem{path: path, limit: MaxListBytes, check: check})
		if good || err != nil || !r.Repair {
			return err
		}
	}
	data, err := obtain(ctx)
	if IsAbsent(err) && (path == ListPGPPath || path == ListBundlePath || path == ListKeylessPath) {
		if !r.have[path] {
			return nil
		}
		return r.dst.Delete(ctx, path)
	}
	if err != nil {
		return asSource(err)
	}
	if err := r.dst.Put(ctx, NewObject(path, data)); err != nil {
		return err
	}
	r.out.Copied++
	r.out.Bytes += int64(len(data))
	switch {
	case changed && !slices.Contains(r.out.Damaged, path):
	case r.have[path]:
		r.out.Repaired = append(r.out.Repaired, path)
	default:
		r.out.Restored = append(r.out.Restored, path)
	}
	return nil
}

// newestList returns the newest list's bytes, which the destination has by its digest now.
func (r *syncRun) newestList(ctx context.Context) ([]byte, error) {
	if r.list != nil {
		return r.list, nil
	}
	data, err := readBlob(ctx, r.dst, r.pointer.leaf)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDestination, err)
	}
	r.list = data
	return data, nil
}

func (r *syncRun) checkList(data []byte) error {
	if sum(data) != r.pointer.leaf.ListDigest {
		return fmt.Errorf("it is not the list of release %d", r.pointer.leaf.Release)
	}
	return nil
}

// signature is the OpenPGP signature of the newest list. The one beside the list blob cannot be of another release,
// as policy.json.asc is while the source is being published to.
func (r *syncRun) signature(ctx context.Context) ([]byte, error) {
	path := BlobPGPPath(r.pointer.leaf.ListDigest)
	data, err := r.dst.Get(ctx, path, MaxPGPBytes)
	if !IsAbsent(err) {
		return data, err
	}
	if bytes.Equal(r.before, r.data) {
		return nil, err // nothing new: the source had none
	}
	return r.src.Get(ctx, ListPGPPath, MaxPGPBytes)
}

// bundle is the cosign bundle of the newest list.
func (r *syncRun) bundle(ctx context.Context) ([]byte, error) {
	data, err := r.src.Get(ctx, ListBundlePath, MaxBundleFileBytes)
	if err != nil {
		return nil, err
	}
	return data, r.checkBundle(ctx, data)
}

func (r *syncRun) checkBundle(ctx context.Context, data []byte) error {
	trust, err := r.Chain.Version(r.pointer.leaf.Trust)
	if err != nil {
		return err
	}
	list, err := r.newestList(ctx)
	if err != nil {
		return err
	}
	return VerifyBundle(data, trust, list)
}

// keyless is the keyless bundle of the newest list, which most lists do not have. One that does not fit, as while the
// source is being published to, is left out: nobody needs it, and it must not keep a mirror from its list.
func (r *syncRun) keyless(ctx context.Context) ([]byte, error) {
	data, err := r.src.Get(ctx, ListKeylessPath, MaxBundleFileBytes)
	if err == nil {
		err = r.checkKeyless(ctx, data)
	}
	if errors.Is(err, ErrKeyless) || errors.Is(err, ErrTooLarge) {
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return data, err
}

func (r *syncRun) checkKeyless(ctx context.Context, data []byte) error {
	list, err := r.newestList(ctx)
	if err != nil {
		return err
	}
	return VerifyKeyless(data, list)
}

// ErrBundle is what a cosign bundle wraps that no release key made over the list.
var ErrBundle = errors.New("the bundle is no release key's signature over this list")

// bundleMediaType is what sigstore's protobuf-specs call this form.
const bundleMediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// messageSignature is the part of a bundle that signs: over the message, whose digest stands beside.
type messageSignature struct {
	MessageDigest struct {
		Algorithm string `json:"algorithm"`
		Digest    []byte `json:"digest"`
	} `json:"messageDigest"`
	Signature []byte `json:"signature"`
}

// VerifyBundle checks a cosign bundle (sigstore bundle v0.3 with a message signature) over list by the release keys
// of trust. A bundle with more in it, such as a certificate, an entry of another log, a member twice or in other spelling,
// or anything behind it, is refused; white space is free.
func VerifyBundle(data []byte, trust *transparency.Trust, list []byte) error {
	var b struct {
		MediaType            string `json:"mediaType"`
		VerificationMaterial struct {
			PublicKey struct {
				Hint []byte `json:"hint"` // the key's ID
			} `json:"publicKey"`
		} `json:"verificationMaterial"`
		MessageSignature messageSignature `json:"messageSignature"`
	}
	if err := json.Unmarshal(data, &b); err != nil {
		return fmt.Errorf("%w: %w", ErrBundle, err)
	}
	// Package json takes names in any case, and twice: what others read out of such a bundle might be something else.
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return fmt.Errorf("%w: %w", ErrBundle, err)
	}
	if one, err := json.Marshal(b); err != nil || !bytes.Equal(one, compact.Bytes()) {
		return fmt.Errorf("%w: it has more or other members than the form has", ErrBundle)
	}
	if m := b.MessageSignature.MessageDigest; b.MediaType != bundleMediaType || m.Algorithm != "SHA2_256" {
		return fmt.Errorf("%w: media type %q, digest algorithm %q", ErrBundle, b.MediaType, m.Algorithm)
	}
	digest := sum(list)
	if !bytes.Equal(b.MessageSignature.MessageDigest.Digest, digest[:]) {
		return fmt.Errorf("%w: it is about the digest %x", ErrBundle, b.MessageSignature.MessageDigest.Digest)
	}
	for _, k := range trust.ReleaseKeys() {
		if id := k.ID(); bytes.Equal(id[:], b.VerificationMaterial.PublicKey.Hint) && k.Verify(list, b.MessageSignature.Signature) {
			return nil
		}
	}
	return ErrBundle
}

// checkpoint is the pointer's note, verbatim.
func (r *syncRun) checkpoint(context.Context) ([]byte, error) { return r.pointer.proof.Checkpoint, nil }

func (r *syncRun) checkCheckpoint(data []byte) error {
	if !bytes.Equal(data, r.pointer.proof.Checkpoint) {
		return errors.New("it is not the pointer's checkpoint")
	}
	return nil
}

func (r *syncRun) checkPointer(data []byte) error {
	if !bytes.Equal(data, r.data) {
		return errors.New("it is not the source's pointer")
	}
	return nil
}
