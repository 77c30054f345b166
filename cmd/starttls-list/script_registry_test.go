package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// startScriptRegistry is the command "registry FILE" of scripts: it starts a registry that answers over RDAP for names below
// .example as FILE says, and says where it and its bootstrap registry are in REGISTRY and BOOTSTRAP. Each line is
//
//	NAME DATE      it was registered then
//	NAME busy      asks to be left alone
//	NAME TEXT…     that text, whatever it is
func startScriptRegistry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: registry FILE")
	}
	answers := map[string]string{}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if name, rest, found := strings.Cut(strings.TrimSpace(line), " "); found {
			answers[name] = rest
		}
	}
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/dns.json" {
			fmt.Fprintf(w, `{"version":"1.0","services":[[["example"],["http://%s/rdap/"]]]}`, r.Host)
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/rdap/domain/")
		switch answer := answers[name]; {
		case answer == "":
			w.WriteHeader(http.StatusNotFound)
		case answer == "busy":
			w.WriteHeader(http.StatusTooManyRequests)
		case strings.HasPrefix(answer, "20"):
			fmt.Fprintf(w, `{"objectClassName":"domain","ldhName":%q,"events":[{"eventAction":"registration","eventDate":%q}]}`, name, answer)
		default:
			fmt.Fprint(w, answer)
		}
	}))
	ts.Defer(server.Close)
	ts.Setenv("REGISTRY", server.URL)
	ts.Setenv("BOOTSTRAP", server.URL+"/dns.json")
}
