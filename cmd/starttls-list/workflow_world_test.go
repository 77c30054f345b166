package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/pipeline/signing/keyless"
	"github.com/starttls-everywhere/policylist/pipeline/signing/keytest"
)

// workflowWorld is a list's repository as init makes it, with its remote, a lab whose domains it lists, and S3.
type workflowWorld struct {
	t       testing.TB
	dir     string
	list    string // a clone in which contributors work
	remote  string
	gateway *storetest.VersityGW
	lab     *lab.Lab
	cloud   *httptest.Server // GitHub's OIDC and API, and STS
	pulls   atomic.Int64     // pull requests that were opened
	proxy   string           // the address of S3, at which somebody may be killed
	victim  atomic.Value     // part of the path of the requests that fatal counts
	fatal   atomic.Int64     // the request at which a step is killed; 0 for none
	group   atomic.Int64     // process group of the running step
	tool    *builtTool
	issuer  *keytest.Issuer // whose tokens jobs get for Sigstore; nil for none
}

const workflowRef = "0123456789abcdef0123456789abcdef01234567"

// labWorld are the lab's domains: one that follows MTA-STS, one that only says who it is.
var labWorld = []string{
	"host mx.follows.example", "host mx.other.example", "mx follows.example mx.follows.example", "mx other.example mx.other.example",
	"sts follows.example testing 10886400 mx.follows.example",
}

