// The overview keeps itself up to date while somebody looks at it, and draws the chart of its table's numbers.
"use strict";

const COLOURS = ["#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#0891b2", "#65a30d", "#dc2626"];
const PALER = "66"; // of the last window, as opacity
let chart = null;

function draw() {
  const data = document.getElementById("days-data");
  const canvas = document.getElementById("chart");
  canvas.parentElement.hidden = !data;
  if (!data) return;
  const { labels, series, present } = JSON.parse(data.textContent);
  const style = getComputedStyle(document.documentElement);
  const text = style.getPropertyValue("--pico-color").trim();
  const line = style.getPropertyValue("--pico-muted-border-color").trim();
  const datasets = series.map(({ label, data: tokens }, number) => {
    const colour = COLOURS[number % COLOURS.length];
    return { label, data: tokens, backgroundColor: tokens.map((_, day) => (day < present ? colour + PALER : colour)) };
  });
  const stacked = { stacked: true, ticks: { color: text, maxRotation: 0, autoSkipPadding: 12, precision: 0 } };
  if (chart) chart.destroy();
  chart = new Chart(canvas, {
    type: "bar",
    data: { labels, datasets },
    options: {
      animation: false,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      locale: document.documentElement.lang,
      scales: {
        x: { ...stacked, grid: { display: false } },
        y: { ...stacked, beginAtZero: true, grid: { color: line } },
      },
      plugins: {
        legend: {
          position: "bottom",
          labels: {
            color: text,
            boxWidth: 12,
            generateLabels: (drawn) =>
              drawn.data.datasets.map(({ label }, number) => ({
                text: label,
                fontColor: text,
                fillStyle: COLOURS[number % COLOURS.length],
                lineWidth: 0,
                datasetIndex: number,
                hidden: !drawn.isDatasetVisible(number),
              })),
          },
        },
        tooltip: { filter: (item) => item.raw > 0 },
      },
    },
  });
}

function keepFresh(element) {
  const everyMs = Number(element.dataset.refreshSeconds) * 1000;
  let timer = null;
  const refresh = () => htmx.trigger(element, "refresh");
  const follow = () => {
    clearInterval(timer);
    timer = document.visibilityState === "visible" ? setInterval(refresh, everyMs) : null;
  };
  follow();
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") refresh();
    follow();
  });
}

// How much is used is known at once, the days some seconds later: the drain is behind by as much.
function daysFollow(standing) {
  const used = standing.querySelector(".figure")?.textContent;
  if (used === daysFollow.used) return;
  daysFollow.used = used;
  setTimeout(() => {
    if (document.visibilityState === "visible") htmx.trigger(document.getElementById("days"), "refresh");
  }, 3000);
}

function stale(is) {
  document.getElementById("stale").hidden = !is;
}

document.addEventListener("DOMContentLoaded", () => {
  draw();
  daysFollow(document.getElementById("standing"));
  document.querySelectorAll("[data-refresh-seconds]").forEach(keepFresh);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  const body = document.body;
  body.addEventListener("htmx:beforeOnLoad", (event) => {
    // A redirect was followed: nobody is logged in any more.
    const { xhr, requestConfig } = event.detail;
    if (new URL(xhr.responseURL).pathname !== new URL(requestConfig.path, location.href).pathname) {
      event.preventDefault();
      location.reload();
    }
  });
  let open = false;
  body.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id === "days") open = Boolean(event.detail.target.querySelector("details[open]"));
  });
  body.addEventListener("htmx:afterSwap", (event) => {
    stale(false);
    if (event.detail.target.id === "standing") daysFollow(event.detail.target);
    if (event.detail.target.id !== "days") return;
    const details = event.detail.target.querySelector("details");
    if (details) details.open = open;
    draw();
  });
  body.addEventListener("htmx:responseError", () => stale(true));
  body.addEventListener("htmx:sendError", () => stale(true));
});
