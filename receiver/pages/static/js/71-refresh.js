// Parts of a page that reload by themselves while they are visible and not in use.
(() => {
  "use strict";
  document.documentElement.classList.add("has-script");
  const isInUse = (part) => {
    const focused = document.activeElement;
    const selection = document.getSelection();
    return (focused && part.contains(focused) && focused.matches("input, select, textarea"))
      || (selection && !selection.isCollapsed && part.contains(selection.anchorNode));
  };
  const partOf = (event) => event.target.closest?.("[data-refresh]");

  // Unfolded parts stay unfolded, although the answer has them folded.
  let opened = new Set();
  const keyOf = (details) => `${details.closest("[id]").id} ${details.querySelector("summary").textContent}`;
  document.addEventListener("htmx:before:swap", (event) => {
    const part = partOf(event);
    if (part) opened = new Set([...part.querySelectorAll("details[open]")].map(keyOf));
  });
  document.addEventListener("htmx:after:swap", () => {
    if (!opened.size) return;
    for (const details of document.querySelectorAll("[data-refresh] details")) {
      if (opened.has(keyOf(details))) details.open = true;
    }
    opened.clear();
  });

  for (const failure of ["htmx:error", "htmx:response:error"]) {
    document.addEventListener(failure, (event) => partOf(event)?.classList.add("is-stale"));
  }
  let seconds = 0;
  setInterval(() => {
    if (document.visibilityState !== "visible") return;
    seconds += 1;
    for (const part of document.querySelectorAll("[data-refresh]")) {
      if (seconds % Number(part.dataset.refresh) === 0 && !isInUse(part)) {
        part.dispatchEvent(new CustomEvent("refresh"));
      }
    }
  }, 1000);
})();
