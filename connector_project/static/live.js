// Reloads the live part of an admin page while work is in progress; when the stage changes, reloads the page.
"use strict";
(() => {
  const INTERVAL_MS = 2000;
  const part = document.querySelector("[data-live]");
  const current = () => part.querySelector("[data-stage]");

  const refresh = async () => {
    try {
      // The header says that nobody asked: such a request does not keep an idle session alive.
      const options = { cache: "no-store", redirect: "error", headers: { "X-Background": "true" } };
      const response = document.hidden ? null : await fetch(part.dataset.live, options);
      const html = response && response.ok ? await response.text() : "";
      const fresh = new DOMParser().parseFromString(html, "text/html").querySelector("[data-stage]");
      if (fresh && fresh.dataset.stage !== current().dataset.stage) {
        location.replace(location.pathname);
        return;
      }
      if (fresh && fresh.outerHTML !== current().outerHTML) current().replaceWith(fresh);
    } catch {
      // The connection is down; the page keeps its last state.
    }
    if (current().hasAttribute("data-busy")) setTimeout(refresh, INTERVAL_MS);
  };
  if (part && current() && current().hasAttribute("data-busy")) setTimeout(refresh, INTERVAL_MS);
})();
