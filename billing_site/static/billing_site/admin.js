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
};
new MutationObserver(mend).observe(document.documentElement, {
  attributes: true,
  attributeFilter: ["role"],
  childList: true,
  subtree: true,
});
