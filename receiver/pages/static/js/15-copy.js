// Copy the text of an element: <button data-copy="ID" hidden>, which is shown where the browser can.
(() => {
  "use strict";
  const show = () => {
    if (!navigator.clipboard) return;
    for (const button of document.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
  };
  show();
  document.addEventListener("htmx:after:swap", show);

  const confirm = (button) => {
    const label = button.lastChild;
    const before = label.textContent;
    button.classList.add("is-done");
    if (label.nodeType === Node.TEXT_NODE) label.textContent = "Copied";
    setTimeout(() => {
      button.classList.remove("is-done");
      label.textContent = before;
    }, 1500);
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]:not(.is-done)");
    const source = button && document.getElementById(button.dataset.copy);
    if (!source) return;
    await navigator.clipboard.writeText(source.innerText);
    confirm(button);
  });
})();
