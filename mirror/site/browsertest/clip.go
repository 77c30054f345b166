package browsertest

import (
	"context"
	"os"
	"path/filepath"
	"strconv"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// Clipboard is the text that was copied last.
func (p *Page) Clipboard() string {
	p.t.Helper()
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		p.browser("allow "+name, func(ctx context.Context, b *chromedp.Browser, id cdp.BrowserContextID) error {
			_, err := cdp.Call(ctx, b, browser.SetPermission, browser.SetPermissionParams{
				Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted, BrowserContextID: id})
			return err
		})
	}
	return Eval[string](p, "navigator.clipboard.readText()")
}

// Copy selects the first element that a selector finds, as a reader does with a mouse, and copies the selection.
func (p *Page) Copy(selector string) {
	p.t.Helper()
	p.do("select "+selector, chromedp.Click(chromedp.CSS(selector)))
	Eval[bool](p, "getSelection().selectAllChildren(document.querySelector("+strconv.Quote(selector)+")), true")
	command(p, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: "c", Code: "KeyC", WindowsVirtualKeyCode: 'C',
		Modifiers: int64(chromedp.ModifierCtrl), Commands: []string{"copy"}})
}

// Download clicks on a link to something that is saved, and returns the name under which it is, and what.
func (p *Page) Download(selector string) (name string, data []byte) {
	p.t.Helper()
	dir := p.t.TempDir()
	p.browser("allow downloads", func(ctx context.Context, b *chromedp.Browser, id cdp.BrowserContextID) error {
		events := true
		_, err := cdp.Call(ctx, b, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
			Behavior: browser.SetDownloadBehaviorBehaviorAllowAndName, BrowserContextID: id, DownloadPath: dir, EventsEnabled: &events})
		return err
	})
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	begun, progress := chromedp.BrowserEvents(ctx, browser.DownloadWillBegin), chromedp.BrowserEvents(ctx, browser.DownloadProgress)
	p.Click(selector)
	for e, err := range begun {
		if err != nil {
			p.t.Fatalf("download: %v%s", err, p.told())
		}
		name = e.SuggestedFilename
		break
	}
	for e, err := range progress {
		if err != nil || e.State == browser.DownloadProgressStateCanceled {
			p.t.Fatalf("download: %v %v%s", e.State, err, p.told())
		}
		if e.State != browser.DownloadProgressStateCompleted {
			continue
		}
		data, err = os.ReadFile(filepath.Join(dir, e.GUID))
		if err != nil {
			p.t.Fatal(err)
		}
		break
	}
	return name, data
}

// browser runs a command of the whole browser for the tab's own profile.
func (p *Page) browser(what string, f func(ctx context.Context, b *chromedp.Browser, id cdp.BrowserContextID) error) {
	p.t.Helper()
	c := chromedp.FromContext(p.ctx)
	p.do(what, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error { return f(ctx, c.Browser, c.BrowserContextID) }))
}
