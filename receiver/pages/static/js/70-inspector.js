// Rows that open beside their list: the open row is marked, and on a narrow screen it becomes a page of its own.
(() => {
  "use strict";
  const isNarrow = matchMedia("(max-width: 79.99rem)");

  document.addEventListener("htmx:before:request", (event) => {
    const link = event.target.closest?.("[data-inspects]");
    if (link && isNarrow.matches) {
      event.preventDefault();
      location.assign(link.href);
    }
  });

  // J and K walk the rows, Enter opens the one that has the focus, Escape closes the inspector.
  const links = () => [...document.querySelectorAll("tbody a[data-inspects]")];
  document.addEventListener("keydown", (event) => {
    if (!gestures.isCommand(event) || !links().length) return;
    if (event.key === "j" || event.key === "k") {
      const row = document.activeElement.closest("tr") ?? document.querySelector("tr[aria-selected]");
      const at = row ? links().indexOf(row.querySelector("a[data-inspects]")) : -1;
      const next = links()[event.key === "j" ? at + 1 : at - 1];
      if (next) next.focus();
    } else if (event.key === "Escape" && !document.querySelector("details.menu[open]")) {
      document.querySelector("#inspector [data-closes]")?.click();
    }
  });

  document.addEventListener("htmx:after:swap", () => {
    const inspector = document.querySelector("#inspector[data-of]");
    if (!inspector) return;
    for (const row of document.querySelectorAll("tr:has(a[data-inspects])")) {
      const isOpen = row.querySelector("a[data-inspects]").pathname.endsWith(`/${inspector.dataset.of}`);
      if (isOpen) row.setAttribute("aria-selected", "true");
      else row.removeAttribute("aria-selected");
    }
  });
})();
