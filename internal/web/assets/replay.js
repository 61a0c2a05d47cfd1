"use strict";
// Replay and live watching. The screen is a page of its own in a sandboxed frame without
// scripts: this one only says which moment it shows, and never touches what is in it.
(() => {
  const box = document.getElementById("replay");
  if (!box) return;
  const frame = document.getElementById("screen"), seek = document.getElementById("seek"), clock = document.getElementById("at");
  const toggle = document.getElementById("play"), speed = document.getElementById("speed"), idle = document.getElementById("idle");
  const base = box.dataset.screen, length = Number(box.dataset.length) || 0;
  const times = (box.dataset.times || "").split(",").filter(Boolean).map(Number);
  const marks = [...document.querySelectorAll("[data-at]")].map((e) => Number(e.dataset.at)).sort((a, b) => a - b);
  const channel = "?c=" + (Number(box.dataset.channel) || 0);
  let at = Number(box.dataset.from) || 0, timer = 0, playing = false;

  const two = (n) => String(n).padStart(2, "0");
  const text = (ms) => { const s = ms / 1000 | 0; return (s >= 3600 ? (s / 3600 | 0) + ":" : "") + two((s / 60 | 0) % 60) + ":" + two(s % 60); };
  const show = (ms) => {
    at = Math.max(0, Math.min(ms, length));
    if (seek) { seek.value = String(at); seek.setAttribute("aria-valuetext", text(at)); }
    if (clock) clock.textContent = text(at) + " / " + text(length);
    frame.src = base + channel + "&at=" + at; // its own history would fill the browser's
  };
  const next = () => times.find((t) => t > at);
  const stop = () => { playing = false; clearTimeout(timer); if (toggle) { toggle.textContent = toggle.dataset.play; toggle.setAttribute("aria-pressed", "false"); } };
  const step = () => {
    const n = next();
    if (n === undefined) { stop(); return; }
    let wait = n - at;
    if (idle?.checked) wait = Math.min(wait, 2000);
    timer = setTimeout(() => { if (playing) { show(n); step(); } }, Math.max(120, wait / (Number(speed?.value) || 1)));
  };
  const play = () => {
    if (playing) { stop(); return; }
    if (next() === undefined) show(0);
    playing = true;
    if (toggle) { toggle.textContent = toggle.dataset.pause; toggle.setAttribute("aria-pressed", "true"); }
    step();
  };
  const go = (ms) => { const was = playing; stop(); show(ms); if (was) play(); };
  const mark = (back) => back ? marks.filter((m) => m < at - 500).pop() ?? 0 : marks.find((m) => m > at) ?? length;

  if (!box.dataset.live) {
    show(at);
    for (const e of box.querySelectorAll("[data-script]")) e.hidden = false;
    toggle?.addEventListener("click", play);
    seek?.addEventListener("input", () => go(Number(seek.value)));
    document.addEventListener("click", (e) => {
      const jump = e.target.closest("[data-at]"), by = e.target.closest("[data-by]");
      if (jump) { e.preventDefault(); go(Number(jump.dataset.at)); }
      if (by) { e.preventDefault(); go(by.dataset.by === "mark" ? mark(false) : by.dataset.by === "unmark" ? mark(true) : at + Number(by.dataset.by)); }
    });
    document.addEventListener("keydown", (e) => {
      if (e.ctrlKey || e.metaKey || e.altKey || document.documentElement.dataset.keys === "off") return;
      if (e.target.closest("input, textarea, select, button, a, dialog")) return;
      const act = { " ": play, ",": () => go(at - 5000), ".": () => go(at + 5000), n: () => go(mark(false)), N: () => go(mark(true)) }[e.key];
      if (act) { e.preventDefault(); act(); }
    });
    return;
  }
  // Live: the server says that there is more, and the frame shows the newest.
  let n = 0, busy = false, again = false;
  const newest = () => { if (busy) { again = true; return; } busy = true; frame.src = base + channel + "&at=end&n=" + ++n; };
  frame.addEventListener("load", () => { busy = false; if (again) { again = false; newest(); } });
  if (new URLSearchParams(location.search).has("over")) { newest(); return; }
  const stream = new EventSource(box.dataset.live);
  stream.addEventListener("message", (e) => { if (e.data !== "over") { newest(); return; }
    stream.close();
    location.replace(base.replace(/\/screen$/, "") + channel + "&over=1"); // once: a page that says it is over does not ask again
  });
  stream.addEventListener("error", () => { const c = document.getElementById("cut"); if (c) c.hidden = false; });
  newest();
})();
