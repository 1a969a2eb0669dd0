// Give the focus back to the button that opened a sidebar on a phone; the theme takes it away.
document.addEventListener("DOMContentLoaded", () => {
  for (const side of ["primary", "secondary"]) {
    const button = document.querySelector(`.${side}-toggle`);
    const sidebar = document.getElementById(`pst-${side}-sidebar-modal`);
    if (button && sidebar) sidebar.addEventListener("close", () => button.focus());
  }
});

// A formula wider than the page scrolls in its box. Let keys reach the box then, as the theme does
// for code.
function reachWideFormulas() {
  for (const box of document.querySelectorAll("div.math")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
document.addEventListener("DOMContentLoaded", () => document.fonts.ready.then(reachWideFormulas));
window.addEventListener("resize", reachWideFormulas);
