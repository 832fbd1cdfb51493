// Loading the page of a new key again leads to the list, instead of sending the form once more.
const list = document.currentScript.dataset.list;
if (list) history.replaceState(null, "", list);

// Without a clipboard, as where there is no HTTPS, the text is selected for the person to copy.
const copy = async (code) => {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
};
for (const button of document.querySelectorAll("[data-copies]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    if (await copy(document.getElementById(button.dataset.copies))) button.textContent = button.dataset.done;
  });
}

// The day is asked for only where it counts.
const expires = document.getElementById("id_expires");
if (expires) {
  const parts = document.querySelectorAll("#id_day, label[for=id_day], #id_day_helptext");
  const show = () => parts.forEach((part) => (part.hidden = expires.value !== "day"));
  expires.addEventListener("change", show);
  show();
}
