package audit

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var someMessage = Message{Mirror: "https://list.example/", Origin: "list.example", Release: 7, Alerts: []Alert{newAlert(AlertStale, "release 7")}}

// hook answers with each of the codes in turn, the last one for ever, and remembers what it was sent.
type hook struct {
	t     *testing.T
	codes []int
	asked atomic.Int32
	other atomic.Int32 // requests that followed a redirect
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/hook" {
		h.other.Add(1)
		return
	}
	data, err := io.ReadAll(r.Body)
	var m Message
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || m.Release != 7 || len(m.Alerts) != 1 || m.Alerts[0].Code != AlertStale {
		h.t.Errorf("%s %q %s: %v", r.Method, r.Header, data, err)
	}
	n := min(int(h.asked.Add(1)), len(h.codes)) - 1
	w.Header().Set("Location", "/elsewhere")
	w.WriteHeader(h.codes[n])
}

// A webhook's answer decides: taken, refused for good, or to be asked again; never is an alert carried elsewhere.
func TestWebhook(t *testing.T) {
	for _, c := range []struct {
		name  string
		codes []int
		asked int32
		good  bool
	}{
		{"taken", []int{204}, 1, true},
		{"taken at the third try", []int{503, 429, 200}, 3, true},
		{"down", []int{500}, webhookTries, false},
		{"refused", []int{403}, 1, false},
		{"moved", []int{302}, 1, false},
		{"moved for good", []int{308}, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &hook{t: t, codes: c.codes}
			server := httptest.NewServer(h)
			defer server.Close()
			w, err := NewWebhook(server.URL+"/hook", "test")
			if err != nil {
				t.Fatal(err)
			}
			w.pause = time.Millisecond
			if err := w.Deliver(t.Context(), someMessage); (err == nil) != c.good {
				t.Errorf("%v", err)
			}
			if h.asked.Load() != c.asked || h.other.Load() != 0 {
				t.Errorf("asked %d times, %d times elsewhere", h.asked.Load(), h.other.Load())
			}
		})
	}
	for _, address := range []string{"", "hook", "ftp://alerts.example/", "file:///etc/passwd"} {
		if _, err := NewWebhook(address, "test"); err == nil {
			t.Errorf("%q was taken for a webhook", address)
		}
	}
}

// A program that gets alerts has them on its standard input, is not given to a shell, must end well, and in time.
func TestCommand(t *testing.T) {
	for _, program := range []string{"cat", "false", "sleep"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is missing")
		}
	}
	var out bytes.Buffer
	if err := (Command{Argv: []string{"cat"}, Output: &out}).Deliver(t.Context(), someMessage); err != nil {
		t.Error(err)
	}
	var m Message
	if err := json.Unmarshal(out.Bytes(), &m); err != nil || m.Release != 7 || len(m.Alerts) != 1 {
		t.Errorf("%v: %s", err, out.String())
	}
	out.Reset()
	if err := (Command{Argv: []string{"echo", "$HOME;", "id"}, Output: &out}).Deliver(t.Context(), someMessage); err != nil || strings.TrimSpace(out.String()) != "$HOME; id" {
		t.Errorf("%v: %s", err, out.String())
	}
	for _, c := range []Command{
		{Argv: []string{"false"}},
		{Argv: []string{"/no/such/program"}},
		{Argv: []string{"sleep", "600"}, Limit: 10 * time.Millisecond},
	} {
		c.Output = io.Discard
		if err := c.Deliver(t.Context(), someMessage); err == nil {
			t.Errorf("%v: delivered", c.Argv)
		}
	}
}