func newWorkflowWorld(t testing.TB) *workflowWorld {
	t.Helper()
	w := &workflowWorld{t: t, dir: t.TempDir(), gateway: storetest.StartVersityGW(t)}
	w.tool = &builtTool{dir: filepath.Join(w.dir, "tool")}
	w.list, w.remote = filepath.Join(w.dir, "list"), filepath.Join(w.dir, "remote.git")
	var err error
	if w.lab, err = lab.Start(t.Context(), lab.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.lab.Close)
	for _, line := range labWorld {
		verb, rest, _ := strings.Cut(line, " ")
		if err := furnish(w.lab, verb, rest); err != nil {
			t.Fatal(err)
		}
	}
	w.write("roots.pem", string(w.lab.RootsPEM()))
	w.startCloud()
	for _, dir := range []string{"tool", "home", "vantage"} {
		if err := os.Mkdir(filepath.Join(w.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.initRepository()
	return w
}

func (w *workflowWorld) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// initRepository has init write the repository, and fills in what SETUP.md asks for. The keys are those of all operators in
// these tests, outside the repository; those that init itself makes take seconds under the race detector.
func (w *workflowWorld) initRepository() {
	w.t.Helper()
	var out bytes.Buffer
	args := []string{"init", "--repository", w.list, "--origin", "list.operator.example/2026", "--ref", workflowRef}
	if code := run(w.t.Context(), args, nil, &out, &out); code != 0 {
		w.t.Fatalf("init: exit code %d\n%s", code, out.String())
	}
	private := filepath.Join(w.dir, "private")
	folder, err := operatorFolder()
	if err == nil {
		err = os.CopyFS(private, folder)
	}
	if err == nil {
		err = os.Rename(filepath.Join(private, "trust"), filepath.Join(w.list, "trust"))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(w.list, configName))
	if err != nil {
		w.t.Fatal(err)
	}
	w.proxy = w.deadlyProxy()
	text := string(config)
	for old, new := range map[string]string{
		"s3://change-me/state?region=eu-1": w.place("state"), "s3://change-me/public?region=eu-1": w.place("public"), "s3://change-me/evidence?region=eu-1": w.place("evidence"),
		"awskms:///alias/policylist-release": filepath.ToSlash(private) + "/keys/release.key", "awskms:///alias/policylist-log": filepath.ToSlash(private) + "/keys/log.key",
	} {
		if strings.Count(text, old) != 1 {
			w.t.Fatalf("the configuration has no %s:\n%s", old, text)
		}
		text = strings.Replace(text, old, new, 1)
	}
	w.write("list/"+configName, text)
	if err := os.RemoveAll(filepath.Join(w.list, "list", "domains")); err != nil {
		w.t.Fatal(err)
	}
	w.write("list/list/list.json", fmt.Sprintf(`{"author": "Test", "origin": "list.operator.example/2026", "quorum": 2, "vantages": [
  {"name": "north", "key": %q},
  {"name": "south", "key": %q}
]}`+"\n", w.vantageKey("north"), w.vantageKey("south")))
	w.write("list/list/follows.json", `{"policies": {"follows.example": {"mode": "testing", "mxs": ["mx.follows.example"], "managed-by": "mta-sts"}}}`+"\n")
	runGit(w.t, w.list, "init", "-q", "-b", "main")
	w.commit("The list")
	runGit(w.t, w.dir, "clone", "-q", "--bare", w.list, w.remote)
	runGit(w.t, w.list, "remote", "add", "origin", w.remote)
}

func (w *workflowWorld) commit(message string) {
	w.t.Helper()
	runGit(w.t, w.list, "add", ".")
	runGit(w.t, w.list, "commit", "-q", "-m", message)
}

// pull pushes what HEAD is as pull request number 1.
func (w *workflowWorld) pull() string {
	w.t.Helper()
	head := runGit(w.t, w.list, "rev-parse", "HEAD")
	runGit(w.t, w.list, "push", "-q", "--force", "origin", "HEAD:refs/pull/1/head")
	return head
}

func (w *workflowWorld) vantageKey(name string) (public string) {
	w.t.Helper()
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("vantage/"+name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return base64.StdEncoding.EncodeToString(pub)
}

// place is a prefix on S3, by way of the proxy.
func (w *workflowWorld) place(prefix string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=%s&region=us-east-1", w.gateway.Bucket, prefix, w.proxy)
}

// kill has the running step killed at the nth write from now whose path holds part.
func (w *workflowWorld) kill(part string, n int64) {
	w.victim.Store(part)
	w.fatal.Store(n)
}

// dies kills the running step if it is time. Those requests that try what the store is worth are not counted.
func (w *workflowWorld) dies(r *http.Request) {
	part, _ := w.victim.Load().(string)
	if r.Method == http.MethodGet || w.fatal.Load() == 0 || !strings.Contains(r.URL.Path, part) || strings.Contains(r.URL.Path, "/probe/") {
		return
	}
	if w.fatal.Add(-1) == 0 {
		syscall.Kill(-int(w.group.Load()), syscall.SIGKILL)
		panic(http.ErrAbortHandler)
	}
}

// deadlyProxy leads to S3.
func (w *workflowWorld) deadlyProxy() string {
	target, err := url.Parse(w.gateway.Endpoint)
	if err != nil {
		w.t.Fatal(err)
	}
	to := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.dies(r)
		to.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(server.Close)
	return server.URL
}

const (
	oidcSecret = "oidc-request-secret"
	oidcToken  = "header.claims.signature"
	publisher  = "arn:aws:iam::111122223333:role/publisher"
	githubPAT  = "token-of-the-job"

	// jobIdentity stands for the workflow: tokens of GitHub's name it by URL, those of the tests' issuer by a mail address.
	jobIdentity = "publish@list.operator.example"
)

// startCloud answers as GitHub's OIDC issuer, as AWS's STS and as GitHub's API do, to those who show the right token.
// Credentials come without a session token, for versitygw knows none.
func (w *workflowWorld) startCloud() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /oidc", func(rw http.ResponseWriter, r *http.Request) {
		token := map[string]string{"sts.amazonaws.com": oidcToken}
		if w.issuer != nil {
			token[keyless.DefaultAudience] = w.issuer.Token(w.t, jobIdentity, keyless.DefaultAudience)
		}
		if !strings.EqualFold(r.Header.Get("Authorization"), "bearer "+oidcSecret) || token[r.FormValue("audience")] == "" {
			http.Error(rw, "no", http.StatusForbidden)
			return
		}
		fmt.Fprintf(rw, `{"value":%q}`, token[r.FormValue("audience")])
	})
	mux.HandleFunc("POST /sts", func(rw http.ResponseWriter, r *http.Request) {
		if r.FormValue("Action") != "AssumeRoleWithWebIdentity" || r.FormValue("WebIdentityToken") != oidcToken || r.FormValue("RoleArn") != publisher {
			http.Error(rw, "no", http.StatusForbidden)
			return
		}
		fmt.Fprintf(rw, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>`+
			`<Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken></SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials>`+
			`</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, w.gateway.AccessKey, w.gateway.SecretKey)
	})
	mux.HandleFunc("POST /api/repos/operator/list/pulls", func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+githubPAT {
			http.Error(rw, "no", http.StatusUnauthorized)
			return
		}
		w.dies(r)
		if w.pulls.Add(1) > 1 {
			http.Error(rw, "there is one", http.StatusUnprocessableEntity)
			return
		}
		rw.WriteHeader(http.StatusCreated)
	})
	w.cloud = httptest.NewServer(mux)
	w.t.Cleanup(w.cloud.Close)
}

