// Swagger UI's headings go from the first level to the third. What is drawn later is looked at when it comes.
// Parts outside of its own main part are named.
const parts = { ".information-container": "About the API", ".scheme-container": "Authorization" };
const levels = { H3: 2, H4: 3, H5: 4 };
const set = () => {
  for (const heading of document.querySelectorAll("#swagger-ui :is(h3, h4, h5):not([aria-level])")) {
    heading.setAttribute("role", "heading");
    heading.setAttribute("aria-level", levels[heading.tagName]);
  }
  for (const [part, name] of Object.entries(parts)) {
    for (const element of document.querySelectorAll(`#swagger-ui ${part}:not([role])`)) {
      element.setAttribute("role", "region");
      element.setAttribute("aria-label", name);
    }
  }
};
new MutationObserver(set).observe(document.getElementById("swagger-ui"), { childList: true, subtree: true });
