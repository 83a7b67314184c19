// SPDX-License-Identifier: MIT OR Apache-2.0
// Applies the chosen theme before the first paint, so it is a script that blocks. Without a choice the system's holds.
"use strict";
(() => {
  const KEY = "theme";
  const NAMES = { system: "System", dark: "Dark", light: "Light" };
  const stored = () => {
    try {
      const theme = localStorage.getItem(KEY);
      return theme in NAMES ? theme : "system";
    } catch {
      return "system";
    }
  };
  const apply = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };
  let theme = stored();
  apply(theme);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const [icon, name] = [document.createElement("span"), document.createElement("span")];
    icon.textContent = "◐";
    name.className = "theme-name";
    button.append(icon, name);
    const label = () => {
      name.textContent = NAMES[theme];
      button.setAttribute("aria-label", `Theme: ${NAMES[theme]}`);
      button.title = "Theme: as the system, dark, or light";
    };
    label();
    button.addEventListener("click", () => {
      const names = Object.keys(NAMES);
      theme = names[(names.indexOf(theme) + 1) % names.length];
      try {
        localStorage.setItem(KEY, theme);
      } catch {
        // The theme holds until the page is closed.
      }
      apply(theme);
      label();
      document.dispatchEvent(new Event("themechange"));
    });
  });
})();
