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
// A plugin of Swagger UI: above an operation's responses, its samples in curl, Python and JavaScript.
const CodeSamples = ({ React }) => ({
  wrapComponents: {
    responses: (Responses, system) => (properties) => {
      const place = ["paths", properties.path, properties.method, "x-codeSamples"];
      const samples = system.specSelectors.specJson().getIn(place)?.toJS() ?? [];
      const part = (sample) => React.createElement("details", { key: sample.lang },
        React.createElement("summary", null, sample.label),
        React.createElement("pre", { tabIndex: 0 }, sample.source));
      const title = React.createElement("div", { className: "opblock-section-header" },
        React.createElement("h4", null, "Samples"));
      return React.createElement(React.Fragment, null,
        React.createElement("div", { className: "samples" }, samples.length ? title : null, ...samples.map(part)),
        React.createElement(Responses, properties));
    },
  },
});
new MutationObserver(set).observe(document.getElementById("swagger-ui"), { childList: true, subtree: true });
