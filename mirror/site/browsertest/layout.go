package browsertest

import "fmt"

// Sticks is what the page has beyond its right edge: itself, when it scrolls sideways, and elements that are cut off. What
// stands in a box that scrolls by itself, and has said so by overflow, is in its place.
func (p *Page) Sticks() []string {
	p.t.Helper()
	return Eval[[]string](p, `(() => {
		const root = document.documentElement, width = root.clientWidth, found = [];
		if (root.scrollWidth > width) found.push("the page is " + root.scrollWidth + " pixels wide, of " + width);
		const scrolls = (e) => { for (e = e.parentElement; e && e !== document.body; e = e.parentElement) if (/auto|scroll/.test(getComputedStyle(e).overflowX)) return true; return false; };
		for (const e of document.body.querySelectorAll("*")) {
			const box = e.getBoundingClientRect();
			if (box.width > 0 && box.right > width + 1 && !scrolls(e)) found.push(e.outerHTML.slice(0, 120) + " ends at " + Math.round(box.right));
		}
		return found;
	})()`)
}

// Rejected is what the style sheets of a page say that the browser does not understand: a declaration with a typing error
// is dropped without a word. Values with variables are not judged.
func (p *Page) Rejected(sheet string) []string {
	p.t.Helper()
	return Eval[[]string](p, fmt.Sprintf(`fetch(%q).then(r => r.text()).then(text => {
		const found = [], plain = text.replace(/\/\*[^]*?\*\//g, "");
		if ((plain.match(/{/g) || []).length !== (plain.match(/}/g) || []).length) found.push("braces do not match");
		for (const [, selectors, block] of plain.matchAll(/([^{};]+){([^{}]*)}/g)) {
			const selector = selectors.trim();
			if (!selector.startsWith("@") && !CSS.supports("selector(" + selector.replace(/,(?![^(]*\)).*/s, "") + ")")) found.push(selector);
			for (const declaration of block.split(";").map(s => s.trim()).filter(Boolean)) {
				const colon = declaration.indexOf(":"), name = declaration.slice(0, colon).trim(), value = declaration.slice(colon + 1).trim();
				if (!name.startsWith("--") && !value.includes("var(") && !CSS.supports(name, value)) found.push(selector + " { " + declaration + " }");
			}
		}
		return found;
	})`, sheet))
}
