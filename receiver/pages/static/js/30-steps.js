// The steps of a run: a grid walked by keys, whose rows open in the inspector, and the brush above it.
(() => {
  "use strict";
  const isWide = matchMedia("(min-width: 80rem)");
  const inspector = () => document.getElementById("inspector");
  const withParameters = (address, parameters) => {
    const url = new URL(address, location.href);
    for (const [name, value] of Object.entries(parameters)) {
      if (value === null) url.searchParams.delete(name);
      else url.searchParams.set(name, value);
    }
    return url;
  };

  const showInPanel = (address) => {
    const panel = inspector();
    panel.classList.add("is-loading");
    return htmx.ajax("GET", address, { target: "#inspector", swap: "innerHTML" }).finally(() => {
      panel.classList.remove("is-loading");
      panel.scrollTop = 0;
    });
  };

  customElements.define("run-steps", class extends HTMLElement {
    connectedCallback() {
      if (this.isReady) return;
      this.isReady = true;
      this.addEventListener("click", (event) => this.onClick(event));
      this.addEventListener("keydown", (event) => this.onKey(event));
      this.addEventListener("focusin", (event) => this.makeCurrent(event.target.closest("[role=row]")));
      this.refresh();
    }

    refresh() {
      for (const link of this.querySelectorAll("[role=row] a.name, a.twist")) link.tabIndex = -1;
      const current = this.querySelector("[role=row][aria-selected=true]") ?? this.rows()[0];
      for (const row of this.querySelectorAll("[role=row][aria-level]")) row.tabIndex = row === current ? 0 : -1;
    }

    rows() {
      return [...this.querySelectorAll("[role=row][aria-level]:not([hidden])")];
    }

    makeCurrent(row) {
      if (!row?.hasAttribute("aria-level")) return;
      for (const each of this.querySelectorAll("[role=row][tabindex='0']")) each.tabIndex = -1;
      row.tabIndex = 0;
    }

    onClick(event) {
      const row = event.target.closest("[role=row][aria-level]");
      if (!row || !gestures.isPlainClick(event)) return;
      const twist = event.target.closest("a.twist");
      if (twist) {
        if (this.fold(row, row.getAttribute("aria-expanded") === "true")) event.preventDefault();
      } else if (isWide.matches && row.getAttribute("aria-level") === "3") {
        event.preventDefault();
        this.select(row);
      }
    }

    // A turn that came folded has no rows here, so its link asks the server for them.
    fold(turn, isFolded) {
      const children = this.querySelectorAll(`[role=row][aria-level="3"][data-turn="${turn.dataset.turn}"]`);
      if (!turn.dataset.turn || !children.length) return false;
      for (const child of children) child.hidden = isFolded;
      turn.setAttribute("aria-expanded", String(!isFolded));
      return true;
    }

    select(row) {
      this.makeCurrent(row);
      row.focus({ preventScroll: true });
      this.load(row);
    }

    load(row) {
      const link = row.querySelector("a.name");
      if (!isWide.matches || row.getAttribute("aria-level") !== "3" || row.getAttribute("aria-selected") === "true") return;
      for (const each of this.querySelectorAll("[aria-selected]")) each.removeAttribute("aria-selected");
      row.setAttribute("aria-selected", "true");
      const position = new URL(link.href).pathname.split("/").pop();
      history.replaceState(history.state, "", withParameters(location.href, { step: position }));
      showInPanel(link.href);
    }

    focusRow(row) {
      if (!row) return;
      row.focus();
      row.scrollIntoView({ block: "nearest" });
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.load(row), 120);
    }

    onKey(event) {
      const row = event.target.closest("[role=row][aria-level]");
      if (!row || !gestures.isPlainKey(event)) return;
      const rows = this.rows(), at = rows.indexOf(row);
      const isOpen = row.getAttribute("aria-expanded");
      const keys = {
        ArrowDown: () => this.focusRow(rows[at + 1]),
        ArrowUp: () => this.focusRow(rows[at - 1]),
        Home: () => this.focusRow(rows[0]),
        End: () => this.focusRow(rows.at(-1)),
        ArrowLeft: () => {
          if (isOpen === "true" && this.fold(row, true)) return;
          this.focusRow(rows.slice(0, at).findLast((each) => each.ariaLevel < row.ariaLevel));
        },
        ArrowRight: () => {
          if (isOpen === "false" && this.fold(row, false)) return;
          if (isOpen === "false") row.querySelector("a.twist")?.click();
          else if (isOpen === "true") this.focusRow(rows[at + 1]);
        },
        Enter: () => {
          if (row.ariaLevel !== "3") row.querySelector("a.name")?.click();
          else if (isWide.matches) {
            this.load(row);
            inspector().focus();
          } else location.assign(row.querySelector("a.name").href);
        },
        Escape: () => row.blur(),
      };
      const run = keys[event.key];
      if (run) {
        event.preventDefault();
        event.stopPropagation();
        run();
      }
    }

    depth(levels) {
      for (const turn of this.querySelectorAll("[role=row][aria-level='2'][data-turn]")) this.fold(turn, levels < 3);
    }

    nextFailed(step) {
      const rows = this.rows();
      const at = rows.findIndex((row) => row.tabIndex === 0);
      const order = step > 0 ? [...rows.slice(at + 1), ...rows.slice(0, at + 1)] : [...rows.slice(0, at).reverse(), ...rows.slice(at).reverse()];
      this.focusRow(order.find((row) => row.classList.contains("is-failed")));
    }
  });

  customElements.define("step-brush", class extends HTMLElement {
    connectedCallback() {
      if (this.isReady) return;
      this.isReady = true;
      this.setAttribute("data-drags", "");
      this.addEventListener("pointerdown", (event) => this.begin(event));
      this.addEventListener("pointermove", (event) => this.draw(event));
      this.addEventListener("pointerup", (event) => this.end(event));
      this.addEventListener("pointercancel", () => this.drop());
    }

    place(event) {
      const box = this.svg.getBoundingClientRect();
      return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    }

    begin(event) {
      const svg = event.target.closest("svg:not(.i)");
      if (!svg || event.button !== 0) return;
      this.svg = svg;
      this.from = this.place(event);
      this.mark = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      this.mark.setAttribute("class", "drawn");
      this.mark.setAttribute("height", "48");
      svg.append(this.mark);
      svg.setPointerCapture(event.pointerId);
      event.preventDefault();
    }

    draw(event) {
      if (!this.mark) return;
      const to = this.place(event);
      this.mark.setAttribute("x", `${100 * Math.min(this.from, to)}%`);
      this.mark.setAttribute("width", `${100 * Math.abs(this.from - to)}%`);
    }

    drop() {
      this.mark?.remove();
      this.mark = null;
    }

    end(event) {
      if (!this.mark) return;
      const [start, end] = [this.from, this.place(event)].sort((one, other) => one - other);
      this.drop();
      if (end - start < 0.005) return;
      const whole = Number(this.dataset.end);
      const window = { from: Math.floor(start * whole), to: Math.ceil(end * whole), part: "steps" };
      htmx.ajax("GET", withParameters(this.dataset.address, window).href, { target: "#steps", swap: "outerMorph" });
    }
  });

  const grid = () => document.querySelector("run-steps");
  const onPage = {
    e: () => grid()?.nextFailed(1),
    E: () => grid()?.nextFailed(-1),
    f: () => document.querySelector("[data-failed-only]")?.click(),
    0: () => document.querySelector("[data-whole]")?.click(),
    j: () => document.querySelector("[data-run-key=J]")?.click(),
    k: () => document.querySelector("[data-run-key=K]")?.click(),
    "[": () => document.querySelector("[data-step-key='[']")?.click(),
    "]": () => document.querySelector("[data-step-key=']']")?.click(),
  };
  document.addEventListener("keydown", (event) => {
    if (!document.getElementById("run") && !document.querySelector(".step-page")) return;
    if (!gestures.isCommand(event)) return;
    if (event.key === "Escape" && event.target.closest("#inspector")) {
      grid()?.querySelector("[role=row][tabindex='0']")?.focus();
    } else if (/^[1-9]$/.test(event.key) && grid()) {
      grid().depth(Number(event.key));
    } else if (onPage[event.key]) {
      onPage[event.key]();
    }
  });

  // Links of the inspector stay in it while it is a panel, and the grid follows.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("#inspector a[data-step-key], #inspector a[data-in-panel], #inspector [data-in-panel] a.place");
    if (!link || !isWide.matches || !gestures.isPlainClick(event)) return;
    event.preventDefault();
    const path = new URL(link.href).pathname;
    const row = link.dataset.stepKey && grid()?.querySelector(`a.name[href^="${CSS.escape(path)}"]`)?.closest("[role=row]");
    if (row && !row.hidden) {
      grid().makeCurrent(row);
      grid().load(row);
      row.scrollIntoView({ block: "nearest" });
    } else {
      showInPanel(link.href);
    }
  });

  // All parts of a run are printed by a button, where there are scripts.
  const offerPrint = () => {
    for (const button of document.querySelectorAll("[data-print][hidden]")) button.hidden = false;
  };
  offerPrint();
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-print]")) print();
  });

  document.addEventListener("htmx:after:swap", () => {
    grid()?.refresh();
    offerPrint();
  });
})();
