//go:build unix

// Package trillianserver starts a real Trillian for tests: trillian_log_server and trillian_log_signer (tools.txt) over a
// PostgreSQL cluster of their own, in a temporary folder. Only tests import it; like package tool it imports nothing else
// of this module, so that tests on every floor can.
//
//	s := trillianserver.Start(t)
//	l, err := trillianlog.Open(ctx, dir, trillianlog.Options{Address: s.Address, Tree: s.NewTree(t)})
//
// Everything ends with the test. Without one of the programs the test is skipped, or fails (see package tool).
package trillianserver

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// patience is far more than any of the programs needs.
const patience = time.Minute

// Servers is a running Trillian.
type Servers struct {
	Address string // of the log server's gRPC, 127.0.0.1:port, neither encrypted nor authenticated

	t      testing.TB // with which everything ends
	uri    string     // of the database
	signer *tool.Process
}

// Start starts a cluster, a log server and a signer.
func Start(t testing.TB) *Servers {
	t.Helper()
	program := tool.Path(t, "trillian_log_server")
	tool.Path(t, "trillian_log_signer")
	s := &Servers{t: t, uri: startPostgreSQL(t)}
	for range 3 { // the port was free a moment ago; another process may have it by now
		s.Address = tool.FreePort(t)
		p := tool.Start(t, exec.Command(program, append(s.storage(), "--rpc_endpoint="+s.Address, "--http_endpoint=")...), os.Kill)
		if p.Listens(s.Address) {
			s.StartSigner()
			return s
		}
		p.Stop()
		t.Logf("trillian_log_server said:\n%s", p.Said())
	}
	t.Fatal("trillian_log_server does not start: see the log above")
	return nil
}

func (s *Servers) storage() []string {
	return []string{"--storage_system=postgresql", "--quota_system=noop", "--postgresql_uri=" + s.uri, "--logtostderr"}
}

// StartSigner starts the signer again after StopSigner.
func (s *Servers) StartSigner() {
	s.t.Helper()
	// Its own endpoints are for health checks. Port 0 lets it have any.
	s.signer = tool.Start(s.t, exec.Command(tool.Path(s.t, "trillian_log_signer"), append(s.storage(),
		"--rpc_endpoint=127.0.0.1:0", "--http_endpoint=", "--force_master", "--pre_election_pause=1ms",
		"--sequencer_interval=20ms", "--sequencer_guard_window=0s", "--batch_size=1000")...), os.Kill)
}

// StopSigner ends the signer: the log server goes on taking leaves, and nobody integrates them.
func (s *Servers) StopSigner() { s.signer.Stop() }

// NewTree makes an empty log whose leaves come with their index, and returns its id.
func (s *Servers) NewTree(t testing.TB) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, tool.Path(t, "createtree"), "--admin_server="+s.Address, "--tree_type=PREORDERED_LOG").Output()
	if err != nil {
		t.Fatalf("createtree: %v", err)
	}
	id, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		t.Fatalf("createtree printed %q", out)
	}
	return id
}
