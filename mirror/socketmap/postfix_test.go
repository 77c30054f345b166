package socketmap

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// TestPostfixAsks lets the real client of the protocol ask, over both kinds of socket: one key, and many on one connection.
func TestPostfixAsks(t *testing.T) {
	postfix := tool.NewPostfix(t)
	r, _, _ := decider(holding(t, "one", "a.example: enforce .b.example mx.a.example", "t.example: testing mx.t.example"))
	path := filepath.Join(t.TempDir(), "s")
	listen(t, "unix", path, &Server{Answerer: r})
	inet := listen(t, "tcp", "127.0.0.1:0", &Server{Answerer: r})
	ask := func(table, keys string) string {
		t.Helper()
		cmd := postfix.Command(t.Context(), t, "postmap", "-q", "-", table)
		cmd.Stdin = strings.NewReader(keys)
		out, err := cmd.CombinedOutput()
		if err != nil && len(out) > 0 {
			t.Errorf("%s: %v: %s", table, err, out)
		}
		return string(out)
	}
	value := "secure match=.b.example:mx.a.example servername=hostname"
	for _, socket := range []string{"unix:" + path, "inet:" + inet.addr.String()} {
		for name, want := range map[string]string{
			"legacy": "secure match=.b.example:mx.a.example", "sni": value, "QUERY": value, "postfix": value, "floor": value + " protocols=>=TLSv1.2",
			"tlsrpt": value + " protocols=>=TLSv1.2 policy_type=sts policy_domain=a.example mx_host_pattern=*.b.example mx_host_pattern=mx.a.example",
		} {
			keys := strings.Repeat("a.example\nt.example\n.example\nunknown.example\nA.Example\n", 20)
			lines := strings.Repeat(fmt.Sprintf("a.example\t%s\nA.Example\t%[1]s\n", want), 20)
			if got := ask("socketmap:"+socket+":"+name, keys); got != lines {
				t.Errorf("%s %s: %q", socket, name, got)
			}
		}
	}
	if inet.log.String() != "" {
		t.Errorf("logged %s", inet.log)
	}
}
