// The editor of SQL: Ctrl+Enter runs the statement, a click on a column writes its name, an export is a download.
(() => {
  "use strict";
  document.addEventListener("keydown", (event) => {
    const editor = event.target.closest?.("[data-sql]");
    if (editor && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      editor.form.requestSubmit(editor.form.querySelector("button:not([data-plain])"));
    }
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-inserts]");
    const editor = document.querySelector("[data-sql]");
    if (button && editor) {
      editor.setRangeText(button.dataset.inserts, editor.selectionStart, editor.selectionEnd, "end");
      editor.focus();
    }
  });

  // A download leaves the page as it is, so htmx must not fetch it.
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-plain]");
    if (button && button.form.reportValidity()) {
      event.preventDefault();
      location.assign(`${button.formAction}?${new URLSearchParams(new FormData(button.form))}`);
    }
  });
})();
