package lab

import (
	"bytes"
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
	"slices"
	"strings"
	"sync"
	"time"
)

const day = 24 * time.Hour

// The object identifiers of RSA keys for all purposes and for RSASSA-PSS only, in DER (RFC 8017 appendix C).
var (
	rsaEncryption = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1}
	rsassaPSS     = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10}
)

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
	rsaSub issuer // made when first wanted: its key takes 100 ms
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
	step(&a.intermediate, "Lab Intermediate", a.root, -90*day, 730*day) // tests live through a year and more
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

// Renew forgets the certificates that were made for name, a mail or policy host, and makes the good one anew, valid from
// the lab's present time on. Where Options.Now goes on, a host that nobody renews runs into the end of its certificate.
func (l *Lab) Renew(name string) error {
	l.ca.mu.Lock()
	for id := range l.ca.leaves {
		if id.name == name {
			delete(l.ca.leaves, id)
		}
	}
	l.ca.mu.Unlock()
	_, err := l.ca.leaf(name, Good)
	return err
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
	by, chain, err := a.chain(b)
	if err != nil {
		return nil, err
	}
	switch b {
	case SelfSigned:
		by = issuer{tmpl, key}
	case RSAPSS:
		tmpl.SignatureAlgorithm = x509.SHA256WithRSAPSS
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, by.cert, key.Public(), by.key)
	if err != nil {
		return nil, err
	}
	switch b {
	case BrokenCert:
		der = der[:len(der)/2]
	case PSSKey:
		der = bytes.Replace(der, rsaEncryption, rsassaPSS, 1) // spoils the signature too, which nobody gets to
	}
	return &tls.Certificate{Certificate: append([][]byte{der}, chain...), PrivateKey: key}, nil
}

func (a *authority) leafKey(b Behaviour) (crypto.Signer, error) {
	switch b {
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case RSA, RSAPSS, PSSKey:
		sub, err := a.rsaIssuer()
		return sub.key, err
	}
	return a.key, nil
}

// rsaIssuer is an intermediate with an RSA key, which is also the key of all RSA leaves.
func (a *authority) rsaIssuer() (issuer, error) {
	a.mu.Lock()
	sub := a.rsaSub
	a.mu.Unlock()
	if sub.cert != nil {
		return sub, nil
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return issuer{}, err
	}
	sub, err = a.certify(pkix.Name{CommonName: "Lab RSA Intermediate"}, key, a.root, -90*day, 365*day)
	if err != nil {
		return issuer{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rsaSub.cert == nil {
		a.rsaSub = sub
	}
	return a.rsaSub, nil
}

// leafNames are the subject alternative names.
func leafNames(name string, b Behaviour) []string {
	switch b {
	case NoSAN:
		return nil
	case WrongName:
		return []string{"other." + name}
	case EscapeName:
		return []string{"\x1b[2J\x1b]0;owned\x07.example"}
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
func (a *authority) chain(b Behaviour) (issuer, [][]byte, error) {
	by := a.intermediate
	switch b {
	case SelfSigned:
		return issuer{}, nil, nil
	case ChainIncomplete:
		return by, nil, nil
	case ChainExpired:
		by = a.staleSub
	case UnknownCA:
		return a.strangerSub, [][]byte{a.strangerSub.cert.Raw, a.strangerRoot.cert.Raw}, nil
	case ExtraChain:
		return by, [][]byte{by.cert.Raw, a.staleCross.cert.Raw}, nil
	case LongChain:
		return by, slices.Repeat([][]byte{by.cert.Raw}, 200), nil
	case EscapeName:
		sub, err := a.newIssuer("\x1b[31mred\x1b[2J", a.strangerRoot, -90*day, 365*day)
		return sub, nil, err
	case RSAPSS, PSSKey:
		sub, err := a.rsaIssuer()
		if err != nil {
			return issuer{}, nil, err
		}
		by = sub
	}
	return by, [][]byte{by.cert.Raw}, nil
}
