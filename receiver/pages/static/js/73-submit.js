// The agents of the form that submits a run: a box finds them by name or id, and what is typed beside the list counts.
(() => {
  "use strict";
  const box = document.querySelector("[data-finds]");
  const other = document.querySelector("[name=other_agent]");
  const choiceOf = (element) => element.querySelector("[name=agent]");
  other?.addEventListener("input", () => { choiceOf(other.parentElement).checked = true; });
  document.getElementById("agents")?.addEventListener("change", () => { other.value = ""; });
  if (!box) return;
  const entries = [...document.getElementById(box.dataset.finds).children];
  box.hidden = false;
  box.addEventListener("input", () => {
    const typed = box.value.trim().toLowerCase();
    for (const each of entries) each.hidden = !each.textContent.toLowerCase().includes(typed);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const found = entries.find((each) => !each.hidden);
    if (found) choiceOf(found).click();
  });
})();
