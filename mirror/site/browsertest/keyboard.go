package browsertest

import "fmt"

// reachable are the elements that a keyboard has to reach, in the order of the document. A box that scrolls is one.
const reachable = `Array.from(document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")).filter(e => !e.disabled && e.tabIndex >= 0 && e.checkVisibility())`

// named tells an element in a message.
const named = `(e => e.outerHTML.slice(0, 100))`

// Walk goes through a page by the tabulator alone, from its beginning, and returns what is wrong: an element that is not
// reached in the order of the document, that shows no focus, that keeps it, or that stays out of sight.
func (p *Page) Walk() []string {
	p.t.Helper()
	n := Eval[int](p, fmt.Sprintf(`(() => { window.__stops = %s; document.activeElement.blur(); getSelection().collapse(document.body, 0); return __stops.length; })()`, reachable))
	var wrong []string
	for i := range n {
		p.Press(Tab)
		wrong = append(wrong, Eval[[]string](p, fmt.Sprintf(`(() => {
			const want = __stops[%d], e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect(), found = [];
			if (e !== want) return [%s(want) + " comes next, but " + %s(e) + " has the focus"];
			if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) found.push(%[2]s(e) + " shows no focus");
			if (box.right <= 0 || box.bottom <= 0 || box.top >= innerHeight || box.left >= innerWidth) found.push(%[2]s(e) + " has the focus out of sight");
			return found;
		})()`, i, named, named))...)
		if len(wrong) > 3 {
			return append(wrong, "…")
		}
	}
	p.Press(Tab)
	if Eval[bool](p, "__stops.length > 1 && document.activeElement === __stops[__stops.length - 1]") {
		wrong = append(wrong, "the last element keeps the focus")
	}
	return wrong
}
