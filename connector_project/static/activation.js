// Refreshes the marked parts of the client's page from the page itself, so that there is one template.
"use strict";
(() => {
  const BUSY_MS = 1000;
  const IDLE_MS = 4000;

  const seen = new Map([...document.querySelectorAll("[data-live]")].map((part) => [part, part.innerHTML]));

  const isTyping = () => {
    const at = document.activeElement;
    return at instanceof HTMLElement && at.matches("input:not([readonly]), select") ;
  };

  const replace = (fresh) => {
    for (const part of document.querySelectorAll("[data-live]")) {
      const news = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      // A part with the keyboard focus is not replaced until the focus moves on.
      if (!news || news.innerHTML === seen.get(part) || part.contains(document.activeElement)) continue;
      seen.set(part, news.innerHTML);
      const open = [...part.querySelectorAll("details[open][data-keep]")].map((one) => one.dataset.keep);
      part.innerHTML = news.innerHTML;
      for (const one of part.querySelectorAll("details[data-keep]")) one.open = open.includes(one.dataset.keep);
    }
  };

  const refresh = async () => {
    let wait = IDLE_MS;
    try {
      const response = document.hidden ? null : await fetch(location.pathname, { credentials: "omit", cache: "no-store", headers: { "Accept-Language": document.documentElement.lang } });
      if (response && response.ok) {
        const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
        const main = fresh.querySelector("main");
        if (main && main.dataset.stage !== document.querySelector("main").dataset.stage && !isTyping()) {
          location.replace(location.pathname); // Other sections are shown now.
          return;
        }
        replace(fresh);
        if (fresh.querySelector(".steps .running, .busy")) wait = BUSY_MS;
      }
    } catch {
      wait = IDLE_MS * 2; // The connection is down; the page keeps its last state.
    }
    setTimeout(refresh, wait);
  };
  setTimeout(refresh, document.querySelector(".steps .running, .busy") ? BUSY_MS : IDLE_MS);
})();
