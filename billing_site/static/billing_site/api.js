// Forms of the API's pages: JSON is sent, and the answer's page takes the place of this one's content.
"use strict";

async function send(form) {
  const said = form.querySelector("[role=status]");
  const headers = { Accept: "text/html", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
  const body = form.elements.body ? form.elements.body.value : undefined;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let page = null;
  try {
    const answer = await fetch(form.getAttribute("action"), { method: form.dataset.method, headers, body });
    page = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
  } catch {
    // It is said below.
  }
  if (page === null) {
    if (said) said.textContent = "There was no answer. Try again.";
    return;
  }
  document.querySelector("main").replaceWith(page);
  page.focus();
  window.scrollTo(0, 0);
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.method) {
    event.preventDefault();
    send(form);
  } else if ("query" in form.dataset) {
    for (const field of form.elements) field.disabled = field.name !== "" && field.value === "";
  }
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-example]");
  if (!button) return;
  const box = button.form.elements.body;
  box.value = button.dataset.example;
  box.dispatchEvent(new Event("input", { bubbles: true }));
});

document.addEventListener("input", (event) => {
  const shown = event.target.form && event.target.form.querySelector(`[data-shows="${event.target.name}"]`);
  if (shown) shown.textContent = event.target.value;
});
