// SimpleBar makes of each box that scrolls a landmark, all of one name. Landmarks lead readers; a box needs none.
const unmark = (box) => {
  box.removeAttribute("role");
  box.removeAttribute("aria-label");
};
new MutationObserver(() => document.querySelectorAll(".simplebar-content-wrapper[role]").forEach(unmark)).observe(
  document.documentElement,
  { attributes: true, attributeFilter: ["role"], childList: true, subtree: true },
);
