// While the server tells what moves, the page does not ask for it. It asks until it is told, and once it is told no more.
"use strict";
(() => {
  const PATIENCE = 45000; // milliseconds: whoever is told nothing for so long asks once, in case something is in between
  const LEAVING = 10000; // milliseconds for which a page that was asked for is waited for
  let told = 0; // when the server told something last; 0 while it tells nothing
  const now = () => performance.now();
  const on = (name, act) => document.addEventListener(name, act);
  const stopped = (event) => {
    if (event.detail.source.readyState === EventSource.CLOSED || event.type === "htmx:sseClose") {
      event.target.removeAttribute("sse-connect"); // refused, or at its end: a page that is loaded anew tries again
    }
    told = 0;
    htmx.trigger("#live", "stopped");
  };
  // Who has pressed a button or followed a link waits for that page: this one is not loaded anew in between, which
  // would lose what the act has to say.
  let left = -LEAVING;
  window.addEventListener("beforeunload", () => { left = now(); });
  on("htmx:beforeOnLoad", (event) => { if (now() - left < LEAVING) event.preventDefault(); });
  on("htmx:sseBeforeMessage", () => { told = now(); });
  on("htmx:sseError", stopped);
  on("htmx:sseClose", stopped);
  on("htmx:beforeRequest", (event) => {
    if (told && now() - told < PATIENCE) {
      event.preventDefault();
    } else if (told) {
      told = now();
    }
  });
})();
