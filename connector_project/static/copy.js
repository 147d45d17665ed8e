// Copy buttons: each names the input whose text it copies. Without JavaScript users select the text by hand.
"use strict";
(() => {
  const SHOWN_MS = 2000;

  const show = () => {
    for (const button of document.querySelectorAll("button[data-copy][hidden]")) button.hidden = false;
  };
  // Parts of a page are replaced while it is open.
  new MutationObserver(show).observe(document.body, { childList: true, subtree: true });
  show();

  document.addEventListener("click", async (event) => {
    const button = event.target instanceof Element ? event.target.closest("button[data-copy]") : null;
    if (!button || button.textContent === button.dataset.done) return;
    const source = document.getElementById(button.dataset.copy);
    const label = button.textContent;
    source.select();
    try {
      await navigator.clipboard.writeText(source.value);
    } catch {
      document.execCommand("copy"); // Plain http has no clipboard.
    }
    button.textContent = button.dataset.done;
    const said = document.getElementById("copied");
    if (said) said.textContent = `${button.dataset.done}: ${button.getAttribute("aria-label")}`;
    setTimeout(() => { button.textContent = label; }, SHOWN_MS);
  });
})();
