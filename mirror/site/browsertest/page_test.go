package browsertest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// head is what each page of these tests begins with.
const head = `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>T</title>` +
	`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'self'; script-src 'self' 'unsafe-inline'; img-src 'self' http:; connect-src *">` +
	`<link rel="icon" href="icon.svg"><link rel="stylesheet" href="style.css"></head><body>`

// flawed are pages, each with what a browser or a judge has to say of it; "" for nothing.
var flawed = []struct{ name, body, fault, sticks, violation, walk, invalid string }{
	{name: "good", body: `<main><h1>Good</h1><p><a href="#a">One</a> <a href="#b">Two</a></p></main>`},
	{name: "console", body: `<main><h1>H</h1></main><script>console.error("no", 7)</script>`, fault: "console.error: no 7"},
	{name: "exception", body: `<main><h1>H</h1></main><script>nothing.there()</script>`, fault: "nothing is not defined"},
	{name: "rejection", body: `<main><h1>H</h1></main><script>Promise.reject(new Error("late"))</script>`, fault: "Error: late"},
	{name: "dialog", body: `<main><h1>H</h1></main><script>alert("boo")</script>`, fault: "alert: boo"},
	{name: "policy", body: `<main><h1>H</h1><p><img alt="x" src="data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="></p></main>`, fault: "Content Security Policy"},
	{name: "inline style", body: `<main><h1>H</h1><p style="color: red">red</p></main>`, fault: "Content Security Policy", invalid: "no-inline-style"},
	{name: "missing", body: `<main><h1>H</h1><p><img alt="x" src="missing.svg"></p></main>`, fault: "missing.svg: status 404"},
	{name: "image elsewhere", body: `<main><h1>H</h1><p><img alt="x" src="http://elsewhere.example/x.svg"></p></main>`, fault: "request to http://elsewhere.example/x.svg"},
	{name: "other port", body: `<main><h1>H</h1></main><script>fetch("http://127.0.0.1:9/").catch(() => 0)</script>`, fault: "request to http://127.0.0.1:9/"},
	{name: "socket elsewhere", body: `<main><h1>H</h1></main><script>new WebSocket("ws://elsewhere.example/").onerror = () => document.title = "refused"</script>`, fault: "request to ws://elsewhere.example/"},
	{name: "wide word", body: `<main><h1>H</h1><p>` + strings.Repeat("w", 200) + `</p></main>`, sticks: "pixels wide, of 320"},
	{name: "cut off", body: `<main><h1>H</h1><p class="hide"><span>` + strings.Repeat("w", 200) + `</span></p></main>`, sticks: "<span>www"},
	{name: "box that scrolls", body: `<main><h1>H</h1><p class="scroll" tabindex="0"><span>` + strings.Repeat("w", 200) + `</span></p></main>`},
	{name: "no label", body: `<main><h1>H</h1><form action="good"><input type="text" name="q"><button type="submit">Go</button></form></main>`, violation: "label (critical)", invalid: "input-missing-label"},
	{name: "pale", body: `<main><h1>H</h1><p class="pale">hardly to be seen</p></main>`, violation: "color-contrast (serious)"},
	{name: "pale by night", body: `<main><h1>H</h1><p class="night">hardly to be seen</p></main>`, violation: "color-contrast (serious)"},
	{name: "order", body: `<main><h1>H</h1><p><a href="#a" tabindex="2">Second</a> <a href="#b" tabindex="1">First</a></p></main>`, walk: "comes next", violation: "tabindex (serious)"},
	{name: "no focus", body: `<main><h1>H</h1><p><a class="plain" href="#a">One</a></p></main>`, walk: "shows no focus"},
	{name: "out of sight", body: `<main><h1>H</h1><p><a class="far" href="good">One</a></p></main>`, walk: "out of sight"},
	{name: "trap", body: `<main><h1>H</h1><p><a href="#a" id="trap">One</a> <a href="#b">Two</a></p></main><script>trap.addEventListener("keydown", e => e.preventDefault())</script>`, walk: "comes next"},
	{name: "trap at the end", body: `<main><h1>H</h1><p><a href="#b">Two</a> <a href="#a" id="trap">One</a></p></main><script>trap.addEventListener("keydown", e => e.preventDefault())</script>`, walk: "keeps the focus"},
	{name: "not closed", body: `<main><h1>H</h1><div><p>text</main>`, invalid: "close-order"},
	{name: "twice", body: `<main><h1>H</h1><p id="a">one</p><p id="a">two</p></main>`, invalid: "no-dup-id"},
}

