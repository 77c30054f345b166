package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// tlsrptFolder makes a folder with a configuration for tlsrpt whose DNS is a lab's, and goes there.
func tlsrptFolder(t *testing.T, more string) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	t.Chdir(t.TempDir())
	text := fmt.Sprintf("[probe]\nresolver = %q\n[tlsrpt]\nstate = \"store\"\nhost = \"reports.operator.example\"\n%s", l.Resolver(), more)
	if err := os.WriteFile(configName, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return l
}

// yesterdays is a report of yesterday.
func yesterdays(id, domain string) string {
	day := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	return fmt.Sprintf(`{"organization-name":"Sender","date-range":{"start-datetime":"%sT00:00:00Z","end-datetime":"%sT23:59:59Z"},"contact-info":"t@s.example","report-id":%q,`+
		`"policies":[{"policy":{"policy-type":"sts","policy-domain":%q},"summary":{"total-successful-session-count":10,"total-failure-session-count":2}}]}`, day, day, id, domain)
}

// enrolInLab enrols a domain by the lab's DNS, and returns the path of its URI.
func enrolInLab(t *testing.T, l *lab.Lab, domain string) (path string) {
	t.Helper()
	enrol := func() (state, uri string) {
		var e enrolment
		var out, said bytes.Buffer
		code := run(t.Context(), []string{"tlsrpt", "enrol", "--json", domain}, nil, &out, &said)
		if err := json.Unmarshal(out.Bytes(), &e); err != nil || code != 0 {
			t.Fatalf("exit code %d, %v\n%s%s", code, err, out.String(), said.String())
		}
		return e.State, e.URI
	}
	_, uri := enrol()
	if err := l.AddRecord("_smtp._tls." + domain + ` 60 IN TXT "v=TLSRPTv1; rua=` + uri + `"`); err != nil {
		t.Fatal(err)
	}
	if state, _ := enrol(); state != "enrolled" {
		t.Fatal(state)
	}
	return strings.TrimPrefix(uri, "https://reports.operator.example")
}

