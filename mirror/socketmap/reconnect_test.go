package socketmap

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// told passes on which keys are asked.
type told struct {
	Answerer
	keys chan string
}

func (a told) Answer(ctx context.Context, name, key string) Reply {
	a.keys <- key
	return a.Answerer.Answer(ctx, name, key)
}

// TestPostfixAsksAgainAtOnce: Postfix's own client, whose silent connection was closed for somebody else's, or because it was
// silent for too long, asks its next question on a new one, and gets its answer.
func TestPostfixAsksAgainAtOnce(t *testing.T) {
	postfix := tool.NewPostfix(t)
	r, _, _ := decider(holding(t, "one", "a.example: enforce mx.a.example", "b.example: enforce mx.b.example"))
	keys := make(chan string)
	on := listen(t, "tcp", "127.0.0.1:0", &Server{Answerer: told{r, keys}, Connections: 1})
	cmd := postfix.Command(t.Context(), t, "postmap", "-q", "-", "socketmap:inet:"+on.addr.String()+":legacy")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	want := ""
	for i := range 5 {
		key := []string{"a.example", "b.example"}[i%2]
		want += fmt.Sprintf("%s\tsecure match=mx.%[1]s\n", key)
		io.WriteString(in, key+"\n")
		if got := <-keys; got != key {
			t.Errorf("%q is asked", got)
		}
		other := on.dial() // takes the only place
		other.send("8:legacy a,")
		<-keys
		other.wants("NOTFOUND ")
		other.Close()
	}
	in.Close()
	got, err := io.ReadAll(bufio.NewReader(out))
	if errWait := cmd.Wait(); err != nil || errWait != nil || string(got) != want || complaints.Len() > 0 {
		t.Errorf("%v, %v: %s\n%s", err, errWait, got, complaints.String())
	}
}

// TestDomainsOnOneHostKeepTheirPolicies: what counts is the recipient's domain, whoever else has the same MX hosts.
func TestDomainsOnOneHostKeepTheirPolicies(t *testing.T) {
	r, _, _ := decider(holding(t, "one", "a.example: enforce mx.provider.example", "b.example: testing mx.provider.example"))
	says(t, r, "legacy", "a.example", "OK secure match=mx.provider.example")
	for _, key := range []string{"b.example", "c.example", "provider.example", "mx.provider.example"} {
		says(t, r, "legacy", key, "NOTFOUND ")
	}
}
