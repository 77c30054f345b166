//go:build unix

package trillianlog_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/starttls-everywhere/policylist/mirror/storetest/trillianserver"
	"github.com/starttls-everywhere/policylist/transparency/logtest"
	"github.com/starttls-everywhere/policylist/transparency/trillianlog"
)

// liars put a liar between the log and the real server, which lies from the start or once it has been given leaves. Each
// lie ends the append with its error, and the log stays what it was; when the lying ends, the same append succeeds.
func liars(t *testing.T, s *trillianserver.Servers) {
	wants := map[string]error{"root": trillianlog.ErrRoot, "leaves": trillianlog.ErrLeaves, "size": trillianlog.ErrRewound}
	for _, lie := range trillianserver.Lies() {
		for _, later := range []bool{false, true} {
			if !later && lie.Root == nil {
				continue // the first answer that has leaves or results comes later
			}
			t.Run(fmt.Sprintf("%s, later %v", lie.Name, later), func(t *testing.T) {
				liar, dir := s.StartLiar(t), folder(t)
				id := s.NewTree(t)
				l := mustOpen(t, dir, liar.Address, id)
				tree := mustAppend(t, l, 0, logtest.Leaves(0, 300))
				liar.Tell(lie, later)
				if _, err := l.Append(t.Context(), 300, logtest.Leaves(300, 20)); !errors.Is(err, wants[lie.About]) {
					t.Errorf("append: %v, want %v", err, wants[lie.About])
				}
				if liar.Told() == 0 {
					t.Error("nothing was lied about")
				}
				if l.Tree() != tree {
					t.Errorf("the tree is %v", l.Tree())
				}
				l.Close()
				if lie.Root != nil {
					if l, err := open(t, dir, liar.Address, id); !errors.Is(err, wants[lie.About]) {
						t.Errorf("open: %v, %v, want %v", l, err, wants[lie.About])
					}
				}
				liar.Tell(trillianserver.Lie{}, false)
				if got := mustAppend(t, mustOpen(t, dir, liar.Address, id), 300, logtest.Leaves(300, 20)); got.N != 320 {
					t.Errorf("when the lying ended: %v", got)
				}
			})
		}
	}
}

// overTLS: the server's certificate is verified, and an unencrypted client does not get through.
func overTLS(t *testing.T, s *trillianserver.Servers) {
	web := httptest.NewTLSServer(nil) // has a certificate for example.com and 127.0.0.1
	web.Close()
	front := s.StartLiar(t, grpc.Creds(credentials.NewServerTLSFromCert(&web.TLS.Certificates[0])))
	trusted := x509.NewCertPool()
	trusted.AddCert(web.Certificate())
	id := s.NewTree(t)
	for story, c := range map[string]struct {
		tls  *tls.Config
		want string // in the error; "" when it opens
	}{
		"the right root":     {&tls.Config{RootCAs: trusted}, ""},
		"no root that fits":  {&tls.Config{RootCAs: x509.NewCertPool()}, "unknown authority"},
		"another name":       {&tls.Config{RootCAs: trusted, ServerName: "log.example"}, "log.example"},
		"without encryption": {nil, "error reading server preface"},
	} {
		o := options(front.Address, id)
		o.TLS = c.tls
		if c.want != "" {
			o.Timeout = time.Second
		}
		l, err := trillianlog.Open(t.Context(), folder(t), o)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", story, err)
				continue
			}
			mustAppend(t, l, 0, logtest.Leaves(0, 2))
			l.Close()
			continue
		}
		if !errors.Is(err, trillianlog.ErrUnavailable) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", story, err, c.want)
		}
	}
}
