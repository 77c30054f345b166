package lab

import (
	"crypto/tls"
	"errors"
)

// errNoSuchName makes crypto/tls end the handshake with an alert.
var errNoSuchName = errors.New("no certificate for this name")

// helloConfig is what a TLS client is shown that goes on after its hello; the connection knows its behaviour.
func (h *host) helloConfig(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	b := Good
	if c, ok := hello.Conn.(*trackedConn); ok {
		b = c.behaviour
	}
	return h.tlsConfig(b, hello.ServerName)
}

// tlsConfig is what a behaviour shows a client that asks for sni, or for no name with "".
func (h *host) tlsConfig(b Behaviour, sni string) (*tls.Config, error) {
	name := h.Name
	switch {
	case b == NeedsSNI && sni != h.Name:
		name = "localhost"
	case b == OnlySNI && sni != h.Name:
		return nil, errNoSuchName
	}
	cert, err := h.lab.ca.leaf(name, b)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12, Time: h.lab.now}
	switch b {
	case TLS11Only:
		cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	case TLS12Only:
		cfg.MaxVersion = tls.VersionTLS12
	case TLS13Only:
		cfg.MinVersion = tls.VersionTLS13
	case HandshakeFails:
		// RSA key exchange with an ECDSA key: no suite is possible.
		cfg.MaxVersion = tls.VersionTLS12
		cfg.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}
	}
	return cfg, nil
}
