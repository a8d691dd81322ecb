// Times that count while something runs: <span data-elapsed="MILLISECONDS">.
(() => {
  "use strict";
  const begun = new WeakMap();
  const two = (number) => String(number).padStart(2, "0");
  const asText = (seconds) => {
    const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
    if (days) return `${days}d ${two(hours)}h`;
    if (hours) return `${hours}h ${two(minutes)}m`;
    return minutes ? `${minutes}m ${two(Math.floor(seconds) % 60)}s` : `${Math.floor(seconds)}s`;
  };
  setInterval(() => {
    for (const timer of document.querySelectorAll("[data-elapsed]")) {
      const known = begun.get(timer);
      if (known?.elapsed !== timer.dataset.elapsed) begun.set(timer, { elapsed: timer.dataset.elapsed, at: performance.now() });
      const { elapsed, at } = begun.get(timer);
      timer.textContent = asText((Number(elapsed) + performance.now() - at) / 1000);
    }
  }, 1000);
})();
