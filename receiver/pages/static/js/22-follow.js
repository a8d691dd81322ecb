// Links of the list are followed in place: what is open, counted and scrolled beside it stays as it is.
(() => {
  "use strict";
  const place = document.getElementById("list-place");
  if (!place) return;
  const isOfList = (link) => link.origin === location.origin && link.pathname === location.pathname && !link.hash;
  const question = () => {
    const kept = new URLSearchParams(location.search);
    for (const name of ["cursor", "before", "sort", "columns"]) kept.delete(name);
    return kept.toString();
  };
  let latest = 0;
  const follow = async (address) => {
    const own = ++latest;
    const part = document.activeElement?.closest("#list, #ask")?.id;
    document.getElementById("list").setAttribute("aria-busy", "true");
    let reached = address;
    const note = (event) => {
      if (event.detail.ctx.sourceElement === place) reached = event.detail.ctx.response.raw.url || address;
    };
    document.addEventListener("htmx:before:response", note);
    await window.htmx.ajax("GET", address, {
      source: place, target: "#list", swap: "outerHTML", select: "#list", selectOOB: "#ask:innerMorph,#page-acts:innerMorph",
    }).catch(() => null);
    document.removeEventListener("htmx:before:response", note);
    if (own !== latest) return;
    const list = document.getElementById("list");
    if (!list || list.hasAttribute("aria-busy")) {
      location.assign(address);
      return;
    }
    const before = question();
    history.pushState({}, "", reached);
    if (scrollY > list.offsetTop) scrollTo({ top: 0 });
    // The focused element was removed with its list or chip; Tab and J continue from there.
    if (part && document.activeElement === document.body) document.getElementById(part === "ask" ? "q" : part).focus({ preventScroll: true });
    if (question() === before) return;
    const facets = document.getElementById("facets");
    window.htmx.ajax("GET", facets.dataset.facets + location.search, {
      source: facets, target: facets, swap: "innerMorph",
    });
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("main a[href]");
    if (!link || !gestures.isPlainClick(event) || link.matches(".news") || !isOfList(link)) return;
    event.preventDefault();
    document.getElementById("facets").hidePopover?.();
    follow(link.href);
  });
  // The number of runs found is announced to screen readers.
  document.addEventListener("htmx:after:swap", () => {
    const total = document.querySelector("#list .sum div");
    const text = total ? [...total.children].reverse().map((each) => each.textContent).join(" ")
      : document.querySelector("#list > .blank h2")?.textContent;
    const said = document.getElementById("list-said");
    if (text && said.textContent !== text) said.textContent = text;
  });
  addEventListener("popstate", () => location.reload());
})();
