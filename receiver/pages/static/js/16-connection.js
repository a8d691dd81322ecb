// A page that follows changes: a sign where its connection is lost, until it is there again.
(() => {
  "use strict";
  let timer = 0;
  const show = (event, isLost) => {
    if (!event.target.matches?.("#live, #run")) return;
    clearTimeout(timer);
    const change = () => {
      const sign = document.getElementById("live-lost");
      if (sign) sign.hidden = !isLost;
    };
    if (isLost) timer = setTimeout(change, 3000);
    else change();
  };
  document.addEventListener("htmx:sse:after:connection", (event) => show(event, false));
  document.addEventListener("htmx:sse:close", (event) => show(event, false));
  document.addEventListener("htmx:sse:error", (event) => show(event, true));
  document.addEventListener("htmx:sse:before:connection", (event) => {
    if (event.detail.connection.attempt > 1) show(event, true);
  });
})();
