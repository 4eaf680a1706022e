"use strict";
(() => {
  const on = (name, act) => { addEventListener(name, act, true); };
  let backAt = -1000;
  let away = !document.hasFocus();
  const held = new Map();
  const now = () => performance.now();
  const back = () => { backAt = now(); };
  const again = (url) => {
    backAt = Infinity;
    url.searchParams.set("asked", "1");
    location.replace(url);
  };
  if (performance.getEntriesByType("navigation")[0]?.type === "back_forward") back();
  if ("elsewhere" in document.documentElement.dataset) back();
  const here = new URL(location.href);
  const asked = here.searchParams.has("asked");
  if (asked) {
    back();
    for (const name of ["asked", "done", "out", "left"]) here.searchParams.delete(name);
  }
  new PerformanceObserver((list) => {
    for (const { startTime } of list.getEntries()) if (backAt >= 0) backAt = Math.max(backAt, startTime);
  }).observe({ type: "paint", buffered: true });
  on("pageshow", (event) => {
    if (event.persisted) again(new URL(location.href));
  });
  on("visibilitychange", () => { if (!document.hidden) back(); });
  addEventListener("blur", () => { away = true; });
  addEventListener("focus", () => {
    if (away) back();
    away = false;
  });
  const which = (event) => event.code ?? event.pointerId ?? -2 - event.button;
  for (const name of ["pointerdown", "mousedown", "keydown"]) {
    on(name, (event) => {
      if (!event.isTrusted || (event.repeat && held.has(which(event)))) return;
      if (event.code && !/Enter$|^Space$/.test(event.code)) return;
      held.set(which(event), event.repeat ? -Infinity : event.timeStamp);
    });
  }
  for (const name of ["pointerup", "pointercancel", "mouseup", "keyup"]) {
    on(name, (event) => {
      const since = held.get(which(event));
      setTimeout(() => { if (held.get(which(event)) === since) held.delete(which(event)); }, 500);
    });
  }
  on("click", () => { setTimeout(() => held.clear()); });
  const unseen = () => now() < 60000 && !performance.getEntriesByType("paint").length;
  const early = () => backAt >= 0 && (unseen() || Math.min(now(), ...held.values()) - backAt <= 1000);
  on("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (!link || link.getAttribute("href").startsWith("#") || !early()) return;
    const to = new URL(link.href);
    to.searchParams.set("asked", "1");
    link.href = to;
  });
  on("submit", (event) => {
    if (!early() || !event.submitter) return;
    if ("passkey" in event.target.dataset) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const place = event.target.querySelector("[role=alert]") || document.querySelector("#status");
    place.textContent = "Nothing was sent: this page has only just appeared. Look at it, and try again.";
    if (place.id) place.className = "note soon";
  });
  if (document.URL !== location.href) {
    again(here);
  } else if (asked) history.replaceState(null, "", here.pathname + here.search + here.hash);
})();
