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
      const e = document.getElementById(id);
      if (!e) opened.delete(id); else e.open = true;
    }
  };

  const fresh = () => { clocks(); tick(); reopen(); };
  fresh();
  setInterval(tick, 1000);
  document.addEventListener("htmx:after:swap", fresh);
  document.addEventListener("htmx:sse:after:message", fresh);

  // Times of day that are typed are by the reader's clock.
  for (const z of all("[data-zone]")) z.value = String(-new Date().getTimezoneOffset());

  // A page that is left at once has no time to fade, which is no fault.
  for (const when of ["pageswap", "pagereveal"]) addEventListener(when, (e) => {
    for (const p of ["ready", "finished"]) e.viewTransition?.[p].catch(() => {});
  });

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
    if (dialog) { e.preventDefault(); show(dialog); }
    if (e.target.closest("[data-close]")) { e.preventDefault(); e.target.closest("dialog")?.close(); }
    const unfolds = e.target.closest("details[id] > summary")?.parentElement;
    if (unfolds) unfolds.open ? opened.delete(unfolds.id) : opened.add(unfolds.id); // as it is before the click
    // A no needs a word: without one the field is shown, and nothing is sent.
    const word = e.target.closest("[data-word]"), field = word?.form?.elements[word.dataset.word];
    if (field && !field.value.trim()) { e.preventDefault(); unfold(field); say(field.labels?.[0]?.textContent || ""); }
    for (const menu of all("details.more[open]")) if (!menu.contains(e.target)) menu.open = false;
  });

  // A button that says for how long says it as it is typed.
  document.addEventListener("input", (e) => {
    const says = e.target.name === "for" && e.target.form && one("[data-for]", e.target.form);
    if (says) says.textContent = e.target.value.trim() || says.dataset.for;
  });

  // Shows a field that may be folded away, and goes there.
  const unfold = (field) => {
    for (let d = field.closest("details"); d; d = d.parentElement.closest("details")) { d.open = true; if (d.id) opened.add(d.id); }
    field.focus();
  };
  // An address may name what is to be unfolded.
  const named = () => {
    const d = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (d && d.matches("details")) unfold(one("input, textarea, button", d) || one("summary", d));
  };
  named();
  window.addEventListener("hashchange", named);

  // The palette: a field whose list the server renders. The field keeps the focus; what
  // is selected in the list is named by aria-activedescendant.
  const palette = one("#palette"), query = one("#palette-q"), found = one("#palette-list");
  let chosen = 0, go = false;
  const options = () => found ? all("a[role=option]", found) : [];
  const choose = (n) => {
    const os = options();
    chosen = os.length ? (n + os.length) % os.length : 0;
    os.forEach((o, i) => o.setAttribute("aria-selected", String(i === chosen)));
    if (os.length) { query.setAttribute("aria-activedescendant", os[chosen].id); os[chosen].scrollIntoView({ block: "nearest" }); }
    else query.removeAttribute("aria-activedescendant");
  };
  // What is shown may be the answer to fewer letters than are typed by now.
  const current = () => one(".pal-in", found)?.dataset.q === query.value.trim();
  const show = (dialog) => {
    if (dialog.open) return;
    dialog.showModal();
    if (dialog === palette) {
      go = false;
      query.select();
      query.dispatchEvent(new CustomEvent("palette"));
    }
  };
  if (palette) {
    document.addEventListener("htmx:after:swap", () => {
      if (!palette.open) return;
      choose(0);
      if (current()) {
        say(`${one(".pal-in", found).dataset.count} ${found.getAttribute("aria-label")}`);
        if (go) { go = false; options()[0]?.click(); }
      }
    });
    query.addEventListener("input", () => { go = false; });
    query.addEventListener("keydown", (e) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
      if (step) { e.preventDefault(); choose(chosen + step); }
      if (e.key === "Enter") {
        e.preventDefault();
        e.stopPropagation();
        if (current()) options()[chosen]?.click(); else go = true;
      }
    });
    palette.addEventListener("click", (e) => {
      const o = e.target.closest("a[role=option]");
      if (e.target === palette || o) palette.close();
      if (o && o.hash && o.pathname === location.pathname) setTimeout(named);
    });
  }

  // Rows that one moves in: the row that holds the focus is the current one.
  const rows = () => all("[data-item]").filter((r) => r.offsetParent);
  const row = () => document.activeElement?.closest("[data-item]");
  const move = (step) => {
    const rs = rows(), at = rs.indexOf(row());
    const next = rs[at < 0 ? (step > 0 ? 0 : rs.length - 1) : Math.min(rs.length - 1, Math.max(0, at + step))];
    const e = next && (one("a[href]", next) || next);
    if (e) { e.focus(); next.scrollIntoView({ block: "nearest" }); }
    return !!next;
  };
  // Ending by a key asks first; the button itself does not.
  const sure = one("#sure");
  let ending; // the button whose act is asked about
  const end = (button) => {
    if (!button || !sure) return false;
    one("#sure-what").textContent = button.dataset.end;
    ending = button;
    sure.returnValue = "";
    sure.showModal();
    return true;
  };
  // One listener for all: a close that is told late must not take the next one's answer.
  sure?.addEventListener("close", () => {
    if (sure.returnValue !== "yes" || !ending) return;
    // Its row may have come anew meanwhile.
    const to = ending.form?.action, again = ending.isConnected ? ending : all("[data-end]").find((b) => b.form?.action === to);
    ending = undefined;
    again?.form.requestSubmit(again);
  });
  const decisions = { a: "approve", s: "shorter", d: "deny", e: "ask" };

  // Keys: g and a letter goes somewhere, Control or Command and Enter sends a form. Keys of
  // one letter do nothing while something is typed, or where they were turned off.
  let went = 0;
  document.addEventListener("keydown", (e) => {
    if (e.defaultPrevented || e.isComposing) return;
    const typing = e.target.matches("input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]");
    const command = e.metaKey || e.ctrlKey;
    if (command && !e.altKey && !e.shiftKey && e.key.toLowerCase() === "k" && palette) {
      e.preventDefault();
      palette.open ? palette.close() : one("dialog[open]") || show(palette);
      return;
    }
    if (command && e.key === "Enter") {
      const form = e.target.closest("form") || one("form[data-main]");
      // A form with several answers has no one that is meant.
      if (form && !("choice" in form.dataset) && !e.target.closest("dialog")) { e.preventDefault(); form.requestSubmit(one("button.primary", form)); }
      return;
    }
    if (typing || command || e.altKey || one("dialog[open]")) return;
    if (document.documentElement.dataset.keys === "off") return;
    const second = went && e.timeStamp - went < 1500;
    went = 0;
    let done = false;
    if (second) {
      const link = one(`[data-key="${CSS.escape(e.key)}"]`);
      if (link) link.click();
      done = true;
    } else if (e.key === "g") { went = e.timeStamp; }
    else if (e.key === "/" && palette) { show(palette); done = true; }
    else if (e.key === "?" && one("#keys")) { show(one("#keys")); done = true; }
    else if (e.key === "j" || e.key === "k") done = move(e.key === "j" ? 1 : -1);
    else if (e.key === "x") done = end(row() && one("[data-end]", row()));
    else if (e.key === "+") {
      const more = row() && one("details.pop", row());
      if (more) { unfold(one("input, textarea", more)); done = true; }
    } else if (decisions[e.key]) {
      const here = row()?.dataset.decide, prepared = one(`[data-do="${decisions[e.key]}"]`);
      if (here) { location.assign(here + "?do=" + decisions[e.key]); done = true; }
      else if (prepared) { unfold(prepared); done = true; }
    }
    if (done) e.preventDefault();
  });

  // Policies: the numbers beside a text grow with it.
  for (const text of all("textarea[data-lines]")) {
    const nums = one(".nums", text.parentElement), first = Number(text.dataset.lines);
    const grow = () => {
      const want = text.value.split("\n").length + 3;
      while (nums.children.length < want) {
        const li = document.createElement("li");
        li.textContent = first + nums.children.length;
        nums.append(li);
      }
      text.rows = Math.max(text.rows, want);
    };
    text.addEventListener("input", grow);
    grow();
  }

  const toasts = one("#toasts");
  if (toasts) new MutationObserver((changes) => {
    for (const c of changes) for (const n of c.addedNodes) if (n.nodeType === 1) setTimeout(() => n.remove(), 6000);
  }).observe(toasts, { childList: true });
})();
