// Writes the records of the page for the reader's own names. It sends nothing: all of it is computed here, as
// "starttls-list propose" computes it.
(function () {
  "use strict";
  const form = document.getElementById("records"), list = document.getElementById("record-list");
  if (!form || !window.crypto || !crypto.subtle || !window.policylist) return;
  const domainInput = document.getElementById("record-domain"), hostsInput = document.getElementById("record-hosts");
  const answer = document.getElementById("record-answer"), most = Number(list.dataset.max);
  const sample = list.dataset.domain, commands = Array.from(document.querySelectorAll("pre.command code:not([data-record])"), (c) => [c, c.textContent]);

  async function digest(text) {
    const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
    return Array.from(sum, (b) => b.toString(16).padStart(2, "0")).join("");
  }

  // A host, or ".name" for any one label before it, which MTA-STS writes "*.name". Returns "" for anything else.
  function pattern(text) {
    const suffix = text.replace(/^\*(?=\.)/, "");
    const name = window.policylist.normalize(suffix.replace(/^\./, ""));
    if (name === "" || text.includes("@")) return "";
    return suffix.startsWith(".") ? "." + name : name;
  }

  // The last day of a proof, a month from now: a page has no clock, and a browser has.
  function expiry() { return new Date(Date.now() + 30 * 86400000).toISOString().slice(0, 10); }

  async function records(domain, mxs) {
    const lines = mxs.map((m) => "mx: " + (m.startsWith(".") ? "*" + m : m) + "\r\n").join("");
    const policy = "version: STSv1\r\nmode: testing\r\n" + lines + "max_age: 10886400\r\n";
    const entry = JSON.stringify({ mode: "testing", mxs: mxs });
    return {
      "where": "https://mta-sts." + domain + "/.well-known/mta-sts.txt",
      "mta-sts-policy": policy.replaceAll("\r\n", "\n"),
      "mta-sts": "_mta-sts." + domain + '. IN TXT "v=STSv1; id=' + (await digest(policy)).slice(0, 20) + ';"',
      "tlsrpt": "_smtp._tls." + domain + '. IN TXT "v=TLSRPTv1; rua=mailto:tls-reports@' + domain + '"',
      "tlsa": mxs.map((m) => "_25._tcp." + (m.startsWith(".") ? "HOST" + m : m) + ". IN TLSA 3 1 1 DIGEST-OF-THE-KEY").join("\n"),
      "proof": "_starttls-policy." + domain + '. IN TXT "v=STP1; change=' + (await digest(entry)) + "; exp=" + expiry() + '"',
    };
  }

  form.hidden = false;
  form.addEventListener("submit", async function (event) {
    event.preventDefault();
    const domain = window.policylist.normalize(domainInput.value);
    const words = hostsInput.value.split(/[\s,;]+/).filter((w) => w !== ""), mxs = Array.from(new Set(words.map(pattern))).sort();
    if (domain === "") {
      answer.textContent = "That is no domain. Give a name like example.org.";
      return;
    }
    if (mxs.length === 0 || mxs.includes("") || mxs.length > most) {
      answer.textContent = "Give 1 to " + most + " names of MX hosts, like mx1.example.org.";
      return;
    }
    const texts = await records(domain, mxs);
    for (const code of list.querySelectorAll("[data-record]")) code.textContent = texts[code.dataset.record];
    for (const [code, text] of commands) code.textContent = text.replaceAll(sample, domain);
    document.getElementById("placeholders").hidden = true;
    answer.textContent = "Written for " + domain + ".";
  });
})();
