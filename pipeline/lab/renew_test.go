package lab_test

import (
	"crypto/x509"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// TestRenew: on a clock that goes on a certificate runs out, and another is made only when the host is renewed.
func TestRenew(t *testing.T) {
	var days atomic.Int64
	clock := func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(days.Load())) }
	l, err := lab.Start(t.Context(), lab.Options{Now: clock})
	must(t, err)
	t.Cleanup(l.Close)
	must(t, l.AddHost(lab.Host{Name: "mx.a.example"}))
	addrs, err := l.Addresses("mx.a.example")
	must(t, err)
	visit := func() error {
		conn, err := net.Dial("tcp", addrs[0].String())
		must(t, err)
		defer conn.Close()
		config := clientTLS(l, "mx.a.example")
		config.Time = clock
		c, err := smtp.NewClientStartTLS(conn, config)
		if err != nil {
			return err
		}
		return c.Noop()
	}
	for _, at := range []int64{0, 88} {
		days.Store(at)
		must(t, visit())
	}
	days.Store(91)
	if err, invalid := visit(), (x509.CertificateInvalidError{}); !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		t.Errorf("after its end: %v", err)
	}
	must(t, l.Renew("mx.a.example"))
	must(t, visit())
	days.Store(370)
	must(t, l.Renew("mx.a.example"))
	must(t, visit())
}
