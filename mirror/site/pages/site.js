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
        if (status) add(add(answer, "p"), "a", "Everything about " + domain, { href: page(domain) });
      } catch (_) {
        if (question !== asked) return;
        answer.replaceChildren();
        const p = add(answer, "p", "The answer cannot be read from here. ");
        add(p, "a", "Find the domain in the index", { href: root + "domains/index.html" });
      }
    });
  }

  function setting(s) { return s.mode + ": " + s.mxs.join(", "); }

  function codeList(parent, codes, texts) {
    const list = add(parent, "ul");
    for (const code of codes) {
      const text = texts[code] || {}, item = add(list, "li");
      add(item, "strong", code);
      if (text.summary) item.append(": " + text.summary);
      if (text.fix) add(item, "p", "What to do: " + text.fix, { class: "fix" });
    }
  }

  function renderProbe(parent, probe, texts) {
    add(parent, "h2", "Probes");
    if (!probe) {
      add(parent, "p", "The last scan does not speak of this domain.");
      return;
    }
    add(parent, "p", "Verdict of all vantages: " + probe.verdict + (probe.since ? ", since " + moment(probe.since) : "") + ".");
    codeList(parent, probe.codes, texts);
    for (const v of probe.vantages) {
      add(parent, "h3", v.name + ": " + v.verdict);
      for (const t of v.troubles || []) {
        add(parent, "p", t.host + " at " + t.address + " failed at " + t.stage + (t.detail ? ": " + t.detail : ""));
        if (t.reply) add(parent, "p", "The server said: " + t.reply, { class: "fix" });
      }
    }
  }

  const commands = Array.from(document.querySelectorAll("pre.command code"), (code) => [code, code.textContent]);

  function renderDomain(place, domain, status, texts) {
    document.querySelector("h1").textContent = domain;
    for (const [code, text] of commands) code.textContent = text.replaceAll("DOMAIN", domain);
    document.getElementById("leave").hidden = !status || status.removable !== "yes";
    place.replaceChildren();
    add(place, "p", status ? status.sentence : never(domain), { class: "lead " + (status ? status.status : "") });
    if (!status) return;
    if (status.mxs) {
      add(place, "h2", "Policy");
      add(place, "p", document.querySelector("[data-mode=" + status.status + "]").textContent);
      add(place, "p", setting({ mode: status.status, mxs: status.mxs }));
    }
    for (const held of status.pending) {
      add(place, "h2", "Held: " + held.class + (held.until ? ", not before " + moment(held.until) : ""));
      for (const f of held.findings || []) add(place, "p", f.code + ": " + f.summary + ". What to do: " + f.fix);
    }
    renderProbe(place, status.probe, texts);
    add(place, "h2", "What senders report");
    add(place, "p", status.feedback.cells ? Object.entries(status.feedback.cells).map((c) => c.join(": ")).join(", ") : status.feedback.state);
    add(place, "h2", "History");
    const list = add(place, "ol", undefined, { class: "history" });
    for (const c of status.history) {
      const item = add(list, "li", moment(c.time) + ": " + c.class + ", release " + c.release + ", log entry " + c.index + ", " + c.reason);
      const diff = add(item, "p", undefined, { class: "diff" });
      if (c.before) add(diff, "del", "− " + setting(c.before));
      if (c.after) add(diff, "ins", "+ " + setting(c.after));
    }
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
