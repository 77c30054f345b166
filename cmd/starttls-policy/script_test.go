package main

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/starttls-everywhere/policylist/policy"
)

var update = flag.Bool("update", false, "write what the commands print into the scripts")

// TestMain also is the command itself, with a clock that the scripts set: NOW=2026-03-01T13:00:00Z.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"starttls-policy": func() {
		at, err := policy.ParseTime(os.Getenv("NOW"))
		if err != nil {
			panic(err)
		}
		os.Exit(run(context.Background(), os.Args[1:], world{os.Stdout, os.Stderr, func() time.Time { return at }}))
	}})
}

// Scripts have, besides the usual commands:
//
//	publish [-home DIR] TIME FRAGMENT|-final [MIRROR]  make a release; sets FINGERPRINT; MIRROR is "public" if left out
//	rotate TIME            publish the next trust version, with the same keys; the next release is made under it
//	bulk N MX FILE         write a fragment of N domains
//	copyfolder FROM TO     copy a folder
//	serve FOLDER VAR       serve it over HTTP on loopback; sets VAR to the URL
//	exits CODE COMMAND…    run a command that must end with this code
//	daemon ARGS…           start "starttls-policy serve" and wait until it listens; another one ends the one before
//	enddaemon -9|-TERM     end it; its log is then the file daemon.log
//	operator VAR NOTICE…   take documents of feedback over HTTPS, with a certificate that SSL_CERT_FILE trusts; sets VAR to the URL;
//	                       the bodies are the files received-1, received-2 …; the notice "down" stands for an operator that is not there
//	ask ADDRESS MAP KEY WANT   ask it, as Postfix does, until the answer is WANT; "…" at its end stands for anything
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", e.Getenv("WORK")+"/bin:"+e.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"publish": scriptPublish, "rotate": scriptRotate, "bulk": scriptBulk, "copyfolder": scriptCopy, "serve": scriptServe, "exits": scriptExits,
			"daemon": scriptDaemon, "enddaemon": scriptEnd, "ask": scriptAsk, "operator": scriptOperator,
		},
	})
}

func scriptPublish(ts *testscript.TestScript, neg bool, args []string) {
	home, public := ts.MkAbs("operator"), ts.MkAbs("public")
	if len(args) > 1 && args[0] == "-home" {
		home, args = ts.MkAbs(args[1]), args[2:]
	}
	if len(args) == 3 {
		public, args = ts.MkAbs(args[2]), args[:2]
	}
	if neg || len(args) != 2 {
		ts.Fatalf("usage: publish [-home DIR] TIME FRAGMENT|-final [MIRROR]")
	}
	var fragment []byte
	if args[1] != "-final" {
		fragment = []byte(ts.ReadFile(args[1]))
	}
	fingerprint, err := publish(context.Background(), home, public, args[0], fragment)
	ts.Check(err)
	ts.Setenv("FINGERPRINT", fingerprint)
}

func scriptRotate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: rotate TIME")
	}
	ts.Check(rotate(ts.MkAbs("operator"), args[0]))
}

func scriptBulk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: bulk N MX FILE")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), bulk(n, args[1]), 0o644))
}

func scriptCopy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: copyfolder FROM TO")
	}
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(ts.MkAbs(args[0]))))
}

func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: serve FOLDER VAR")
	}
	server := httptest.NewServer(http.FileServer(http.Dir(ts.MkAbs(args[0]))))
	ts.Defer(server.Close)
	ts.Setenv(args[1], server.URL+"/")
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}
