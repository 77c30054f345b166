package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/starttls-everywhere/policylist/mirror/storetest"
	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// TestS3Scripts are stories of a state on S3, a real gateway. The operator's folder is op, as init makes it. "expand FROM TO" writes a file with the variables of the
// script put in, "lease OWNER UNTIL" lets somebody else have the lease, "garble PATH" damages an object of the state,
// "lose" empties it, and "racing" makes the store one whose conditional writes race.
func TestS3Scripts(t *testing.T) {
	tool.Path(t, "versitygw") // or skip
	testscript.Run(t, testscript.Params{
		Dir: "testdata/s3", RequireExplicitExec: true, RequireUniqueNames: true, UpdateScripts: *updateScripts,
		Setup: func(env *testscript.Env) error {
			useGateway(env, storetest.StartVersityGW(env.T().(testing.TB)))
			folder, err := operatorFolder()
			if err != nil {
				return err
			}
			return os.CopyFS(filepath.Join(env.WorkDir, "op"), folder)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exitsWith, "expand": expandFile, "lease": giveLease, "garble": garbleState, "lose": loseState,
			"racing": func(ts *testscript.TestScript, _ bool, _ []string) { letBothWin(t, ts) },
		},
	})
}

func useGateway(env *testscript.Env, g *storetest.VersityGW) {
	for _, v := range g.Env() {
		name, value, _ := strings.Cut(v, "=")
		env.Setenv(name, value)
	}
	env.Setenv("ENDPOINT", g.Endpoint)
	env.Setenv("BUCKET_FOLDER", g.Folder)
}

// letBothWin tells both writers of a race that they won it, as two gateways over one folder do in every tenth.
func letBothWin(t *testing.T, ts *testscript.TestScript) {
	target, err := url.Parse(ts.Getenv("ENDPOINT"))
	ts.Check(err)
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is signed
		},
		ModifyResponse: func(r *http.Response) error {
			if strings.Contains(r.Request.URL.Path, "/race") && r.Request.Method == http.MethodPut && r.StatusCode/100 == 4 {
				r.StatusCode, r.Status, r.Body, r.ContentLength = http.StatusOK, "200 OK", http.NoBody, 0
				r.Header = http.Header{"Etag": {`"won"`}}
			}
			return nil
		},
	})
	t.Cleanup(proxy.Close)
	ts.Setenv("ENDPOINT", proxy.URL)
}

func expandFile(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: expand FROM TO")
	}
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o644))
}

func giveLease(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: lease OWNER UNTIL")
	}
	text := fmt.Sprintf(`{"epoch":7,"owner":%q,"run":"OTHER","until":%q}`+"\n", args[0], args[1])
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("BUCKET_FOLDER"), "state", "lease.json"), []byte(text), 0o644))
}

func garbleState(ts *testscript.TestScript, _ bool, args []string) {
	path := filepath.Join(ts.Getenv("BUCKET_FOLDER"), "state", filepath.FromSlash(args[0]))
	data, err := os.ReadFile(path)
	ts.Check(err)
	data[len(data)/2] ^= 1
	ts.Check(os.WriteFile(path, data, 0o644))
}

func loseState(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(os.RemoveAll(filepath.Join(ts.Getenv("BUCKET_FOLDER"), "state")))
}
