// A part of a desk's page that is at work is fetched anew until it is done; where there is more to press, the page is.
"use strict";
(() => {
  const PAUSE_MS = 2000;
  const part = document.querySelector("[data-live]");
  const told = () => part.querySelector("[data-stage]");

  const look = async () => {
    try {
      const answer = document.hidden ? null : await fetch(part.dataset.live, { cache: "no-store", redirect: "error" });
      const text = answer && answer.ok ? await answer.text() : "";
      const news = new DOMParser().parseFromString(text, "text/html").querySelector("[data-stage]");
      if (news && news.dataset.stage !== told().dataset.stage) {
        location.replace(location.pathname);
        return;
      }
      if (news && news.outerHTML !== told().outerHTML) told().replaceWith(news);
    } catch {
      // The line is down; what stands here is still right.
    }
    if (told().hasAttribute("data-busy")) setTimeout(look, PAUSE_MS);
  };
  if (part && told() && told().hasAttribute("data-busy")) setTimeout(look, PAUSE_MS);
})();
