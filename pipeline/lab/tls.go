package lab

import "crypto/tls"

// tlsConfig is what the host's present behaviour shows a TLS client; hello may be nil.
func (h *host) tlsConfig(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	h.mu.Lock()
	b := h.behaviour
	h.mu.Unlock()
	name := h.Name
	if b == NeedsSNI && (hello == nil || hello.ServerName != h.Name) {
		name = "localhost"
	}
	cert, err := h.lab.ca.leaf(name, b)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12, Time: h.lab.now}
	switch b {
	case TLS11Only:
		cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	case TLS13Only:
		cfg.MinVersion = tls.VersionTLS13
	case HandshakeFails:
		// RSA key exchange with an ECDSA key: no suite is possible.
		cfg.MaxVersion = tls.VersionTLS12
		cfg.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}
	}
	return cfg, nil
}
