// Light or dark as the system says, also when it changes while the page is open, or as was chosen here.
"use strict";
(function () {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const NAMES = ["system", "light", "dark"];
  const chosen = () => {
    try {
      const kept = window.localStorage.getItem("theme");
      return NAMES.includes(kept) ? kept : "system";
    } catch (error) {
      return "system"; // a browser that keeps nothing
    }
  };
  const follow = () => {
    const name = chosen();
    const shown = name === "system" ? (dark.matches ? "dark" : "light") : name;
    document.documentElement.setAttribute("data-bs-theme", shown);
  };
  follow();
  dark.addEventListener("change", follow);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const say = () => (document.getElementById("theme-name").textContent = chosen());
    button.hidden = false;
    say();
    button.addEventListener("click", () => {
      const next = NAMES[(NAMES.indexOf(chosen()) + 1) % NAMES.length];
      try {
        window.localStorage.setItem("theme", next);
      } catch (error) {
        return;
      }
      follow();
      say();
    });
  });
})();
