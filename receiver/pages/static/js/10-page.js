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
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key === "k" && !event.defaultPrevented && !document.querySelector("dialog[open]")) {
      const link = document.querySelector("[data-dialog=go]");
      if (!link) return;
      event.preventDefault();
      open(link);
      return;
    }
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
      const link = document.querySelector("[data-dialog=keyboard]");
      if (link) open(link);
    }
  });

  // Some pages open as a dialog over this one. The browser closes it on Escape, and returns the focus.
  const open = (link) => {
    const dialog = document.getElementById(link.dataset.dialog);
    const show = () => { if (!dialog.open) dialog.showModal(); };
    if (dialog.childElementCount) show();
    else window.htmx.ajax("GET", link.href, { source: dialog, target: dialog, swap: "innerHTML" }).then(show);
  };
  document.addEventListener("click", (event) => {
    if (event.target.matches?.("dialog.of-page")) event.target.close();
    const link = event.target.closest?.("[data-dialog]");
    if (!link || !gestures.isPlainClick(event)) return;
    event.preventDefault();
    const menu = link.closest("details.menu[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
    open(link);
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
