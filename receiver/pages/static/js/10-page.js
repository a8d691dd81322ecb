// Scripts of every page: keys, menus that close, notes that disappear, and the zone of this browser.
(() => {
  "use strict";
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const button of document.querySelectorAll("[data-local-zone]")) {
    if (button.value === "UTC" && zone && zone !== "UTC") {
      button.value = zone;
      button.textContent = `This browser’s zone, ${zone}`;
      button.hidden = false;
    }
  }

  // A click elsewhere or Escape closes a menu.
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  let isAfterG = false;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const menu = document.querySelector("details.menu[open]");
      if (menu) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
      return;
    }
    if (!gestures.isCommand(event)) return;
    if (isAfterG) {
      isAfterG = false;
      const link = document.querySelector(`.bar nav a[data-key="${CSS.escape(event.key)}"]`);
      if (link) link.click();
      return;
    }
    if (event.key === "g") {
      isAfterG = true;
      setTimeout(() => { isAfterG = false; }, 1500);
    } else if (event.key === "/") {
      const box = document.querySelector("[data-search]");
      if (box) {
        event.preventDefault();
        box.focus();
      }
    } else if (event.key === "?") {
      document.querySelector("[data-keyboard-help]")?.click();
    }
  });

  // The keys of the keyboard open over the page. The browser closes a dialog on Escape, and returns the focus.
  document.addEventListener("click", (event) => {
    const dialog = document.getElementById("keyboard");
    if (event.target === dialog) dialog.close();
    const link = event.target.closest?.("[data-keyboard-help]");
    if (!link || !gestures.isPlainClick(event)) return;
    event.preventDefault();
    const menu = link.closest("details.menu[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    const show = () => { if (!dialog.open) dialog.showModal(); };
    if (dialog.childElementCount) show();
    else window.htmx.ajax("GET", link.href, { source: dialog, target: dialog, swap: "innerHTML" }).then(show);
  });

  // A note that needs no answer disappears after 6 seconds, but stays while it is hovered or focused.
  const leave = (toast) => setTimeout(() => {
    if (toast.matches(":hover, :focus-within")) leave(toast);
    else toast.remove();
  }, 6000);
  const watch = () => {
    for (const toast of document.querySelectorAll("[data-goes]:not([data-watched])")) {
      toast.dataset.watched = "";
      leave(toast);
    }
  };
  watch();
  document.addEventListener("htmx:after:swap", watch);
})();
