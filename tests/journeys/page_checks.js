// Runs in each page before its own scripts: what the page's policy refused, and what its reader could not see or reach.
window.pageChecks = { refused: [] };

document.addEventListener("securitypolicyviolation", (event) =>
  window.pageChecks.refused.push(`${event.violatedDirective} refused ${event.blockedURI} ${event.sourceFile || ""}`),
);

window.pageChecks.tooWide = () => {
  const width = document.documentElement.clientWidth;
  return document.scrollingElement.scrollWidth > width ? [`wider than ${width} pixels`] : [];
};

// What can be pressed or filled in stands on the screen, or in a box that scrolls by itself.
const scrolls = (element) =>
  element && (/auto|scroll/.test(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
window.pageChecks.outOfReach = () =>
  [...document.querySelectorAll("#content :is(a, button, input, select, textarea)")]
    .filter((element) => {
      const box = element.getBoundingClientRect();
      return box.width > 1 && (box.left < 0 || box.right > innerWidth + 1) && !scrolls(element.parentElement);
    })
    .map((element) => `out of reach at ${innerWidth} pixels: ${element.outerHTML.slice(0, 120)}`);

// WCAG 2.1 AA, 1.4.3: text on its ground has a contrast of 4.5, large text of 3; in both of the admin's colour schemes.
window.pageChecks.lowContrast = () => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = (above, below) => below.map((value, at) => value + (above[at] - value) * (above[3] / 255));
  const ground = (element) =>
    element ? over(rgba(getComputedStyle(element).backgroundColor), ground(element.parentElement)) : [255, 255, 255];
  const light = (colour) => {
    const [red, green, blue] = colour.map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const judge = (element) => {
    const style = getComputedStyle(element);
    const below = ground(element);
    const [one, other] = [light(over(rgba(style.color), below)), light(below)];
    const contrast = ((Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05)).toFixed(2);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    return contrast < least ? `contrast ${contrast}: ${element.outerHTML.slice(0, 120)}` : "";
  };
  const isText = (element) =>
    element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const all = [...document.querySelectorAll("#page #content :not(.material-symbols-outlined)")];
  const before = document.documentElement.className;
  const found = ["", "dark"].flatMap((scheme) => {
    document.documentElement.className = scheme;
    return all.filter(isText).map(judge).filter(Boolean).map((text) => `${scheme || "light"}: ${text}`);
  });
  document.documentElement.className = before;
  return found;
};
