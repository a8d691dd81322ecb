// Charts: one bar is in the order of Tab, and the arrows reach the others.
(() => {
  "use strict";
  const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
  document.addEventListener("keydown", (event) => {
    const bar = event.target.closest && event.target.closest("svg.plot a");
    if (!bar || !(event.key in steps) || !gestures.isPlainKey(event)) return;
    const bars = [...bar.closest("svg.plot").querySelectorAll("a")];
    const next = bars[Math.min(Math.max(bars.indexOf(bar) + steps[event.key], 0), bars.length - 1)];
    bar.setAttribute("tabindex", "-1");
    next.removeAttribute("tabindex");
    next.focus();
    event.preventDefault();
  });
})();
