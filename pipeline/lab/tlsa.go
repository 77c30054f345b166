package lab

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"fmt"
)

// Sent returns the certificates that a host shows now to those who ask for it by name, leaf first.
func (l *Lab) Sent(name string) ([]*x509.Certificate, error) {
	h, err := l.host(name)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	b := h.behaviour
	h.mu.Unlock()
	cert, err := l.ca.leaf(name, b)
	if err != nil {
		return nil, err
	}
	var out []*x509.Certificate
	for _, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("lab certificate of %s: %w", name, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// Root is the certificate that all the lab trusts; no server sends it.
func (l *Lab) Root() *x509.Certificate { return l.ca.root.cert }

// TLSA writes the TLSA record about c that belongs to the lab's mail port at name (RFC 6698 section 2.1), for AddRecord.
func (l *Lab) TLSA(name string, usage, selector, matching uint8, c *x509.Certificate) string {
	data := c.Raw
	if selector == 1 {
		data = c.RawSubjectPublicKeyInfo
	}
	switch matching {
	case 1:
		sum := sha256.Sum256(data)
		data = sum[:]
	case 2:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return fmt.Sprintf("%s 60 IN TLSA %d %d %d %s", l.TLSAName(name), usage, selector, matching, hex.EncodeToString(data))
}

// TLSAName is where the TLSA records of a host's mail port are (RFC 6698 section 3).
func (l *Lab) TLSAName(host string) string {
	return fmt.Sprintf("_%d._tcp.%s", l.SMTPPort(), fqdn(host))
}
