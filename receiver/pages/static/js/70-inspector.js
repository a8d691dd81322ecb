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
