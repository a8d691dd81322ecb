// A list that follows changes: new rows where nobody reads further down.
(() => {
  "use strict";
  const isLive = (event) => event.target.id === "live";
  if (!document.getElementById("live-lost")) return;

  // New rows come in where the list stands at its top and nothing in it is used: never under a pointer or a key.
  // Making them takes this browser at most a three-hundredth of its time, or happens once a minute.
  let last = 0, pace = 15_000;
  const isResting = () => {
    const list = document.getElementById("list");
    return scrollY < 60 && !document.hidden && !list.matches(":hover") && !list.contains(document.activeElement) &&
      !list.querySelector("#runs input:checked");
  };
  const renew = async () => {
    last = Date.now();
    let began = performance.now();
    document.addEventListener("htmx:before:swap", () => { began = performance.now(); }, { once: true });
    await window.htmx.ajax("GET", location.href, { source: "#list-place", target: "#list", swap: "outerHTML", select: "#list" });
    requestAnimationFrame(() => setTimeout(() => {
      pace = Math.min(60_000, Math.max(15_000, 300 * (performance.now() - began)));
    }));
  };
  let waiting = 0;
  document.addEventListener("htmx:sse:after:message", (event) => {
    if (!isLive(event) || waiting) return;
    waiting = setTimeout(() => {
      waiting = 0;
      if (document.querySelector(".news") && isResting()) renew();
    }, Math.max(1000, last + pace - Date.now()));
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.(".news") || !gestures.isPlainClick(event)) return;
    event.preventDefault();
    renew();
    scrollTo({ top: 0 });
  });
})();
