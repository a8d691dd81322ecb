// Predicates for presses of keys and of the pointer, shared by all scripts of a page.
const gestures = (() => {
  "use strict";
  const hasModifier = (event) => event.ctrlKey || event.metaKey || event.altKey;
  const isTyping = (element) => element.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
  return {
    // A key that is no command of the browser and that nothing has handled.
    isPlainKey: (event) => !hasModifier(event) && !event.defaultPrevented,
    // A key that is a command of the page: it is not typed into a field, and no dialog is open.
    isCommand: (event) => !hasModifier(event) && !event.defaultPrevented && !isTyping(event.target) && !document.querySelector("dialog[open]"),
    // A click that follows a link in this window.
    isPlainClick: (event) => event.button === 0 && !hasModifier(event) && !event.shiftKey && !event.defaultPrevented,
  };
})();
