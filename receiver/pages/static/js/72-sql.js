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
      if (!("touched" in editor.dataset)) editor.setSelectionRange(editor.value.length, editor.value.length);
      const isBehindWord = /\w/.test(editor.value.charAt(editor.selectionStart - 1));
      const text = `${isBehindWord ? ", " : ""}${button.dataset.inserts}`;
      editor.setRangeText(text, editor.selectionStart, editor.selectionEnd, "end");
      editor.focus();
    }
  });

  document.addEventListener("focusin", (event) => {
    const editor = event.target.closest?.("[data-sql]");
    if (editor) editor.dataset.touched = "";
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