const sheet = `:root { color-scheme: light dark; } body { margin: 1rem; color: #222; background: #fff; }
:focus { outline: 3px solid #00f; } a.plain:focus { outline: none; } a.far { position: absolute; left: -100rem; }
.hide { overflow: hidden; } .scroll { overflow-x: auto; } .pale { color: #ccc; }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #111; } a { color: #8bf; } .night { color: #333; } }
p { colour: red; margin: 1rem 2; padding: var(--gap); } a:hoover { color: red; }`

func serveFlawed(t *testing.T) string {
	mux := http.NewServeMux()
	for _, f := range flawed {
		mux.HandleFunc("GET /below/"+path(f.name), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, head+f.body+"</body></html>\n")
		})
	}
	mux.HandleFunc("GET /below/icon.svg", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/svg+xml")
		fmt.Fprint(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>`)
	})
	mux.HandleFunc("GET /below/style.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		fmt.Fprint(w, sheet)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL + "/below/"
}

func path(name string) string { return strings.ReplaceAll(name, " ", "-") }

// Each of the checks that pages go through finds the flaw that it is there for, and no other.
func TestFlawsInBrowser(t *testing.T) {
	b := Start(t)
	p := b.Open(t, serveFlawed(t))
	p.Judge()
	p.Size(320, 640)
	expect := func(name, check, want string, got []string) {
		t.Helper()
		text := strings.Join(got, "\n")
		if want == "" && text != "" || !strings.Contains(text, want) {
			t.Errorf("%s: %s: %q, want %q", name, check, text, want)
		}
	}
	for _, f := range flawed {
		p.Go(path(f.name))
		if strings.Contains(f.body, "onerror") {
			p.Until(`document.title !== "T"`)
		}
		expect(f.name, "faults", f.fault, p.Faults())
		expect(f.name, "sticks", f.sticks, p.Sticks())
		expect(f.name, "walk", f.walk, p.Walk())
		var violations []string
		for _, dark := range []bool{false, true} {
			p.Dark(dark)
			violations = append(violations, p.Violations()...)
		}
		p.Dark(false)
		expect(f.name, "violations", f.violation, violations)
		if got := p.Requests(); len(got) < 2 || !strings.HasSuffix(got[0], path(f.name)) || !strings.HasSuffix(got[1], "style.css") {
			t.Errorf("%s: requests %q", f.name, got)
		}
	}
	p.Go("good")
	expect("the sheet", "rejected", "p { colour: red }\np { margin: 1rem 2 }\na:hoover", p.Rejected("style.css"))
}

func TestInvalid(t *testing.T) {
	pages := map[string][]byte{}
	for _, f := range flawed {
		pages[path(f.name)+".html"] = []byte(head + f.body + "</body></html>\n")
	}
	found := map[string][]string{}
	for _, line := range Invalid(t, pages) {
		file, _, _ := strings.Cut(line, ".html:")
		found[file] = append(found[file], line)
	}
	for _, f := range flawed {
		got := strings.Join(found[path(f.name)], "\n")
		if f.invalid == "" && got != "" || !strings.Contains(got, f.invalid) {
			t.Errorf("%s: %q, want %q", f.name, got, f.invalid)
		}
	}
}

// A tab knows nothing of another.
func TestTabsInBrowser(t *testing.T) {
	b, base := Start(t), serveFlawed(t)
	one, two := b.Open(t, base), b.Open(t, base)
	one.Go("good")
	two.Go("good")
	Eval[string](one, `localStorage.setItem("a", "b"), "done"`)
	if Eval[bool](two, `localStorage.getItem("a") !== null`) {
		t.Error("one tab sees what another stored")
	}
}
