package browsertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Keys for Press.
const (
	Tab   = kb.Tab
	Enter = kb.Enter
)

// Page is one tab, with a profile that it shares with no other.
type Page struct {
	t    testing.TB
	ctx  context.Context
	base string
	bare bool   // without JavaScript
	axe  string // the source of axe-core, once Judge was called

	mu       sync.Mutex
	faults   []string
	requests []string
}

// Open opens a tab on pages below base, an address that ends in a slash. Requests elsewhere are faults.
func (b *Browser) Open(t testing.TB, base string) *Page {
	t.Helper()
	p := &Page{t: t, base: base}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.take))
	t.Cleanup(cancel)
	p.ctx = ctx
	late := context.AfterFunc(b.ctx, cancel)
	t.Cleanup(func() { late() })
	p.do("open a tab", chromedp.Steps())
	return p
}

// run runs a step before its deadline.
func run[T any](p *Page, what string, a chromedp.Action[T]) T {
	p.t.Helper()
	if p.ctx.Err() == nil && chromedp.FromContext(p.ctx).Target == nil {
		// The first step decides how long the tab lives.
		if err := chromedp.Do(p.ctx); err != nil {
			p.t.Fatalf("%s: %v", what, err)
		}
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		p.t.Fatalf("%s: %v%s", what, err, p.told())
	}
	return v
}

func (p *Page) do(what string, a chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	run(p, what, a)
}

// told is what the browser complained of so far, for the message of a failure.
func (p *Page) told() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.faults) == 0 {
		return ""
	}
	return "\nthe browser said:\n" + strings.Join(p.faults, "\n")
}

// Go loads a page, by its path below the base, and waits until all of it is there.
func (p *Page) Go(path string) {
	p.t.Helper()
	p.do("load "+path, chromedp.Navigate(p.base+path))
}

// Path is where the tab is, below the base.
func (p *Page) Path() string {
	p.t.Helper()
	return strings.TrimPrefix(Eval[string](p, "location.href"), p.base)
}

// Eval is the value of an expression; a promise is awaited.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	return run(p, expression, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Text is the text of the first element that a selector finds, as it is shown.
func (p *Page) Text(selector string) string {
	p.t.Helper()
	return Eval[string](p, fmt.Sprintf("document.querySelector(%q).innerText", selector))
}

// Until waits until an expression is true of the document, looking whenever that changes. (The driver's own way of waiting
// evaluates text, which a Content-Security-Policy forbids.)
func (p *Page) Until(expression string) {
	p.t.Helper()
	Eval[bool](p, fmt.Sprintf(`new Promise(done => {
		const ready = () => Boolean(%s), watch = new MutationObserver(() => { if (ready()) { watch.disconnect(); done(true); } });
		if (ready()) done(true); else watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
	})`, expression))
}

// Press presses keys.
func (p *Page) Press(keys string) {
	p.t.Helper()
	p.do("press keys", chromedp.KeyEvent(keys))
}

// PressTo presses keys that lead to another page, and waits for it.
func (p *Page) PressTo(keys string) {
	p.t.Helper()
	p.leave("press keys", chromedp.KeyEvent(keys))
}

// Click clicks on the first element that a selector finds.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// ClickTo clicks on what leads to another page, and waits for it.
func (p *Page) ClickTo(selector string) {
	p.t.Helper()
	p.leave("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

func (p *Page) leave(what string, a chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	run(p, what, chromedp.WaitEvent(page.LoadEventFired, nil, a))
}

// Type replaces what is in an input by text, key by key.
func (p *Page) Type(selector, text string) {
	p.t.Helper()
	Eval[bool](p, fmt.Sprintf("(e => { e.focus(); e.select(); return true; })(document.querySelector(%q))", selector))
	p.Press(kb.Delete)
	p.do("insert text", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error { return insert(ctx, t, text) }))
}

// Size sets how wide the page is, in CSS pixels.
func (p *Page) Size(width, height int64) {
	p.t.Helper()
	p.do("set the size", chromedp.EmulateViewport(width, height))
}

// Dark sets whether the reader prefers dark colours.
func (p *Page) Dark(dark bool) {
	p.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	command(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// NoScript turns JavaScript off, from the next page on.
func (p *Page) NoScript() {
	p.t.Helper()
	p.bare = true
	command(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
}

// First has a script run in each page before the page's own.
func (p *Page) First(script string) {
	p.t.Helper()
	command(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
}

func command[P, R any](p *Page, c cdp.Command[P, R], params P) {
	p.t.Helper()
	p.do(c.Method, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	}))
}

// Requests are the addresses that the tab asked for since the last call, in order.
func (p *Page) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.requests
	p.requests = nil
	return r
}

// Faults are what the browser complained of since the last call: anything on the console, violations of the
// Content-Security-Policy, exceptions, dialogs, requests that failed or that went elsewhere.
func (p *Page) Faults() []string {
	p.t.Helper()
	if !p.bare { // no timer of the page's runs then, nor anything else that it could have in hand
		Eval[bool](p, "new Promise(done => setTimeout(() => done(true)))")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.faults
	p.faults = nil
	return f
}

// Quiet fails the test for each fault, except those that contain one of the given texts.
func (p *Page) Quiet(except ...string) {
	p.t.Helper()
	for _, f := range p.Faults() {
		if !slices.ContainsFunc(except, func(e string) bool { return strings.Contains(f, e) }) {
			p.t.Errorf("%s: %s", p.Path(), f)
		}
	}
}
