"use strict";
// What the pages do by themselves: clocks, copying, keys, dialogs, and saying so when they
// are cut off. Everything works without it, but for these.
(() => {
  const all = (s, root = document) => [...root.querySelectorAll(s)];
  const one = (s, root = document) => root.querySelector(s);
  const say = (text) => { const e = one("#say"); if (e) e.textContent = text; };

  // Ends are absolute, and the server's clock is what counts: a tab that slept is right
  // when it wakes, and so is a machine whose clock is wrong. The server said its time when
  // it began to answer.
  const began = performance.timeOrigin + (performance.getEntriesByType("navigation")[0]?.responseStart || 0);
  const off = Date.parse(document.documentElement.dataset.now) - began;
  const skew = Math.abs(off) > 2000 ? off : 0;
  const now = () => Date.now() + skew;

  const two = (n) => String(n).padStart(2, "0");
  const left = (s) => s >= 3600 ? `${s / 3600 | 0}:${two((s / 60 | 0) % 60)}:${two(s % 60)}` : `${s / 60 | 0}:${two(s % 60)}`;
  const hours = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
  const days = new Intl.DateTimeFormat([], { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const whole = new Intl.DateTimeFormat([], { dateStyle: "long", timeStyle: "long" });

  // The digits are no live region: they would be read every second. At these many seconds
  // before an end it is said.
  const marks = [60, 300, 900];
  const told = new Map();

  const tick = () => {
    let soonest = Infinity;
    for (const e of all("[data-ends]")) {
      const end = Date.parse(e.dataset.ends), s = Math.max(0, Math.round((end - now()) / 1000));
      soonest = Math.min(soonest, s);
      const t = one("[data-left]", e), bar = one("progress", e);
      if (t) t.textContent = s ? left(s) : "ending";
      if (bar) bar.value = s;
      e.classList.toggle("is-ending", s <= 300);
      const key = e.id + e.dataset.ends, before = told.get(key);
      const mark = marks.find((m) => s <= m && before > m);
      if (mark) say(`${e.dataset.name}: ${mark / 60} ${mark > 60 ? "minutes" : "minute"} left`);
      told.set(key, s);
    }
    const title = document.title.replace(/^\(\d[^)]*\) /, "");
    document.title = soonest > 0 && soonest <= 300 ? `(${left(soonest)}) ${title}` : title;
  };

  const clocks = () => {
    for (const e of all("time[data-clock], time[data-when]")) {
      if (e.title && e.dataset.done === e.dateTime) continue;
      const t = new Date(e.dateTime);
      if (isNaN(t)) continue;
      e.textContent = ("clock" in e.dataset ? hours : days).format(t);
      e.title = whole.format(t);
      e.dataset.done = e.dateTime;
    }
  };

  // What somebody opened stays open when its row comes anew: they may be typing in it.
  const opened = new Set();
  const reopen = () => {
    for (const id of opened) {
      const pop = document.getElementById(id)?.querySelector("details.pop");
      if (!pop) opened.delete(id); else pop.open = true;
    }
  };

  const fresh = () => { clocks(); tick(); reopen(); };
  fresh();
  setInterval(tick, 1000);
  document.addEventListener("htmx:after:swap", fresh);
  document.addEventListener("htmx:sse:after:message", fresh);

  // A page that is cut off says so, and one that is true again takes it back.
  const cut = (yes) => { const e = one("#cut"); if (e) e.hidden = !yes; };
  document.addEventListener("htmx:sse:error", () => cut(true));
  document.addEventListener("htmx:sse:after:connection", (e) => cut(e.detail.connection.status !== 200));
  document.addEventListener("htmx:error", (e) => { if (e.target?.id === "stream") cut(true); });
  window.addEventListener("offline", () => cut(true));

  document.addEventListener("click", async (e) => {
    const copy = e.target.closest("[data-copy]");
    if (copy) {
      try {
        await navigator.clipboard.writeText(copy.dataset.copy);
        say("Copied");
        copy.classList.add("did");
        setTimeout(() => copy.classList.remove("did"), 1200);
      } catch { say("The browser does not let this page copy. Select the text instead."); }
    }
    const opener = e.target.closest("[data-open]");
    const dialog = opener && document.getElementById(opener.dataset.open);
    if (dialog) { e.preventDefault(); dialog.showModal(); }
    if (e.target.closest("[data-close]")) { e.preventDefault(); e.target.closest("dialog")?.close(); }
    const pop = e.target.closest("details.pop > summary")?.parentElement, row = pop?.closest("[id]");
    if (row) pop.open ? opened.delete(row.id) : opened.add(row.id); // as it is before the click
    for (const menu of all("details.more[open]")) if (!menu.contains(e.target)) menu.open = false;
  });

  // Keys: g and a letter goes somewhere, Control or Command and Enter sends a form. Single
  // letters do nothing while something is typed.
  let went = 0;
  document.addEventListener("keydown", (e) => {
    const typing = e.target.matches("input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]");
    if ((e.metaKey || e.ctrlKey) && e.key === "Enter") {
      const form = e.target.closest("form");
      if (form) { e.preventDefault(); form.requestSubmit(); }
      return;
    }
    if (typing || e.metaKey || e.ctrlKey || e.altKey || one("dialog[open]")) return;
    if (e.key === "g") { went = e.timeStamp; return; }
    if (went && e.timeStamp - went < 1500) {
      const link = one(`[data-key="${CSS.escape(e.key)}"]`);
      if (link) { e.preventDefault(); link.click(); }
    }
    went = 0;
  });

  const toasts = one("#toasts");
  if (toasts) new MutationObserver((changes) => {
    for (const c of changes) for (const n of c.addedNodes) if (n.nodeType === 1) setTimeout(() => n.remove(), 6000);
  }).observe(toasts, { childList: true });
})();
