/* Small things that a page needs once JavaScript runs. */
(() => {
  "use strict";

  // A page opened as a file may not read other files, so search shows titles only.
  if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  // Paper is white: a dark page is printed in the light theme.
  const root = document.documentElement;
  const paper = matchMedia("print");
  let screen = null;
  const toPaper = () => {
    if (screen === null) {
      screen = root.dataset.theme;
      root.dataset.theme = "light";
    }
  };
  const toScreen = () => {
    if (screen !== null) {
      root.dataset.theme = screen;
      screen = null;
    }
  };
  paper.addEventListener("change", () => (paper.matches ? toPaper() : toScreen()));
  addEventListener("beforeprint", toPaper);
  addEventListener("afterprint", toScreen);

  // What scrolls can be scrolled with the keyboard, also once it is unfolded.
  const reach = () => {
    for (const box of document.querySelectorAll("article pre, article .pst-scrollable-table-container")) {
      if (box.scrollWidth > box.clientWidth) {
        box.tabIndex = 0;
      }
    }
  };
  document.addEventListener("click", (event) => {
    if (event.target.closest(".toggle-button, .admonition-title, summary")) {
      setTimeout(reach);
    }
  });
})();
