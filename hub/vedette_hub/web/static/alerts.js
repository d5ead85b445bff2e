// The table of alerts by keyboard, and the same done about several of them, without a reload.
"use strict";
(function () {
  const form = document.getElementById("bulk");
  const region = document.getElementById("alerts");
  const said = document.getElementById("said");
  const keys = document.getElementById("keys");
  const DO = { a: "acknowledge", t: "label:true", f: "label:false", n: "label:normal", r: "resolve" };
  let current = ""; // of the alert one is at: it stays when the table is refreshed
  let place = 0;

  const rows = () => Array.from(region.querySelectorAll("tr[data-alert]"));
  const boxes = () => Array.from(region.querySelectorAll('input[name="alert"]'));

  function goTo(index) {
    const all = rows();
    if (!all.length) return;
    place = Math.max(0, Math.min(all.length - 1, index));
    current = all[place].dataset.alert;
    const link = all[place].querySelector(".row-link");
    link.focus({ preventScroll: true });
    all[place].scrollIntoView({ block: "nearest" });
  }

  function at() {
    const row = document.activeElement && document.activeElement.closest("tr[data-alert]");
    const index = row ? rows().indexOf(row) : rows().findIndex((one) => one.dataset.alert === current);
    return index;
  }

  async function act(what, chosen) {
    if (!chosen.length || !said) return;
    const body = new FormData();
    body.append("do", what);
    for (const one of chosen) body.append("alert", one);
    said.textContent = "…";
    try {
      const response = await fetch(form.action, {
        method: "POST",
        body,
        headers: { "X-CSRFToken": window.vedette.csrf(), Accept: "application/json" },
        signal: AbortSignal.timeout(10000),
      });
      if (!response.ok) throw new Error("status " + response.status);
      const answer = await response.json();
      for (const box of boxes()) box.checked = false;
      await window.vedette.refresh();
      said.textContent = answer.words;
    } catch (error) {
      said.textContent = "That did not work (" + error.message + "); try again.";
    }
  }

  function picked() {
    const chosen = boxes().filter((box) => box.checked).map((box) => box.value);
    if (chosen.length) return chosen;
    const index = at();
    return index >= 0 ? [rows()[index].dataset.alert] : [];
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = picked();
    if (!chosen.length) {
      said.textContent = "Pick an alert first.";
      return;
    }
    act(event.submitter.value, chosen);
  });

  region.addEventListener("change", (event) => {
    if (event.target.id === "pick-all") for (const box of boxes()) box.checked = event.target.checked;
    const number = boxes().filter((box) => box.checked).length;
    if (said) said.textContent = number ? number + " picked" : "";
  });

  region.addEventListener("focusin", (event) => {
    const row = event.target.closest("tr[data-alert]");
    if (row) {
      current = row.dataset.alert;
      place = rows().indexOf(row);
    }
  });

  // The one that one was at may have left the table: then one is at the one that took its place.
  region.addEventListener("refreshed", () => {
    if (current && !rows().some((row) => row.dataset.alert === current) && document.activeElement.id === "main") goTo(place);
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
    const target = event.target;
    if (target.matches("input:not([type=checkbox]), select, textarea")) return;
    const index = at();
    if (event.key === "j") goTo(index < 0 ? place : index + 1);
    else if (event.key === "k") goTo(index < 0 ? place : index - 1);
    else if (event.key === "x" && index >= 0) {
      const box = rows()[index].querySelector('input[name="alert"]');
      if (box) box.click();
    } else if (event.key in DO) act(DO[event.key], picked());
    else if (event.key === "/") {
      document.getElementById("filters").open = true;
      document.getElementById("filter-severity").focus();
    } else if (event.key === "?") keys.showModal();
    else return;
    event.preventDefault();
  });

  const show = document.getElementById("show-keys");
  show.hidden = false;
  show.addEventListener("click", () => keys.showModal());
})();
