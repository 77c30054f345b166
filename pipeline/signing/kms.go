package signing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/starttls-everywhere/policylist/policy"
)

// remoteTimeout bounds one call of a key service or device, retries included: the providers' own clients ask again after
// transient failures, three times or so. A person who has to touch a device has that long.
const remoteTimeout = 30 * time.Second

var (
	// ErrProvider is wrapped when a key is said to live in a KMS that this build cannot reach, or with a device for
	// which there is no plugin.
	ErrProvider = errors.New("key provider not available")
	// ErrRemote is wrapped when a key service or a device gave no key or no signature: it is down, slow, or refuses.
	// Nothing was signed that anybody saw; the same may be asked again.
	ErrRemote = errors.New("the key service did not answer as asked")
)

// providerTags are the build tags of the key services that sigstore knows, by URI scheme; "" is always there.
var providerTags = map[string]string{
	"awskms":     "",
	"gcpkms":     "gcpkms",
	"azurekms":   "azurekms",
	"hashivault": "hashivault",
	"openbao":    "hashivault", // the same API and provider
}

// pluginName is what a scheme may look like that names a plugin "sigstore-kms-<scheme>": a plain file name.
var pluginName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

// RemoteKey is a Signer whose private half is in a key service or on a device. Each signature is a call of its own,
// which may take as long as remoteTimeout.
type RemoteKey struct {
	ref    string
	sign   func(ctx context.Context, message []byte) ([]byte, error)
	public crypto.PublicKey // of one of the two kinds
	spki   []byte
}

// IsURI reports whether ref names a key in a key service or on a device rather than a file.
func IsURI(ref string) bool { return strings.Contains(ref, "://") }

// OnlineRoot warns of a root key that an account on the network opens; nil for files and devices.
func OnlineRoot(ref string) []policy.Finding {
	scheme, _, _ := strings.Cut(ref, "://")
	if _, service := providerTags[scheme]; !service {
		return nil
	}
	return []policy.Finding{{Code: CodeOnlineKey, Severity: policy.Warning, Position: policy.Position{File: ref},
		Summary: "a root key is in a key service: whoever has its account can replace every other key",
		Fix:     "keep root keys offline, in files or on devices; let the next trust version name such a one instead"}}
}

// OpenRemote fetches the public half of the key that a URI names, once: what signs later must be this key, or Sign
// refuses. awskms, gcpkms, azurekms and hashivault are sigstore's providers, the last three only in a build with their
// tag. Any other scheme names a program "sigstore-kms-<scheme>" in PATH (sigstore's kms/cliplugin): PKCS#11 modules,
// YubiHSM and their like. Errors wrap ErrProvider, ErrRemote or ErrKeyType.
func OpenRemote(ctx context.Context, ref string) (*RemoteKey, error) {
	scheme, _, _ := strings.Cut(ref, "://")
	if err := checkProvider(scheme, ref); err != nil {
		return nil, err
	}
	k := &RemoteKey{ref: ref}
	err := k.within(ctx, func(ctx context.Context) error {
		service, err := kms.Get(ctx, ref, crypto.SHA256)
		if err != nil {
			return err
		}
		if k.public, err = service.PublicKey(options.WithContext(ctx)); err != nil {
			return err
		}
		k.sign, err = signerOf(ctx, service, scheme, ref, k.public)
		return err
	})
	var missing *kms.ProviderNotFoundError
	if errors.As(err, &missing) {
		return nil, fmt.Errorf("%w: %s:// is no known key service, and there is no program %s%[2]s in PATH (in %s)",
			ErrProvider, scheme, "sigstore-kms-", ref)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: public key of %s: %w", ErrRemote, ref, err)
	}
	if err := checkPublic(k.public); err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	if k.spki, err = x509.MarshalPKIXPublicKey(k.public); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", ref, ErrKeyType, err)
	}
	return k, nil
}

// signerOf is how a service's key signs. Pure Ed25519 (RFC 8032) takes the message itself, where sigstore's providers are
// made for digests.
func signerOf(ctx context.Context, service signature.Signer, scheme, ref string, public crypto.PublicKey) (sign func(context.Context, []byte) ([]byte, error), err error) {
	if _, ok := public.(ed25519.PublicKey); ok {
		switch scheme {
		case "awskms":
			return awsEd25519(ctx, ref)
		case "hashivault", "openbao": // no hash asks its transit engine for the pure form
			if service, err = kms.Get(ctx, ref, crypto.Hash(0)); err != nil {
				return nil, err
			}
		}
	}
	return func(ctx context.Context, message []byte) ([]byte, error) {
		return service.SignMessage(bytes.NewReader(message), options.WithContext(ctx))
	}, nil
}

// checkProvider says what a build lacks before anything is asked.
func checkProvider(scheme, ref string) error {
	tag, known := providerTags[scheme]
	switch {
	case known && slices.Contains(kms.SupportedProviders(), scheme+"://"):
		return nil
	case known:
		return fmt.Errorf("%w: %s:// is not compiled in (in %s): build with go build -tags %s", ErrProvider, scheme, ref, tag)
	case !pluginName.MatchString(scheme):
		return fmt.Errorf("%w: %q is no name of a key service or plugin (in %q)", ErrProvider, scheme, ref)
	}
	return nil
}

// Sign implements Signer. Errors wrap ErrRemote, or ErrBadSignature when another key signed than the one that was
// opened: an alias that was moved, or a new key version.
func (k *RemoteKey) Sign(ctx context.Context, message []byte) ([]byte, error) {
	var sig []byte
	err := k.within(ctx, func(ctx context.Context) (err error) {
		sig, err = k.sign(ctx, message)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: signing with %s: %w", ErrRemote, k.ref, err)
	}
	if err := verify(k.public, message, sig); err != nil {
		return nil, fmt.Errorf("signing with %s: %w", k.ref, err)
	}
	return sig, nil
}

// within calls f and waits no longer than remoteTimeout: a plugin may leave behind a child that holds its output open,
// for which the library would wait for ever.
func (k *RemoteKey) within(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, remoteTimeout, fmt.Errorf("no answer within %v", remoteTimeout))
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- f(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select { // it may have been the answer that ended ctx
	case err := <-done:
		return err
	default:
		return context.Cause(ctx)
	}
}

// SPKI implements Signer; the caller may keep the copy.
func (k *RemoteKey) SPKI() []byte { return bytes.Clone(k.spki) }

// KeyID implements Signer.
func (k *RemoteKey) KeyID() [32]byte { return sha256.Sum256(k.spki) }
