// A form that is on its way cannot be sent again; the server takes it once, whatever happens here.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.target.method !== "post") return;
  const buttons = event.target.querySelectorAll("button");
  // After the browser has read the form: a button that is disabled is not sent.
  setTimeout(() => buttons.forEach((button) => {
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
  }));
});
// A page that comes back from the browser's memory is drawn with the buttons as they were left.
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  document.querySelectorAll("button[aria-busy]").forEach((button) => {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  });
});
