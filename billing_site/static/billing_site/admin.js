// What libraries of the admin draw without names, or with too many.
const mend = () => {
  // SimpleBar makes of each box that scrolls a landmark, all of one name. Landmarks lead readers; a box needs none.
  for (const box of document.querySelectorAll(".simplebar-content-wrapper[role]")) {
    box.removeAttribute("role");
    box.removeAttribute("aria-label");
  }
  // Select2 gives the field that it searches with no name.
  for (const field of document.querySelectorAll(".select2-search__field:not([aria-label])")) {
    field.setAttribute("aria-label", "Search choices");
  }
  // … and what shows the choice with none either: it is that of the field in its place.
  for (const shown of document.querySelectorAll(".select2-selection[role=combobox], .select2-selection__rendered[role=textbox]")) {
    const select = shown.closest(".select2-container").previousElementSibling;
    const name = (select && select.labels && select.labels[0] && select.labels[0].innerText) || "Choice";
    if (shown.getAttribute("aria-label") !== name) {
      shown.removeAttribute("aria-labelledby");
      shown.setAttribute("aria-label", name);
    }
  }
  // In tables that are filled in, the column's head is what a field is called.
  for (const field of document.querySelectorAll("td :is(input, select, textarea):not([type=hidden], [aria-label])")) {
    if (field.name && !field.labels.length) {
      field.setAttribute("aria-label", field.closest("td").dataset.label || field.name.split("-").pop());
    }
  }
  for (const head of document.querySelectorAll("th:not([role=cell])")) {
    if (!head.textContent.trim() && !head.querySelector("input, a, button")) {
      head.setAttribute("role", "cell");
    }
  }
};
new MutationObserver(mend).observe(document.documentElement, {
  attributes: true,
  attributeFilter: ["role"],
  childList: true,
  subtree: true,
});
// Select2 goes to its search field as the mouse is pressed. Where many are chosen that field is far below, and what was
// to be taken away has moved from under the mouse by the time it is released.
document.addEventListener("mousedown", (event) => {
  if (event.target.closest(".select2-selection__choice__remove")) {
    event.preventDefault();
  }
});
