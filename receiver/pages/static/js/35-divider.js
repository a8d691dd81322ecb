// The line between the steps of a run and the inspector can be moved. This browser remembers where it is.
(() => {
  "use strict";
  const [least, most, name, key] = [20, 60, "--chosen-inspector", "inspector-width"];
  let store = null;
  try { store = localStorage; } catch { /* A browser may keep nothing. */ }
  const root = document.documentElement;
  const divider = (event) => event.target.closest?.("[data-divider]");
  const size = () => parseFloat(getComputedStyle(root).fontSize);
  const widthOf = () => document.getElementById("inspector").offsetWidth / size();
  const show = () => document.querySelector("[data-divider]")?.setAttribute("aria-valuenow", String(Math.round(widthOf())));
  const set = (width) => {
    const kept = Math.min(most, Math.max(least, width));
    root.style.setProperty(name, `min(${kept.toFixed(2)}rem, 65vw)`);
    store?.setItem(key, String(kept));
    show();
  };
  const reset = () => {
    root.style.removeProperty(name);
    store?.removeItem(key);
    show();
  };
  if (!document.getElementById("inspector") || !document.querySelector("[data-divider]")) return;
  const kept = Number(store?.getItem(key));
  if (kept) set(kept);
  else show();

  document.addEventListener("pointerdown", (event) => {
    const line = divider(event);
    if (!line || event.button !== 0) return;
    event.preventDefault();
    line.focus();
    line.setPointerCapture(event.pointerId);
    const right = line.parentElement.getBoundingClientRect().right;
    const move = (moved) => set((right - moved.clientX) / size());
    line.addEventListener("pointermove", move);
    line.addEventListener("lostpointercapture", () => line.removeEventListener("pointermove", move), { once: true });
  });
  document.addEventListener("dblclick", (event) => { if (divider(event)) reset(); });
  // Before the keys of the steps, which have other meanings for the same ones.
  document.addEventListener("keydown", (event) => {
    if (!divider(event) || !gestures.isPlainKey(event)) return;
    if (event.key === "ArrowLeft") set(widthOf() + 2);
    else if (event.key === "ArrowRight") set(widthOf() - 2);
    else if (event.key === "Escape") reset();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }, true);
  document.addEventListener("htmx:after:swap", show);
})();
