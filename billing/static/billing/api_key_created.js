// Reloading goes to the list; it would send the form again and make another key.
history.replaceState(null, "", document.currentScript.dataset.list);
document.getElementById("copy-key").addEventListener("click", async (event) => {
  await navigator.clipboard.writeText(document.getElementById("plain-key").textContent);
  event.target.textContent = "Copied";
});
