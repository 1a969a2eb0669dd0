// Give the focus back to the button that opened a sidebar on a phone; the theme takes it away.
document.addEventListener("DOMContentLoaded", () => {
  for (const side of ["primary", "secondary"]) {
    const button = document.querySelector(`.${side}-toggle`);
    const sidebar = document.getElementById(`pst-${side}-sidebar-modal`);
    if (button && sidebar) sidebar.addEventListener("close", () => button.focus());
  }
});