// runner is a host that runs jobs; with keys it is one of ours that has credentials of its own, as a vantage.
func (w *workflowWorld) runner(t testing.TB, ours bool) *workflowRunner {
	t.Helper()
	r := &workflowRunner{t: t, remote: w.remote, tool: w.tool, out: &bytes.Buffer{}, killed: func(group int) { w.group.Store(int64(group)) }}
	r.values = map[string]string{
		"vars.POLICYLIST_VANTAGES": `["north","south"]`, "vars.POLICYLIST_ROLE": publisher, "vars.POLICYLIST_READ_ROLE": publisher,
		"vars.POLICYLIST_REGION": "us-east-1", "vars.POLICYLIST_CONFIG": "", "vars.POLICYLIST_TRUST": "",
		"vars.POLICYLIST_MIRROR": w.gateway.URL("public"), "secrets.COSIGN_PASSWORD": "correct-horse",
		"vars.POLICYLIST_RELEASE_KEY": "", "vars.POLICYLIST_LOG_KEY": "", "vars.POLICYLIST_KEYLESS": "",
		"secrets.SYNC_TOKEN": "", "github.token": githubPAT, "github.event.repository.default_branch": "main",
	}
	r.env = []string{
		"HOME=" + filepath.Join(w.dir, "home"), "CI=true", "GITHUB_REPOSITORY=operator/list", "GITHUB_REF_NAME=main", "GITHUB_RUN_ID=1",
		"GITHUB_API_URL=" + w.cloud.URL + "/api", "ACTIONS_ID_TOKEN_REQUEST_URL=" + w.cloud.URL + "/oidc?v=1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=" + oidcSecret,
		"AWS_ENDPOINT_URL_STS=" + w.cloud.URL + "/sts", "AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
		"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
	}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOFLAGS", "GOPROXY", "GOSUMDB", "GOTOOLCHAIN"} {
		r.env = append(r.env, name+"="+goEnv(t, name))
	}
	if ours {
		r.env = append(r.env, w.gateway.Env()...)
		r.env = append(r.env, "VANTAGE_EHLO=probe.operator.example", "VANTAGE_CANARY=other.example", "VANTAGE_FOLDER="+filepath.Join(w.dir, "vantage"),
			"VANTAGE_EVIDENCE="+w.place("evidence"), "VANTAGE_CHANGES="+w.gateway.URL("changes"), "VANTAGE_OPTIONS="+w.labFlags()+" --allow-loopback")
	}
	return r
}

// vantage is the host of one vantage.
func (w *workflowWorld) vantage(t testing.TB, name string) *workflowRunner {
	r := w.runner(t, true)
	r.values["matrix.vantage"] = name
	r.host = []string{w.tool.built}
	r.env = append(r.env, "VANTAGE_KEY="+filepath.Join(w.dir, "vantage", name+".pem"))
	return r
}

func (w *workflowWorld) labFlags() string {
	return fmt.Sprintf("--resolver %s --roots %s --smtp-port %d --https-port %d", w.lab.Resolver(), filepath.Join(w.dir, "roots.pem"), w.lab.SMTPPort(), w.lab.HTTPSPort())
}

// caller is a workflow in the list's repository.
func (w *workflowWorld) caller(name string) string {
	return filepath.Join(w.list, ".github", "workflows", name+".yml")
}

// stored are the objects below a prefix.
func (w *workflowWorld) stored(prefix string) []string {
	found, err := filepath.Glob(filepath.Join(w.gateway.Folder, prefix, "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(found)
	return found
}
