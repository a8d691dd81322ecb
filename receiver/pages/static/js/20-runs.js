// The list of runs: completion of the filter, keys, selection, and what can be done with a value.
(() => {
  "use strict";
  const box = document.getElementById("q");
  const list = () => document.getElementById("complete-list");
  const rows = () => [...document.querySelectorAll("#runs > tr")];

  // Completion: the server suggests, arrows choose, Tab or Enter takes.
  if (box && box.dataset.complete) {
    let timer = 0;
    const choose = (option) => {
      for (const each of list().children) each.setAttribute("aria-selected", String(each === option));
      if (option) {
        box.setAttribute("aria-activedescendant", option.id);
        option.scrollIntoView({ block: "nearest" });
      } else box.removeAttribute("aria-activedescendant");
    };
    const chosen = () => list()?.querySelector("[aria-selected=true]");
    const close = () => {
      clearTimeout(timer);
      document.getElementById("complete").replaceChildren();
      box.setAttribute("aria-expanded", "false");
      box.removeAttribute("aria-activedescendant");
    };
    const ask = () => {
      const asked = box.value;
      const address = `${box.dataset.complete}?${new URLSearchParams({ q: asked, at: box.selectionStart })}`;
      window.htmx.ajax("GET", address, { source: "#complete", target: "#complete", swap: "innerHTML" }).then(() => {
        if (document.activeElement !== box || box.value !== asked) close();
        else box.setAttribute("aria-expanded", String(Boolean(list())));
      });
    };
    const later = () => {
      clearTimeout(timer);
      timer = setTimeout(ask, 150);
    };
    const take = (option) => {
      box.value = option.dataset.text;
      box.focus();
      box.setSelectionRange(Number(option.dataset.at), Number(option.dataset.at));
      close();
      later();
    };
    box.addEventListener("input", later);
    box.addEventListener("blur", () => setTimeout(close, 150));
    box.addEventListener("keydown", (event) => {
      const options = [...(list()?.children ?? [])];
      if (event.key === "Backspace" && !box.value) {
        const last = [...document.querySelectorAll(".ask-box .chip .x")].pop();
        if (last) location.assign(last.href);
      } else if (event.key === "Escape") {
        if (!options.length) box.blur();
        close();
        event.preventDefault();
      } else if (options.length && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
        const step = event.key === "ArrowDown" ? 1 : -1;
        const at = options.indexOf(chosen());
        choose(options[(at + step + options.length + (at < 0 && step < 0 ? 1 : 0)) % options.length]);
        event.preventDefault();
      } else if (options.length && event.key === "Tab" && !event.shiftKey) {
        take(chosen() ?? options[0]);
        event.preventDefault();
      } else if (event.key === "Enter" && chosen()) {
        take(chosen());
        event.preventDefault();
      }
    });
    document.getElementById("complete").addEventListener("mousedown", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) {
        event.preventDefault();
        take(option);
      }
    });
  }

  // Keys of the list. The row with the focus is the current one; without one it is the first.
  const current = () => document.activeElement?.closest?.("#runs > tr");
  const boxOf = (row) => row.querySelector("input[name=id]");
  let lastChecked = null;
  const check = (row, isRange) => {
    const all = rows();
    const ticked = !boxOf(row).checked;
    const from = isRange && lastChecked ? all.indexOf(lastChecked) : all.indexOf(row);
    const to = all.indexOf(row);
    for (const each of all.slice(Math.min(from, to), Math.max(from, to) + 1)) boxOf(each).checked = ticked;
    lastChecked = row;
    count();
  };
  document.addEventListener("keydown", (event) => {
    if (!gestures.isCommand(event) || !rows().length || event.target.closest("summary, .menu")) return;
    const key = event.key.toLowerCase();
    if (key === "j" || key === "k") {
      const all = rows();
      const at = all.indexOf(current());
      const next = all[at < 0 ? 0 : at + (key === "j" ? 1 : -1)];
      if (next) next.querySelector(".go").focus();
    } else if (key === "x" && current()) check(current(), event.shiftKey);
    else if (key === "-") exclude(event.target);
    else if (key === "n") document.querySelector(".news")?.click();
    else if (event.key === "Enter" && event.target.closest("#runs input")) current().querySelector(".go").click();
    else return;
    event.preventDefault();
  });

  // Selection: the number of rows, all rows of the page, a range with Shift.
  const count = () => {
    const form = document.getElementById("rows");
    if (!form) return;
    const ticked = form.querySelectorAll("#runs input:checked").length;
    const whole = form.querySelector("[data-all]");
    whole.checked = ticked > 0 && ticked === rows().length;
    whole.indeterminate = ticked > 0 && !whole.checked;
    form.querySelector("[data-selected]").textContent = ticked === 1 ? "1 run selected" : `${ticked} runs selected`;
    const compare = form.querySelector("[value=compare]");
    if (compare) compare.hidden = ticked !== 2;
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) {
      for (const row of rows()) boxOf(row).checked = event.target.checked;
    }
    if (event.target.closest("#rows")) count();
  });
  document.addEventListener("click", (event) => {
    const row = event.shiftKey && event.target.matches("#runs input") ? event.target.closest("tr") : null;
    if (!row) return;
    event.target.checked = !event.target.checked;
    check(row, true);
  });
  document.addEventListener("htmx:after:swap", count);
  count();

  // A value offers what can be done with it, once the pointer rests on it or it has the focus.
  const kept = () => document.querySelector(".ask input[type=hidden][name=q]")?.value ?? "";
  const quoted = (value) => (/^[^\s()",\\*]+$/.test(value) ? value : `"${value.replace(/[\\"]/g, "\\$&")}"`);
  let pick = null;
  let resting = 0;
  const drop = () => {
    clearTimeout(resting);
    pick?.remove();
    pick = null;
  };
  const link = (address, text) => {
    const made = document.createElement("a");
    made.href = address;
    made.textContent = text;
    return made;
  };
  const offer = (value) => {
    drop();
    const name = value.dataset.name;
    const shown = value.dataset.value ?? value.textContent.trim();
    const text = value.classList.contains("tag") ? shown.slice(name.length - "tag.".length + 1) : shown;
    const address = new URL(location.href);
    address.searchParams.delete("cursor");
    address.searchParams.set("q", `${kept()} -${name}:${quoted(text)}`.trim());
    pick = document.createElement("span");
    pick.className = "pick is-floating";
    const copy = link("#", "Copy");
    copy.addEventListener("click", (event) => {
      event.preventDefault();
      navigator.clipboard.writeText(text).then(() => { copy.textContent = "Copied"; });
    });
    pick.append(link(value.href, "Only this"), link(address.href, "Not this"), copy);
    document.body.append(pick);
    const place = value.getBoundingClientRect();
    pick.style.left = `${Math.min(place.left, innerWidth - pick.offsetWidth - 12) + scrollX}px`;
    pick.style.top = `${place.bottom + scrollY}px`;
    pick.addEventListener("mouseleave", drop);
  };
  const exclude = (element) => {
    const value = element.closest("a.val");
    if (value) offer(value);
    (value ? pick.children[1] : element.closest(".facet li")?.querySelector(".not"))?.click();
  };
  document.addEventListener("mouseover", (event) => {
    const value = event.target.closest?.("a.val");
    if (value) {
      clearTimeout(resting);
      resting = setTimeout(offer, 450, value);
    } else if (!event.target.closest?.(".pick")) drop();
  });
  document.addEventListener("scroll", drop, { passive: true });
})();
