"use strict";
(() => {
  let backAt = -1000;
  let away = !document.hasFocus();
  const held = new Map();
  const back = () => { backAt = performance.now(); };
  if (performance.getEntriesByType("navigation")[0]?.type === "back_forward") back();
  if ("elsewhere" in document.documentElement.dataset) back();
  const here = new URL(location.href);
  if (here.searchParams.has("asked")) {
    back();
    here.searchParams.delete("asked");
    history.replaceState(null, "", here);
  }
  new PerformanceObserver((list) => {
    for (const { startTime } of list.getEntries()) if (backAt >= 0) backAt = Math.max(backAt, startTime);
  }).observe({ type: "paint", buffered: true });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    backAt = Infinity;
    const now = new URL(location.href);
    now.searchParams.set("asked", "1");
    location.replace(now);
  });
  addEventListener("visibilitychange", () => { if (!document.hidden) back(); });
  addEventListener("blur", () => { away = true; });
  addEventListener("focus", () => {
    if (away) back();
    away = false;
  });
  const which = (event) => event.code ?? event.pointerId ?? -2 - event.button;
  for (const name of ["pointerdown", "mousedown", "keydown"]) {
    addEventListener(name, (event) => {
      if (!event.isTrusted || (event.repeat && held.has(which(event)))) return;
      if (event.code && !/Enter$|^Space$/.test(event.code)) return;
      held.set(which(event), event.repeat ? -Infinity : event.timeStamp);
    }, true);
  }
  for (const name of ["pointerup", "pointercancel", "mouseup", "keyup"]) {
    addEventListener(name, (event) => {
      const since = held.get(which(event));
      setTimeout(() => { if (held.get(which(event)) === since) held.delete(which(event)); }, 500);
    }, true);
  }
  addEventListener("click", () => { setTimeout(() => held.clear()); }, true);
  const unseen = () => performance.now() < 60000 && !performance.getEntriesByType("paint").length;
  const early = () => backAt >= 0 && (unseen() || Math.min(performance.now(), ...held.values()) - backAt <= 1000);
  addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (!link || link.getAttribute("href").startsWith("#") || !early()) return;
    const to = new URL(link.href);
    to.searchParams.set("asked", "1");
    link.href = to;
  }, true);
  addEventListener("submit", (event) => {
    if (!early() || !event.submitter) return;
    if ("passkey" in event.target.dataset) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const place = event.target.querySelector("[role=alert]") || document.querySelector("#status");
    place.textContent = "Nothing was sent: this page has only just appeared. Look at it, and try again.";
  }, true);
})();
