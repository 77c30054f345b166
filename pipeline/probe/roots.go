package probe

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// bundleModule is where the pinned Mozilla roots come from; its version goes into the evidence.
const bundleModule = "golang.org/x/crypto/x509roots/fallback"

// ErrRoots is what a root file that cannot be used wraps.
var ErrRoots = errors.New("no usable root certificates")

// Roots are the certificates that a chain must lead to. Not the operating system's: two vantage points must mean the
// same by "trusted", and evidence must say what was meant.
type Roots struct {
	Pool    *x509.CertPool
	Digest  string // hex SHA-256 over the sorted SHA-256 digests of the certificates' DER
	Version string // module and version, or "file"
}

// MozillaRoots is the bundle that this program was built with.
func MozillaRoots() (Roots, error) {
	r := Roots{Pool: x509.NewCertPool(), Version: bundleModule + " " + bundleVersion()}
	var ders [][]byte
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return Roots{}, fmt.Errorf("%w: bundle: %v", ErrRoots, err)
		}
		if root.Constraint != nil {
			// Mozilla distrusts what such a root signed after a date.
			r.Pool.AddCertWithConstraint(cert, root.Constraint)
		} else {
			r.Pool.AddCert(cert)
		}
		ders = append(ders, root.Certificate)
	}
	r.Digest = rootsDigest(ders)
	return r, nil
}

// ParseRoots reads PEM certificates. Anything else in the text is refused: a key in it would be a mistake.
func ParseRoots(text []byte) (Roots, error) {
	r := Roots{Pool: x509.NewCertPool(), Version: "file"}
	var ders [][]byte
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return Roots{}, fmt.Errorf("%w: a PEM block %q", ErrRoots, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Roots{}, fmt.Errorf("%w: certificate %d: %v", ErrRoots, len(ders)+1, err)
		}
		r.Pool.AddCert(cert)
		ders = append(ders, block.Bytes)
		text = rest
	}
	if len(ders) == 0 {
		return Roots{}, fmt.Errorf("%w: not one PEM certificate", ErrRoots)
	}
	r.Digest = rootsDigest(ders)
	return r, nil
}

func rootsDigest(ders [][]byte) string {
	digests := make([]string, len(ders))
	for i, der := range ders {
		sum := sha256.Sum256(der)
		digests[i] = string(sum[:])
	}
	slices.Sort(digests)
	h := sha256.New()
	for _, d := range slices.Compact(digests) {
		h.Write([]byte(d))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func bundleVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, dep := range info.Deps {
		if dep.Path == bundleModule {
			return dep.Version
		}
	}
	return "unknown"
}
