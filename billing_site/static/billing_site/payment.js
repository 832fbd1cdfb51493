// A payment page keeps itself up to date. Where nobody is logged in any more, the log-in page takes its place.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const stale = (is) => (document.getElementById("stale").hidden = !is);
  document.body.addEventListener("htmx:beforeOnLoad", (event) => {
    const { xhr, requestConfig } = event.detail;
    if (new URL(xhr.responseURL).pathname !== new URL(requestConfig.path, location.href).pathname) {
      event.preventDefault();
      location.reload();
    }
  });
  document.body.addEventListener("htmx:afterSwap", () => stale(false));
  document.body.addEventListener("htmx:responseError", () => stale(true));
  document.body.addEventListener("htmx:sendError", () => stale(true));
});
