// While the server tells what moves, the page does not ask for it. It asks until it is told, and once it is told no more.
"use strict";
(() => {
  const PATIENCE = 45000; // milliseconds: whoever is told nothing for so long asks once, in case something is in between
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
