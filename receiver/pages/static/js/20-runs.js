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
        last?.click();
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
    else if (key === "a") document.querySelector("#rows .bulk .btn:not([hidden])")?.focus();
    else if (key === "[" || key === "]") document.querySelector(`.foot [rel=${key === "]" ? "next" : "first"}]`)?.click();
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

  // A value offers what can be done with it, once the pointer rests on it or the keyboard has reached it: the offer
  // follows it in the order of Tab, and Escape closes it.
  const kept = () => document.querySelector(".ask input[type=hidden][name=q]")?.value ?? "";
  const quoted = (value) => (/^[^\s()",\\*]+$/.test(value) ? value : `"${value.replace(/[\\"]/g, "\\$&")}"`);
  let pick = null;
  let resting = 0;
  const close = () => {
    pick?.remove();
    pick = null;
  };
  const drop = () => {
    clearTimeout(resting);
    close();
  };
  const offerOf = (value) => {
    const name = value.dataset.name;
    const shown = value.dataset.value ?? value.textContent.trim();
    const text = value.classList.contains("tag") ? shown.slice(name.length - "tag.".length + 1) : shown;
    const address = new URL(location.href);
    for (const each of ["cursor", "before"]) address.searchParams.delete(each);
    address.searchParams.set("q", `${kept()} -${name}:${quoted(text)}`.trim());
    return { title: `${name} ${value.dataset.value ? value.textContent.trim() : text}`, text, address: address.href };
  };
  const act = (tag, said, title) => {
    const made = document.createElement(tag);
    made.textContent = said;
    made.setAttribute("aria-label", `${said}: ${title}`);
    return made;
  };
  const copy = (text, title) => {
    const made = act("button", "Copy", title);
    made.type = "button";
    made.addEventListener("click", () => navigator.clipboard.writeText(text).then(() => { made.textContent = "Copied"; }));
    return made;
  };
  const offer = (value) => {
    if (!value.isConnected || !value.matches(":hover, :focus-visible") || pick?.previousElementSibling === value) return;
    close();
    const { title, text, address } = offerOf(value);
    pick = document.createElement("span");
    pick.className = "pick";
    pick.popover = "manual";
    pick.setAttribute("role", "group");
    pick.setAttribute("aria-label", title);
    const [only, not] = [act("a", "Only this", title), act("a", "Not this", title)];
    [only.href, not.href] = [value.href, address];
    pick.append(only, not, ...(navigator.clipboard ? [copy(text, title)] : []));
    value.after(pick);
    pick.showPopover();
    const place = value.getBoundingClientRect();
    const top = place.bottom + pick.offsetHeight > innerHeight ? place.top - pick.offsetHeight : place.bottom;
    pick.style.left = `${Math.min(place.left, innerWidth - pick.offsetWidth - 12)}px`;
    pick.style.top = `${top}px`;
  };
  const exclude = (element) => {
    const value = element.closest("a.val") ?? element.closest(".pick")?.previousElementSibling;
    if (!value) {
      element.closest(".facet li")?.querySelector(".not")?.click();
      return;
    }
    const followed = act("a", "", "");
    followed.href = offerOf(value).address;
    value.after(followed);
    followed.click();
    followed.remove();
  };
  const rest = (event) => {
    const value = event.target.closest?.("a.val");
    if (event.target.closest?.(".pick")) return;
    if (!value || pick?.previousElementSibling !== value) drop();
    if (!value) return;
    clearTimeout(resting);
    resting = setTimeout(offer, 450, value);
  };
  document.addEventListener("mouseover", rest);
  document.addEventListener("focusin", (event) => {
    if (event.target.matches("a.val")) event.target.setAttribute("aria-describedby", "value-help");
    rest(event);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !pick) return;
    if (pick.contains(document.activeElement)) pick.previousElementSibling.focus();
    drop();
  });
  document.addEventListener("scroll", close, { passive: true });
})();
