// Pages keep themselves fresh: news comes over the socket, the part of the page that changes is asked for again then,
// and now and then anyway. When neither works the page says so, and how old it is.
"use strict";
(function () {
  const PERIOD = 5000; // while there is no socket
  const PERIOD_WITH_SOCKET = 20000; // for what the socket does not tell: gateways' states, progress of jobs
  const GATHER = 250; // news that come together are one refresh
  const TIMEOUT = 10000;
  const LONGEST_WAIT = 30000;
  const region = document.querySelector("[data-source]");
  const freshness = document.getElementById("freshness");
  const freshnessText = document.getElementById("freshness-text");
  const badge = document.getElementById("attention");
  const title = document.title;
  const listeners = {};
  let tag = "";
  let lastSuccess = Date.now();
  let timer = 0;
  let refreshing = false;
  let again = false;
  let socket = null;
  let waits = 1000;
  let change = null;
  let polled = true;

  const csrf = () => document.querySelector('meta[name="csrf-token"]').content;

  // ------------------------------------------------------------------- times

  function relative(milliseconds) {
    const seconds = Math.round(Math.abs(milliseconds) / 1000);
    const ago = (text) => (milliseconds >= 0 ? text + " ago" : "in " + text);
    if (seconds < 5) return "just now";
    if (seconds < 60) return ago(seconds + " s");
    if (seconds < 3600) return ago(Math.round(seconds / 60) + " min");
    if (seconds < 86400) return ago(Math.round(seconds / 3600) + " h");
    const days = Math.round(seconds / 86400);
    if (days < 60) return ago(days === 1 ? "1 day" : days + " days");
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

  // ------------------------------------------------------ how fresh the page is

  // The tab says how many alerts wait, also while another one is in front.
  function sayWaiting(waiting) {
    if (badge) {
      badge.textContent = badge.dataset.count = String(waiting);
      badge.setAttribute("aria-label", waiting + " need attention");
      badge.hidden = waiting === 0;
    }
    document.title = (waiting > 0 ? "(" + waiting + ") " : "") + title;
  }

  const socketOpen = () => socket !== null && socket.readyState === WebSocket.OPEN;

  function sayFreshness() {
    if (!freshness) return;
    const stale = region ? !polled : !socketOpen();
    freshness.hidden = false;
    freshness.classList.toggle("is-stale", stale);
    freshness.classList.toggle("is-polling", !stale && !socketOpen());
    if (region) region.classList.toggle("is-stale", stale);
    const text = !stale
      ? socketOpen() ? "live" : "every " + PERIOD / 1000 + " s"
      : "disconnected, retrying; as of " + (relative(Date.now() - lastSuccess) || "long ago");
    if (freshnessText.textContent !== text) freshnessText.textContent = text;
  }

  // --------------------------------------------------- the part that changes

  function replace(html) {
    const focused = document.activeElement && region.contains(document.activeElement) ? document.activeElement.id : "";
    const open = new Set(Array.from(region.querySelectorAll("details[open]"), (details) => details.id));
    const picked = new Set(Array.from(region.querySelectorAll("input[type=checkbox]:checked"), (box) => box.value));
    region.innerHTML = html;
    for (const details of region.querySelectorAll("details")) details.open = open.has(details.id);
    for (const box of region.querySelectorAll("input[type=checkbox]")) box.checked = picked.has(box.value);
    if (focused) {
      const found = document.getElementById(focused) || document.getElementById("main");
      found.focus({ preventScroll: true });
    }
    region.dispatchEvent(new CustomEvent("refreshed", { bubbles: true }));
  }

  async function refresh() {
    if (!region) return;
    if (refreshing) {
      again = true;
      return;
    }
    refreshing = true;
    window.clearTimeout(timer);
    try {
      const response = await fetch(region.dataset.source, {
        headers: tag ? { "If-None-Match": tag } : {},
        cache: "no-store",
        credentials: "same-origin",
        signal: AbortSignal.timeout(TIMEOUT),
      });
      if (response.status === 401) {
        window.location.assign("/login");
        return;
      }
      const waiting = response.headers.get("X-Attention");
      if (waiting !== null) sayWaiting(Number(waiting));
      if (response.status !== 304) {
        if (!response.ok) throw new Error("status " + response.status);
        const html = await response.text();
        tag = response.headers.get("ETag") || "";
        replace(html);
      }
      polled = true;
      lastSuccess = Date.now();
    } catch (error) {
      polled = false;
    }
    refreshing = false;
    refreshTimes();
    sayFreshness();
    const soon = again;
    again = false;
    timer = window.setTimeout(refresh, soon ? GATHER : socketOpen() && polled ? PERIOD_WITH_SOCKET : PERIOD);
  }

  function news() {
    window.clearTimeout(timer);
    if (refreshing) again = true;
    else timer = window.setTimeout(refresh, GATHER);
  }

  // ------------------------------------------------------------------ socket

  function send(type, data) {
    if (socketOpen()) socket.send(JSON.stringify({ type, data }));
  }

  function on(type, listener) {
    (listeners[type] = listeners[type] || []).push(listener);
  }

  function received(event) {
    let message;
    try {
      message = JSON.parse(event.data);
    } catch (error) {
      return;
    }
    const data = message.data || {};
    if (typeof data.change === "number") change = data.change;
    lastSuccess = Date.now();
    for (const listener of listeners[message.type] || []) listener(data);
  }

  function connect() {
    const address = new URL("/ws", window.location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(address);
    socket.addEventListener("open", () => {
      waits = 1000;
      const wanted = { channels: ["alerts"] };
      if (change !== null) wanted.after = change;
      send("subscribe", wanted);
      for (const listener of listeners.open || []) listener({});
      sayFreshness();
      news(); // what was missed while there was no socket
    });
    socket.addEventListener("message", received);
    socket.addEventListener("close", (event) => {
      socket = null;
      for (const listener of listeners.close || []) listener({});
      sayFreshness();
      if (region && polled) news();
      if (event.code === 4401) return; // the next refresh leads to the form that signs in
      window.setTimeout(connect, waits * (0.5 + Math.random()));
      waits = Math.min(2 * waits, LONGEST_WAIT);
    });
  }

  // ------------------------------------------------------------------- forms

  // Acknowledging does not reload the page; without this script it does.
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!("quiet" in form.dataset)) return;
    event.preventDefault();
    const button = event.submitter || form.querySelector("button");
    button.disabled = true;
    try {
      const response = await fetch(form.action, {
        method: "POST",
        body: new FormData(form, event.submitter),
        // The part of the page that is refreshed has no token in its forms: it would be another one every time.
        headers: { "X-CSRFToken": csrf() },
        signal: AbortSignal.timeout(TIMEOUT),
      });
      if (!response.ok) throw new Error("status " + response.status);
      for (const field of form.querySelectorAll("textarea")) field.value = "";
      await refresh();
    } catch (error) {
      button.textContent = "Failed, try again";
    }
    button.disabled = false;
  });

  // A form that only chooses what is shown follows its fields at once.
  for (const form of document.querySelectorAll("form[data-follow]")) {
    form.addEventListener("change", () => form.requestSubmit());
  }

  window.vedette = { csrf, on, send, refresh, socketOpen, sayWaiting };

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
  refreshTimes();
  window.setInterval(() => {
    refreshTimes();
    sayFreshness();
  }, 1000);
  if (badge) sayWaiting(Number(badge.dataset.count));
  if (region || document.querySelector("[data-live]")) {
    on("alert", news);
    on("missed", news);
    connect();
    timer = window.setTimeout(refresh, PERIOD);
  } else if (freshness) {
    freshness.remove();
  }
})();
