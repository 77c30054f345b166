package lab

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"
)

const day = 24 * time.Hour

// issuer is a certificate that signs others.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// authority makes every certificate of a lab: a root, one intermediate below it, the leaves below that.
type authority struct {
	now                func() time.Time
	root, intermediate issuer
	staleSub           issuer // as intermediate, expired yesterday
	staleCross         issuer // the root, certified by an older root; both expired yesterday
	strangerRoot       issuer // nobody trusts it
	strangerSub        issuer
	key                crypto.Signer // shared by all ECDSA leaves: making keys is what takes time

	mu     sync.Mutex // guards what follows
	serial int64
	rsaKey *rsa.PrivateKey // made when first wanted: it takes 100 ms
	leaves map[leafID]*tls.Certificate
}

type leafID struct {
	name      string
	behaviour Behaviour
}

func newAuthority(now func() time.Time) (*authority, error) {
	a := &authority{now: now, leaves: make(map[leafID]*tls.Certificate)}
	var err error
	step := func(into *issuer, name string, parent issuer, from, to time.Duration) {
		if err == nil {
			*into, err = a.newIssuer(name, parent, from, to)
		}
	}
	step(&a.root, "Lab Root", issuer{}, -365*day, 3650*day)
	step(&a.intermediate, "Lab Intermediate", a.root, -90*day, 365*day)
	step(&a.staleSub, "Lab Intermediate 2", a.root, -365*day, -day)
	step(&a.strangerRoot, "Stranger Root", issuer{}, -365*day, 3650*day)
	step(&a.strangerSub, "Stranger Intermediate", a.strangerRoot, -90*day, 365*day)
	var oldRoot issuer
	step(&oldRoot, "Old Root", issuer{}, -3650*day, -day)
	if err == nil {
		a.staleCross, err = a.certify(a.root.cert.Subject, a.root.key, oldRoot, -365*day, -day)
	}
	if err == nil {
		a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, fmt.Errorf("lab authority: %w", err)
	}
	return a, nil
}

// newIssuer makes a CA certificate valid from now+from to now+to; without a parent it signs itself.
func (a *authority) newIssuer(name string, parent issuer, from, to time.Duration) (issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issuer{}, err
	}
	return a.certify(pkix.Name{CommonName: name, Organization: []string{"policylist lab"}}, key, parent, from, to)
}

// certify makes a CA certificate for a key that stands already.
func (a *authority) certify(subject pkix.Name, key crypto.Signer, parent issuer, from, to time.Duration) (issuer, error) {
	tmpl := &x509.Certificate{
		SerialNumber:          a.nextSerial(),
		Subject:               subject,
		NotBefore:             a.now().Add(from),
		NotAfter:              a.now().Add(to),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	by := issuer{tmpl, key}
	if parent.cert != nil {
		by = parent
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, by.cert, key.Public(), by.key)
	if err != nil {
		return issuer{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return issuer{cert, key}, err
}

func (a *authority) nextSerial() *big.Int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.serial++
	return big.NewInt(a.serial)
}

func (a *authority) rootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.cert.Raw})
}

// leaf returns the certificate with chain and key that a host of that name and behaviour shows. Made once, kept.
func (a *authority) leaf(name string, b Behaviour) (*tls.Certificate, error) {
	id := leafID{name, b}
	a.mu.Lock()
	cached := a.leaves[id]
	a.mu.Unlock()
	if cached != nil {
		return cached, nil
	}
	cert, err := a.makeLeaf(name, b)
	if err != nil {
		return nil, fmt.Errorf("lab certificate for %s: %w", name, err)
	}
	a.mu.Lock()
	a.leaves[id] = cert
	a.mu.Unlock()
	return cert, nil
}

func (a *authority) makeLeaf(name string, b Behaviour) (*tls.Certificate, error) {
	key, err := a.leafKey(b)
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: a.nextSerial(),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     leafNames(name, b),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	from, to := lifetime(b)
	tmpl.NotBefore, tmpl.NotAfter = a.now().Add(from), a.now().Add(to)
	by, chain := a.chain(b)
	if b == SelfSigned {
		by = issuer{tmpl, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, by.cert, key.Public(), by.key)
	if err != nil {
		return nil, err
	}
	if b == BrokenCert {
		der = der[:len(der)/2]
	}
	return &tls.Certificate{Certificate: append([][]byte{der}, chain...), PrivateKey: key}, nil
}

func (a *authority) leafKey(b Behaviour) (crypto.Signer, error) {
	switch b {
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case RSA:
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.rsaKey == nil {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				return nil, err
			}
			a.rsaKey = key
		}
		return a.rsaKey, nil
	}
	return a.key, nil
}

// leafNames are the subject alternative names.
func leafNames(name string, b Behaviour) []string {
	switch b {
	case NoSAN:
		return nil
	case WrongName:
		return []string{"other." + name}
	case Wildcard:
		_, parent, _ := strings.Cut(name, ".")
		return []string{"*." + parent}
	}
	return []string{name}
}

// lifetime is relative to now.
func lifetime(b Behaviour) (from, to time.Duration) {
	switch b {
	case Expired:
		return -60 * day, -day
	case Expiring:
		return -88 * day, 2 * day
	case NotYetValid:
		return day, 90 * day
	}
	return -day, 89 * day
}

// chain returns who signs the leaf and what is sent behind it.
func (a *authority) chain(b Behaviour) (issuer, [][]byte) {
	switch b {
	case SelfSigned:
		return issuer{}, nil
	case ChainIncomplete:
		return a.intermediate, nil
	case ChainExpired:
		return a.staleSub, [][]byte{a.staleSub.cert.Raw}
	case UnknownCA:
		return a.strangerSub, [][]byte{a.strangerSub.cert.Raw, a.strangerRoot.cert.Raw}
	case ExtraChain:
		return a.intermediate, [][]byte{a.intermediate.cert.Raw, a.staleCross.cert.Raw}
	}
	return a.intermediate, [][]byte{a.intermediate.cert.Raw}
}
