// What pages do beyond their text: look a domain up, tell ages, copy commands. Nothing here writes HTML: text from other
// people's servers goes into the page as text.
(function () {
  "use strict";
  const body = document.body, root = body.dataset.root, digits = Number(body.dataset.digits);

  function add(parent, tag, text, attributes) {
    const e = document.createElement(tag);
    if (text !== undefined) e.textContent = text;
    for (const name in attributes || {}) e.setAttribute(name, attributes[name]);
    parent.append(e);
    return e;
  }

  // The URL parser turns a name into A-labels (UTS 46), as the list has them. Returns "" for what is no domain.
  function normalize(input) {
    const name = input.trim().replace(/^.*@/, "").replace(/\.$/, "");
    if (name === "" || /[\s\/:?#\\%\[\]]/.test(name)) return "";
    try {
      const host = new URL("http://" + name + "/").hostname;
      return /^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]*[a-z][a-z0-9-]*$/.test(host) ? host : "";
    } catch (_) {
      return "";
    }
  }

  window.policylist = { normalize: normalize }; // for the scripts of single pages

  async function shard(domain) {
    const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(domain)));
    return Array.from(sum, (b) => b.toString(16).padStart(2, "0")).join("").slice(0, digits);
  }

  // Undefined for a domain that was never listed.
  async function lookUp(domain) {
    const answer = await fetch(root + "api/v1/domain/" + (await shard(domain)) + ".json");
    if (!answer.ok) throw new Error("status " + answer.status);
    const domains = (await answer.json()).domains;
    return Object.prototype.hasOwnProperty.call(domains, domain) ? domains[domain] : undefined;
  }

  // A time as pages have it, which are made from the same words.
  function moment(at) {
    const t = new Date(at);
    if (Number.isNaN(t.getTime())) return at;
    const month = "January February March April May June July August September October November December".split(" ")[t.getUTCMonth()];
    return t.getUTCDate() + " " + month + " " + t.getUTCFullYear() + ", " + t.toISOString().slice(11, 16) + " UTC";
  }

  function page(domain) {
    return root + "domain/" + (body.dataset.pages === "shards" ? "index.html#" + domain : domain + "/index.html");
  }

  function never(domain) { return domain + " is not on the list, and never was."; }

  const form = document.querySelector("form.search");
  if (form && window.crypto && crypto.subtle) {
    const input = form.querySelector("input"), answer = document.getElementById("answer");
    let asked = 0; // an answer that comes after a later question is dropped
    form.addEventListener("submit", async function (event) {
      event.preventDefault();
      const domain = normalize(input.value), question = ++asked;
      answer.replaceChildren();
      if (domain === "") {
        add(answer, "p", "That is no domain. Give a name like example.org.", { class: "lead" });
        return;
      }
      try {
        const status = await lookUp(domain);
        if (question !== asked) return;
        add(answer, "p", status ? status.sentence : never(domain), { class: "lead " + (status ? status.status : "") });
        const more = add(answer, "p");
        if (status) add(more, "a", "Everything about " + domain, { href: page(domain) });
        else add(more, "a", "How a domain joins", { href: root + "join/index.html" });
      } catch (_) {
        if (question !== asked) return;
        answer.replaceChildren();
        const p = add(answer, "p", "The answer cannot be read from here. ");
        add(p, "a", "Find the domain in the index", { href: root + "domains/index.html" });
      }
    });
  }

  // What follows makes of a status what the template of a domain's page makes of it, word by word.

  function words(parent, ...all) { parent.append(...all); return parent; }

  function time(parent, before, at) {
    if (at) add(words(parent, before), "time", moment(at), { datetime: at });
  }

  function setting(parent, s) {
    parent.append(s.mode + ": ");
    s.mxs.forEach(function (mx, i) { add(words(parent, i ? ", " : ""), "code", mx); });
  }

  function reason(code, texts) { return texts[code] ? texts[code].summary + " (" + code + ")" : code; }

  function source(text) {
    const [kind, digest] = (text || "").split(":");
    if (!digest || /^0*$/.test(digest)) return "";
    return kind === "git" ? ", by commit " + digest + " of the list\u2019s source" : kind === "import" ? ", by the import of a file with the SHA-256 " + digest : "";
  }

  function row(parent, kind, cells) {
    const tr = add(parent, "tr");
    cells.forEach(function (text, i) { add(tr, i && kind !== "col" ? "td" : "th", text, i && kind !== "col" ? {} : { scope: kind }); });
    return tr;
  }

  function findings(parent, all) {
    for (const f of all) {
      const item = add(parent, "li");
      add(item, "strong", f.code);
      if (f.summary) item.append(": " + f.summary);
      if (f.fix) add(item, "p", "What to do: " + f.fix, { class: "fix" });
    }
  }

  function renderPolicy(place, status, texts) {
    add(place, "h2", "Policy");
    add(place, "p", document.querySelector("[data-mode=" + status.status + "]").textContent);
    const list = add(place, "ul"), facts = add(place, "dl");
    for (const mx of status.mxs) add(add(list, "li"), "code", mx);
    add(facts, "dt", "On the list since");
    time(add(facts, "dd"), "", status.listed);
    add(facts, "dt", "Where it comes from");
    add(facts, "dd", reason(status.history[0].reason, texts) + source(status.history[0].source));
  }

  function renderHeld(place, pending) {
    if (pending.length || place.dataset.held !== "known") add(place, "h2", "Held");
    if (!pending.length && place.dataset.held !== "known") add(place, "p", "Whether a change is held is not told here yet.");
    for (const held of pending) {
      const section = add(place, "section"), heading = add(section, "h3", held.class);
      time(heading, ", held since ", held.since);
      time(heading, ", not before ", held.until);
      findings(add(section, "ul"), held.findings);
    }
  }

  function renderVantages(place, vantages) {
    const table = add(add(place, "div", undefined, { class: "scroll vantages", tabindex: "0", role: "region", "aria-label": "What each vantage saw" }), "table");
    row(add(table, "thead"), "col", ["Vantage", "Verdict", "Since", "Codes"]);
    const rows = add(table, "tbody");
    for (const v of vantages) time(row(rows, "row", [v.name, v.verdict, "", v.codes.join(" ")]).children[2], "", v.since);
    for (const v of vantages) {
      if (!v.troubles || !v.troubles.length) continue;
      add(place, "h3", "Sessions that failed, from " + v.name);
      const list = add(place, "ul");
      for (const t of v.troubles) {
        const item = add(list, "li");
        add(item, "code", t.host);
        add(words(item, " at "), "code", t.address);
        item.append(" failed at " + t.stage + (t.detail ? ": " + t.detail : ""));
        if (t.reply) add(add(item, "p", "The server said: ", { class: "fix" }), "code", t.reply);
      }
    }
  }

  function renderProbe(place, probe, texts) {
    add(place, "h2", "Probes");
    if (!probe) {
      add(place, "p", place.dataset.evidence === "yes" ? "The last scan does not speak of this domain." : "There is no evidence of probes here yet.");
      return;
    }
    const verdict = add(place, "p", "Verdict of all vantages: ");
    add(verdict, "strong", probe.verdict, { class: "verdict " + probe.verdict });
    time(verdict, ", since ", probe.since);
    verdict.append(".");
    if (probe.codes.length) findings(add(place, "ul", undefined, { class: "findings" }), probe.codes.map(function (code) { return { code: code, ...texts[code] }; }));
    if (probe.vantages.length) renderVantages(place, probe.vantages);
  }

  function renderFeedback(place, feedback) {
    add(place, "h2", "What senders report");
    if (feedback.state !== "reported") {
      add(place, "p", feedback.state === "not yet" ? "There is no table of reports yet." : "Insufficient data.");
      return;
    }
    const table = add(place, "table");
    row(add(table, "thead"), "col", ["Result", "Share of sessions"]);
    const rows = add(table, "tbody");
    for (const result of Object.keys(feedback.cells).sort()) row(rows, "row", [result, feedback.cells[result]]);
  }

  function renderHistory(place, history, texts) {
    if (!history.length) return;
    add(place, "h2", "History");
    const list = add(place, "ol", undefined, { class: "history" });
    for (const c of history) {
      const item = add(list, "li"), heading = add(item, "h3");
      time(heading, "", c.time);
      heading.append(": " + c.class);
      add(item, "p", "Release " + c.release + ", log entry " + c.index + ", " + reason(c.reason, texts) + ".");
      const diff = add(item, "p", undefined, { class: "diff" });
      for (const [tag, sign, s] of [["del", "\u2212", c.before], ["ins", "+", c.after]]) {
        if (!s) continue;
        const line = add(diff, tag);
        add(line, "span", sign, { class: "sign" });
        setting(words(line, " "), s);
      }
    }
  }

  const commands = Array.from(document.querySelectorAll("pre.command code"), (code) => [code, code.textContent]);

  function renderDomain(place, domain, status, texts) {
    document.querySelector("h1").textContent = domain;
    for (const [code, text] of commands) code.textContent = text.replaceAll("DOMAIN", domain);
    document.getElementById("leave").hidden = !status || status.removable !== "yes";
    document.getElementById("join").hidden = Boolean(status && status.mxs);
    document.getElementById("proof").hidden = !status || !status.history.length;
    place.replaceChildren();
    add(place, "p", status ? status.sentence : never(domain), { class: "lead " + (status ? status.status : "") });
    if (!status) return;
    if (status.mxs) renderPolicy(place, status, texts);
    renderHeld(place, status.pending);
    renderProbe(place, status.probe, texts);
    renderFeedback(place, status.feedback);
    renderHistory(place, status.history, texts);
  }

  const place = document.getElementById("domain-page");
  async function showDomain() {
    const domain = normalize(location.hash.slice(1));
    if (domain === "") return;
    try {
      const texts = await (await fetch(root + "api/v1/codes.json")).json();
      renderDomain(place, domain, await lookUp(domain), texts.codes);
    } catch (_) {
      place.textContent = "The answer cannot be read from here.";
    }
  }
  if (place) {
    addEventListener("hashchange", showDomain);
    showDomain();
  }

  for (const t of document.querySelectorAll("time[data-age]")) {
    const hours = Math.floor((Date.now() - Date.parse(t.dateTime)) / 3600000);
    if (hours < 0 || Number.isNaN(hours)) continue;
    const age = hours === 0 ? "less than an hour" : hours === 1 ? "an hour" : hours < 48 ? hours + " hours" : Math.floor(hours / 24) + " days";
    t.after(" (" + age + " ago)");
  }

  for (const pre of document.querySelectorAll("pre.command")) {
    if (!navigator.clipboard) break;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async function () {
      await navigator.clipboard.writeText(pre.textContent);
      button.textContent = "Copied";
    });
    pre.after(button);
  }
})();