// The examples of enrol, status and ingest follow one another.
func TestTLSRPTTranscripts(t *testing.T) {
	l := tlsrptFolder(t, "")
	if err := os.Mkdir("reports", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("reports/1.json", []byte(yesterdays("1", "a.example")), 0o600); err != nil {
		t.Fatal(err)
	}
	transcript(t, newTLSRPTEnrolCommand().Example)
	transcript(t, newTLSRPTStatusCommand().Example)
	enrolInLab(t, l, "a.example")
	transcript(t, newTLSRPTIngestCommand().Example)
}

// Every key of [tlsrpt] is in what init writes, and the section as written is one that reads.
func TestTLSRPTConfigText(t *testing.T) {
	keys := reflect.TypeFor[tlsrptConfig]()
	for i := range keys.NumField() {
		if key := keys.Field(i).Tag.Get("toml"); !strings.Contains(tlsrptConfigText, "\n"+key+" = ") {
			t.Errorf("%s is not explained", key)
		}
	}
	path := filepath.Join(t.TempDir(), configName)
	text := strings.NewReplacer(`state = ""`, `state = "store"`, `host = ""`, `host = "reports.operator.example:8443"`).Replace(tlsrptConfigText)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readTLSRPTConfig(path); err != nil {
		t.Error(err)
	}
	for text, want := range map[string]int64{"500MiB": 500 << 20, "2GiB": 2 << 30, "": 0} {
		c := &config{TLSRPT: tlsrptConfig{Space: text}}
		if n, err := c.tlsrptSpace(); err != nil || n != want {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
	for _, text := range []string{"0GiB", "-1MiB", "1KiB", "GiB", "99999999999GiB", "9999999999999999999MiB"} {
		if n, err := (&config{TLSRPT: tlsrptConfig{Space: text}}).tlsrptSpace(); err == nil {
			t.Errorf("%q is %d bytes", text, n)
		}
	}
}

// placed is a listener that is somewhere.
type placed struct {
	net.Listener
	at net.Addr
}

func (p placed) Addr() net.Addr { return p.at }

// What systemd passes is held to the same as what the configuration says.
func TestTLSRPTPassedSockets(t *testing.T) {
	public := []net.Listener{placed{at: &net.UnixAddr{Name: "/run/x"}}, placed{at: &net.TCPAddr{IP: net.IPv6unspecified, Port: 443}}}
	local := []net.Listener{placed{at: &net.TCPAddr{IP: net.IPv6loopback, Port: 443}}, placed{at: &net.UnixAddr{Name: "/run/x"}}}
	clear, encrypted := &config{}, &config{TLSRPT: tlsrptConfig{Certificate: "cert.pem"}}
	if clear.checkEncrypted(public) == nil || clear.checkEncrypted(local) != nil || encrypted.checkEncrypted(public) != nil {
		t.Errorf("%v, %v, %v", clear.checkEncrypted(public), clear.checkEncrypted(local), encrypted.checkEncrypted(public))
	}
}

// serving is a tlsrpt serve in a process of its own, on a unix socket.
type serving struct {
	cmd    *exec.Cmd
	client *http.Client
	errors *bytes.Buffer
}

// listenOnSocket has the server listen in the present folder, and tell its metrics somewhere.
func listenOnSocket(t *testing.T) {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(configName, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "listen = [\"unix:%s/socket\"]\nmetrics = \"127.0.0.1:0\"\n", dir); err != nil {
		t.Fatal(err)
	}
}

// startServing returns when it takes reports.
func startServing(t *testing.T) *serving {
	t.Helper()
	s := &serving{errors: &bytes.Buffer{}, cmd: &exec.Cmd{Path: os.Args[0], Args: []string{"starttls-list", "tlsrpt", "serve"}, Env: os.Environ()}}
	out, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "taking reports") {
		fmt.Fprintln(s.errors, lines.Text())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, out)
	socket, err := filepath.Abs("socket")
	if err != nil {
		t.Fatal(err)
	}
	s.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	return s
}

// post returns the status, 0 for no answer.
func (s *serving) post(path, body string) (int, string) {
	r, err := s.client.Post("http://reports.operator.example"+path, "application/tlsrpt+json", strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body) // an answer that was cut off is an answer
	return r.StatusCode, string(text)
}

// The server takes reports beside the other commands, tells its metrics, and ends when it is told to.
func TestTLSRPTServe(t *testing.T) {
	l := tlsrptFolder(t, "")
	listenOnSocket(t)
	path := enrolInLab(t, l, "a.example")
	s := startServing(t)
	for i, want := range []int{201, 200} {
		if status, text := s.post(path, yesterdays("1", "a.example")); status != want {
			t.Errorf("%d: %d %s", i, status, text)
		}
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"tlsrpt", "status"}, nil, &out, &out); code != 0 || !strings.Contains(out.String(), "last 7 days: 1 shown, 1 duplicates\n") {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
	_, metrics, _ := strings.Cut(s.errors.String(), "msg=metrics address=")
	r, err := http.Get("http://" + strings.TrimSpace(metrics) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(r.Body)
	if err != nil || len(families) != len(tlsrptTable) {
		t.Fatalf("%d metrics, %v", len(families), err)
	}
	for _, m := range families["starttls_list_tlsrpt_documents_total"].GetMetric() {
		want := map[string]float64{"shown": 1, "duplicates": 1}[m.GetLabel()[0].GetValue()]
		if got := m.GetCounter().GetValue(); got != want {
			t.Errorf("%v: %v, want %v", m.GetLabel(), got, want)
		}
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, s.errors)
	}
}

// The server is killed in the middle of a stream of reports, again and again. What it had answered with 2xx is there, each
// once; what it had not may be sent again.
func TestTLSRPTServeKilled(t *testing.T) {
	l := tlsrptFolder(t, "")
	listenOnSocket(t)
	path := enrolInLab(t, l, "a.example")
	taken := map[string]bool{} // the reports that were answered
	var mu sync.Mutex
	const senders, rounds, each = 4, 4, 40
	id := 0
	for round := range rounds {
		s := startServing(t)
		answered := 0
		var group sync.WaitGroup
		for range senders {
			group.Go(func() {
				for {
					mu.Lock()
					mine := fmt.Sprint(id)
					id++
					mu.Unlock()
					status, _ := s.post(path, yesterdays(mine, "a.example"))
					if status == 0 {
						return
					}
					mu.Lock()
					if status == 201 {
						taken[mine] = true
					}
					if answered++; answered == each+round {
						s.cmd.Process.Kill()
					}
					mu.Unlock()
				}
			})
		}
		group.Wait()
		s.cmd.Wait() // it was killed
	}
	s := startServing(t)
	lost, late := 0, 0
	for i := range id {
		mine := fmt.Sprint(i)
		switch status, text := s.post(path, yesterdays(mine, "a.example")); {
		case status == 201 && taken[mine]:
			lost++
		case status == 201:
			late++
		case status != 200:
			t.Errorf("%s: %d %s", mine, status, text)
		}
	}
	if lost > 0 || len(taken) < rounds*each/2 {
		t.Errorf("%d of %d reports that were answered are lost", lost, len(taken))
	}
	t.Logf("%d reports answered, %d of the others sent again", len(taken), late)
	s.cmd.Process.Kill()
	s.cmd.Wait() // it was killed
	var out bytes.Buffer
	if code := run(t.Context(), []string{"tlsrpt", "status"}, nil, &out, &out); code != 0 || !strings.Contains(out.String(), fmt.Sprintf("only shown: %d sessions, %d failed", 12*id, 2*id)) {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
}
