// The console keeps itself fresh: it asks for the part of the page that changes, and says so when it cannot.
"use strict";
(function () {
  const PERIOD = 5000;
  const TIMEOUT = 10000;
  const overview = document.getElementById("overview");
  const freshness = document.getElementById("freshness");
  const freshnessText = document.getElementById("freshness-text");
  let tag = "";
  let lastSuccess = Date.now();
  let timer = 0;

  function relative(milliseconds) {
    const seconds = Math.round(Math.abs(milliseconds) / 1000);
    const ago = (text) => (milliseconds >= 0 ? text + " ago" : "in " + text);
    if (seconds < 5) return "just now";
    if (seconds < 60) return ago(seconds + " s");
    if (seconds < 3600) return ago(Math.round(seconds / 60) + " min");
    if (seconds < 86400) return ago(Math.round(seconds / 3600) + " h");
    if (seconds < 60 * 86400) return ago(Math.round(seconds / 86400) + " days");
    return null; // so far away that a date says more
  }

  function refreshTimes() {
    for (const element of document.querySelectorAll("time[datetime]")) {
      const at = Date.parse(element.dateTime);
      if (Number.isNaN(at)) continue;
      const text = relative(Date.now() - at) || element.title.slice(0, 10);
      if (element.textContent !== text) element.textContent = text;
    }
  }

  function replace(html) {
    const focused = document.activeElement && overview.contains(document.activeElement) ? document.activeElement.id : "";
    const open = new Set(Array.from(overview.querySelectorAll("details[open]"), (details) => details.id));
    overview.innerHTML = html;
    for (const details of overview.querySelectorAll("details")) details.open = open.has(details.id);
    if (focused) (document.getElementById(focused) || overview).focus({ preventScroll: true });
  }

  // The tab says how many alerts wait, also while another one is in front.
  function refreshTitle() {
    const section = overview.querySelector("[data-attention]");
    const waiting = section ? Number(section.dataset.attention) : 0;
    document.title = (waiting > 0 ? "(" + waiting + ") " : "") + "Vedette hub";
  }

  function connected() {
    lastSuccess = Date.now();
    freshness.classList.remove("is-stale");
    freshnessText.textContent = "live";
    overview.classList.remove("is-stale");
  }

  function disconnected() {
    freshness.classList.add("is-stale");
    overview.classList.add("is-stale");
    freshnessText.textContent = "disconnected, retrying; as of " + (relative(Date.now() - lastSuccess) || "long ago");
  }

  async function refresh() {
    window.clearTimeout(timer);
    try {
      const response = await fetch(overview.dataset.source, {
        headers: tag ? { "If-None-Match": tag } : {},
        cache: "no-store",
        credentials: "same-origin",
        signal: AbortSignal.timeout(TIMEOUT),
      });
      if (response.status === 401) {
        window.location.assign(overview.dataset.login);
        return;
      }
      if (response.status !== 304) {
        if (!response.ok) throw new Error("status " + response.status);
        const html = await response.text();
        tag = response.headers.get("ETag") || "";
        replace(html);
      }
      connected();
    } catch (error) {
      disconnected();
    }
    refreshTimes();
    refreshTitle();
    timer = window.setTimeout(refresh, PERIOD);
  }

  // Acknowledging does not reload the page; without this script it does.
  overview.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!("quiet" in form.dataset)) return;
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      const response = await fetch(form.action, {
        method: "POST",
        body: new FormData(form),
        // The part of the page that is refreshed has no token in its forms: it would be another one every time.
        headers: { "X-CSRFToken": document.querySelector('meta[name="csrf-token"]').content },
        signal: AbortSignal.timeout(TIMEOUT),
      });
      if (!response.ok) throw new Error("status " + response.status);
      await refresh();
    } catch (error) {
      button.disabled = false;
      button.textContent = "Failed, try again";
    }
  });

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
  refreshTimes();
  refreshTitle();
  window.setInterval(refreshTimes, 1000);
  timer = window.setTimeout(refresh, PERIOD);
})();
