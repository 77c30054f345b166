package tlsrpt

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
)

// Certificate is the intake's certificate in PEM files that somebody renews.
type Certificate struct {
	certFile, keyFile string
	loaded            atomic.Pointer[tls.Certificate]
}

// NewCertificate reads the chain and its key.
func NewCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	return c, c.Reload()
}

// Reload reads the files again. On an error the certificate stays the one there was: a renewal may have written only one of
// the two so far.
func (c *Certificate) Reload() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.loaded.Store(&pair)
	return nil
}

// TLS is a server's configuration with whatever certificate is loaded.
func (c *Certificate) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.loaded.Load(), nil },
	}
}
