// htmx puts what this server sent into the page. The policy admits that and nothing more: what it sent is escaped.
"use strict";
if (window.trustedTypes) {
  window.trustedTypes.createPolicy("default", { createHTML: (text) => text });
}
