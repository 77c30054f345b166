package socketmap

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
)

// TestAskTakesRepliesAsLargeAsPostfixDoes, and no larger ones, whatever the peer announces.
func TestAskTakesRepliesAsLargeAsPostfixDoes(t *testing.T) {
	for size, ok := range map[int]bool{3: true, maxRequest + 1: true, maxReply: true, maxReply + 1: false, 10 * maxReply: false} {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			readAll := make([]byte, len("5:m key,"))
			theirs.Read(readAll)
			fmt.Fprintf(theirs, "%d:OK %s,", size, strings.Repeat("x", size-3))
		}()
		reply, err := Ask(ours, "m", "key")
		if ours.Close(); ok && (err != nil || len(reply.Value) != size-3) || !ok && !errors.Is(err, errNetstring) {
			t.Errorf("a reply of %d bytes: %d, %v", size, len(reply.Value), err)
		}
	}
}
