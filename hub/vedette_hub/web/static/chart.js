// Charts of a device's channels: readings over the band that was expected, the score, and alerts. Drag to zoom, point to
// read off. Live readings are asked of the gateway while the page is looked at, and end by themselves.
"use strict";
(function () {
  const frame = document.querySelector(".charts");
  if (!frame) return;
  const SVG = "http://www.w3.org/2000/svg";
  const HEIGHT = 150, SCORE_HEIGHT = 90, LEFT = 54, RIGHT = 10, TOP = 10, BOTTOM = 20;
  const LIVE_POINTS = 2000; // of a channel; older ones are forgotten
  const LEAST_SPAN = 10;
  const said = frame.querySelector("[data-said]");
  const place = frame.querySelector("[data-charts]");
  const watchButton = frame.querySelector("[data-watch]");
  const first = { start: Number(frame.dataset.start), end: Number(frame.dataset.end) };
  let view = { ...first };
  let answer = null;
  let live = {}; // channel → {time, values, low, high}
  let liveScore = { time: [], values: [] };
  let watching = false;
  let drawn = [];
  let asked = 0;

  // ------------------------------------------------------------------ numbers

  const number = (value) => (value === null || value === undefined || Number.isNaN(value) ? "–"
    : Math.abs(value) >= 1e5 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(4))));
  const two = (value) => String(value).padStart(2, "0");
  function clock(seconds, span) {
    const t = new Date(1000 * seconds);
    if (Number.isNaN(t.getTime())) return "";
    const day = t.getUTCDate() + " " + t.toLocaleString("en", { month: "short", timeZone: "UTC" });
    const time = two(t.getUTCHours()) + ":" + two(t.getUTCMinutes());
    if (span <= 600) return time + ":" + two(t.getUTCSeconds());
    return span <= 2 * 86400 ? time : span <= 10 * 86400 ? day + " " + time : day;
  }

  function ticks(low, high, wanted) {
    const rough = (high - low) / wanted;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
    const found = [];
    for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) found.push(Math.abs(at) < step / 1e6 ? 0 : at);
    return found;
  }

  const STEPS = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2419200];
  function timeTicks(start, end, wanted) {
    const step = STEPS.find((size) => size >= (end - start) / wanted) || STEPS[STEPS.length - 1];
    const found = [];
    for (let at = Math.ceil(start / step) * step; at <= end; at += step) found.push(at);
    return found;
  }

  // ------------------------------------------------------------------ drawing

  function element(name, attributes, parent) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (parent) parent.appendChild(made);
    return made;
  }

  function merged(channel) {
    const more = live[channel.name];
    if (!more || !more.time.length) return channel;
    const before = channel.time.findIndex((time) => time >= more.time[0]);
    const kept = before < 0 ? channel.time.length : before;
    const joined = (name) => channel[name].slice(0, kept).concat(more[name]);
    return { ...channel, time: joined("time"), values: joined("values"), low: joined("low"), high: joined("high") };
  }

  // A gap in which readings are missing is a gap in the line.
  function pieces(series, gap) {
    const found = [];
    let piece = [];
    series.time.forEach((time, i) => {
      if (series.values[i] === null || (piece.length && time - series.time[i - 1] > gap)) {
        if (piece.length) found.push(piece);
        piece = [];
      }
      if (series.values[i] !== null) piece.push(i);
    });
    if (piece.length) found.push(piece);
    return found;
  }

  function usualGap(times) {
    const steps = times.slice(1).map((time, i) => time - times[i]).sort((a, b) => a - b);
    return steps.length ? 12 * Math.max(steps[Math.floor(0.75 * steps.length)], 1e-3) : Infinity;
  }

  function chart(series, options) {
    const width = Math.max(280, place.clientWidth);
    const height = options.height;
    const figure = document.createElement("figure");
    figure.className = "chart";
    const caption = document.createElement("figcaption");
    const title = document.createElement("span");
    title.textContent = options.title;
    const words = document.createElement("span");
    words.className = "dim";
    const readout = document.createElement("span");
    readout.className = "readout";
    caption.append(title, words, readout);
    figure.appendChild(caption);

    const visible = series.time.map((time, i) => (time >= view.start && time <= view.end ? i : -1)).filter((i) => i >= 0);
    const all = [];
    for (const i of visible) for (const name of options.band ? ["values", "low", "high"] : ["values"]) {
      const value = series[name][i];
      if (value !== null && value !== undefined) all.push(value);
    }
    if (!all.length) {
      const none = document.createElement("p");
      none.className = "chart-empty";
      none.textContent = options.empty;
      figure.appendChild(none);
      return { figure };
    }
    let low = Math.min(...all), high = Math.max(...all);
    if (options.least !== undefined) { low = 0; high = Math.max(high, options.least); }
    const room = 0.06 * (high - low) || Math.max(Math.abs(high) * 0.05, 0.5);
    if (options.least === undefined) low -= room;
    high += room;
    const x = (time) => LEFT + ((time - view.start) / (view.end - view.start)) * (width - LEFT - RIGHT);
    const y = (value) => TOP + ((high - value) / (high - low)) * (height - TOP - BOTTOM);
    const svg = element("svg", { viewBox: "0 0 " + width + " " + height, width, height, role: "group" });
    const values = visible.map((i) => series.values[i]).filter((value) => value !== null);
    const summary = number(Math.min(...values)) + " to " + number(Math.max(...values));
    words.textContent = summary + (options.note ? " · " + options.note : "");
    svg.setAttribute("aria-label", options.title + ": " + summary + ", newest " + number(values[values.length - 1]));

    for (const at of ticks(low, high, height > 100 ? 4 : 2)) {
      element("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(at), y2: y(at) }, svg);
      element("text", { x: LEFT - 6, y: y(at) + 4, "text-anchor": "end" }, svg).textContent = number(at);
    }
    for (const at of timeTicks(view.start, view.end, Math.max(2, width / 130))) {
      const text = element("text", { x: x(at), y: height - 5, "text-anchor": "middle" }, svg);
      text.textContent = clock(at, view.end - view.start);
    }
    for (const alert of answer ? answer.alerts : []) {
      const from = x(Math.max(alert.opened, view.start)), to = x(Math.min(alert.until, view.end));
      if (alert.opened > view.end || alert.until < view.start) continue;
      const group = element("a", { href: frame.dataset.alerts.replace(/_$/, encodeURIComponent(alert.id)), class: "severity-" + alert.severity, tabindex: "-1" }, svg);
      element("rect", { class: "alert-span", x: from, y: TOP, width: Math.max(2, to - from), height: height - TOP - BOTTOM }, group);
      if (alert.opened >= view.start) element("line", { class: "alert-mark", x1: from, x2: from, y1: TOP, y2: height - BOTTOM }, group);
      element("title", {}, group).textContent = alert.severity + ": " + alert.reason;
    }
    const gap = usualGap(series.time);
    const path = (indices, column) => "M" + indices.map((i) => x(series.time[i]).toFixed(1) + " " + y(series[column][i]).toFixed(1)).join("L");
    const inView = (indices) => indices.filter((i, k) => series.time[i] >= view.start && series.time[i] <= view.end
      || (series.time[indices[k + 1]] >= view.start && series.time[i] < view.start) || (series.time[indices[k - 1]] <= view.end && series.time[i] > view.end));
    const clip = element("clipPath", { id: "clip-" + options.key }, element("defs", {}, svg));
    element("rect", { x: LEFT, y: 0, width: width - LEFT - RIGHT, height }, clip);
    const plot = element("g", { "clip-path": "url(#clip-" + options.key + ")" }, svg);
    for (const piece of pieces(series, gap)) {
      const shown = inView(piece);
      if (!shown.length) continue;
      if (options.band) {
        const banded = shown.filter((i) => series.low[i] !== null && series.high[i] !== null && series.low[i] !== undefined);
        if (banded.length > 1) element("path", { class: "band", d: path(banded, "high") + "L" + path(banded.slice().reverse(), "low").slice(1) + "Z" }, plot);
      }
      element("path", { class: options.line, d: shown.length > 1 ? path(shown, "values") : path([shown[0], shown[0]], "values") }, plot);
    }
    if (options.threshold !== undefined) element("line", { class: "threshold", x1: LEFT, x2: width - RIGHT, y1: y(options.threshold), y2: y(options.threshold) }, svg);
    const cursor = element("line", { class: "cursor", y1: TOP, y2: height - BOTTOM, visibility: "hidden" }, svg);
    const point = element("circle", { class: "point", r: 4, visibility: "hidden" }, svg);
    const selection = element("rect", { class: "selection", y: TOP, height: height - TOP - BOTTOM, width: 0, visibility: "hidden" }, svg);
    figure.appendChild(svg);
    return { figure, svg, series, visible, x, y, cursor, point, selection, readout, width, options };
  }

  function draw() {
    if (!answer) return;
    const made = answer.channels.map((channel, i) => chart(merged(channel), {
      key: String(i), title: channel.name + (channel.unit ? " (" + channel.unit + ")" : ""), height: HEIGHT, band: true, line: "line",
      empty: "No readings of this channel in this time.",
    }));
    const score = answer.score || (liveScore.time.length ? { model: "as the gateway scores it", time: [], values: [] } : null);
    if (score && answer.channels.length) {
      const joined = { time: score.time.concat(liveScore.time), values: score.values.concat(liveScore.values) };
      made.push(chart(joined, { key: "score", title: "Score", note: score.model, height: SCORE_HEIGHT, band: false, line: "score-line", least: 1.2, threshold: 1,
        empty: "Nothing of this time has been scored here." }));
    }
    place.replaceChildren(...made.map((one) => one.figure));
    drawn = made.filter((one) => one.svg);
    for (const one of drawn) listen(one);
    frame.querySelector("[data-band]").textContent = answer.band || "expected";
    if (!answer.channels.length) {
      const none = document.createElement("p");
      none.className = "chart-empty";
      none.textContent = answer.last === null
        ? "No samples of this device have come yet; alerts do not wait for them. Live readings can be asked for."
        : "No samples of this time. They reach from " + clock(answer.first, 1e7) + " to " + clock(answer.last, 1e7) + ".";
      place.appendChild(none);
    }
  }

  // ---------------------------------------------------- pointing and selecting

  function timeAt(one, event) {
    const box = one.svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * one.width;
    return view.start + ((at - LEFT) / (one.width - LEFT - RIGHT)) * (view.end - view.start);
  }

  function point(time) {
    for (const one of drawn) {
      let best = -1;
      for (const i of one.visible) if (one.series.values[i] !== null && (best < 0 || Math.abs(one.series.time[i] - time) < Math.abs(one.series.time[best] - time))) best = i;
      const shown = best >= 0 ? "visible" : "hidden";
      one.cursor.setAttribute("visibility", shown);
      one.point.setAttribute("visibility", shown);
      if (best < 0) continue;
      const x = one.x(one.series.time[best]);
      one.cursor.setAttribute("x1", x);
      one.cursor.setAttribute("x2", x);
      one.point.setAttribute("cx", x);
      one.point.setAttribute("cy", one.y(one.series.values[best]));
      const usual = one.options.band && one.series.low[best] !== null && one.series.low[best] !== undefined
        ? ", expected " + number(one.series.low[best]) + " – " + number(one.series.high[best]) : "";
      one.readout.textContent = clock(one.series.time[best], 86400) + " UTC: " + number(one.series.values[best]) + usual;
    }
  }

  function leave() {
    for (const one of drawn) {
      one.cursor.setAttribute("visibility", "hidden");
      one.point.setAttribute("visibility", "hidden");
      one.readout.textContent = "";
    }
  }

  function listen(one) {
    let from = null;
    one.svg.addEventListener("pointermove", (event) => {
      const time = timeAt(one, event);
      point(time);
      if (from === null) return;
      for (const other of drawn) {
        const a = other.x(Math.min(from, time)), b = other.x(Math.max(from, time));
        other.selection.setAttribute("visibility", "visible");
        other.selection.setAttribute("x", Math.max(LEFT, a));
        other.selection.setAttribute("width", Math.max(0, Math.min(b, other.width - RIGHT) - Math.max(LEFT, a)));
      }
    });
    one.svg.addEventListener("pointerleave", leave);
    one.svg.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch" || event.button !== 0) return;
      from = timeAt(one, event);
      one.svg.setPointerCapture(event.pointerId);
    });
    one.svg.addEventListener("pointerup", (event) => {
      if (from === null) return;
      const to = timeAt(one, event), start = Math.max(view.start, Math.min(from, to)), end = Math.min(view.end, Math.max(from, to));
      const far = Math.abs(one.x(to) - one.x(from)) > 8;
      from = null;
      for (const other of drawn) other.selection.setAttribute("visibility", "hidden");
      if (far) show(start, end);
    });
    one.svg.addEventListener("click", (event) => {
      if (event.target.closest("a") && event.detail === 0) return;
    });
    one.svg.addEventListener("dblclick", () => show(first.start, first.end));
  }

  // ------------------------------------------------------------------ history

  async function show(start, end) {
    const span = Math.max(LEAST_SPAN, end - start);
    view = { start: Math.max(0, end - span), end };
    for (const button of frame.querySelectorAll("[data-span]")) button.setAttribute("aria-pressed", String(Math.abs(Number(button.dataset.span) - span) < 1));
    const mine = ++asked;
    try {
      const separator = frame.dataset.history.includes("?") ? "&" : "?";
      const response = await fetch(frame.dataset.history + separator + "start=" + view.start + "&end=" + view.end, { signal: AbortSignal.timeout(20000) });
      if (!response.ok) throw new Error("status " + response.status);
      const found = await response.json();
      if (mine !== asked) return;
      answer = found;
      const count = Math.max(0, ...found.channels.map((channel) => channel.readings));
      said.textContent = clock(view.start, 5 * 86400) + " to " + clock(view.end, 5 * 86400) + " UTC, " + count.toLocaleString("en") + " samples"
        + (found.more_channels ? "; " + found.more_channels + " more channels are not shown" : "");
    } catch (error) {
      if (mine !== asked) return;
      said.textContent = "The readings could not be loaded (" + error.message + ").";
    }
    draw();
  }

  frame.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const span = view.end - view.start, middle = (view.start + view.end) / 2;
    if (button.dataset.span) show(view.end - Number(button.dataset.span), view.end);
    else if (button.dataset.move) show(view.start + 0.5 * span * Number(button.dataset.move), view.end + 0.5 * span * Number(button.dataset.move));
    else if (button.dataset.zoom) show(middle - 0.5 * span * Number(button.dataset.zoom), middle + 0.5 * span * Number(button.dataset.zoom));
    else if ("reset" in button.dataset) show(first.start, first.end);
    else if ("watch" in button.dataset) watch(!watching);
  });

  // --------------------------------------------------------------------- live

  const device = { gateway: frame.dataset.gateway, device: frame.dataset.device };
  const ours = (data) => data.gateway === device.gateway && data.device === device.device;

  function watch(wanted) {
    watching = wanted;
    watchButton.setAttribute("aria-pressed", String(watching));
    if (!window.vedette.socketOpen()) said.textContent = watching ? "Not connected; live readings are asked for when it is." : said.textContent;
    window.vedette.send(watching ? "watch" : "unwatch", device);
  }

  function readings(data) {
    if (!ours(data) || !data.readings.length) return;
    if (!answer) return;
    data.channels.forEach((channel, c) => {
      const series = (live[channel.name] = live[channel.name] || { time: [], values: [], low: [], high: [] });
      for (const one of data.readings) {
        series.time.push(one.time);
        series.values.push(one.values[c]);
        series.low.push(one.low ? one.low[c] : null);
        series.high.push(one.high ? one.high[c] : null);
      }
      for (const name of Object.keys(series)) series[name].splice(0, Math.max(0, series[name].length - LIVE_POINTS));
      const known = answer.channels.find((one) => one.name === channel.name);
      if (known) known.unit = channel.unit;
      else answer.channels.push({ name: channel.name, unit: channel.unit, readings: 0, time: [], values: [], low: [], high: [] });
    });
    for (const one of data.readings) {
      liveScore.time.push(one.time);
      liveScore.values.push(one.score);
    }
    for (const name of ["time", "values"]) liveScore[name].splice(0, Math.max(0, liveScore[name].length - LIVE_POINTS));
    const newest = data.readings[data.readings.length - 1].time;
    // From the first live reading on, the newest minutes are shown; a view of the past is left where it is.
    if (newest > view.end) {
      const span = Math.min(view.end - view.start, Math.max(120, newest - liveScore.time[0] + 60));
      view = { start: newest - span, end: newest };
    }
    draw();
  }

  if (watchButton && window.vedette) {
    window.vedette.on("reading", readings);
    window.vedette.on("watching", (data) => {
      if (!ours(data)) return;
      said.textContent = data.message;
      if (["ended", "off", "refused", "unknown device"].includes(data.state)) {
        watching = false;
        watchButton.setAttribute("aria-pressed", "false");
      }
    });
    window.vedette.on("open", () => { if (watching) window.vedette.send("watch", device); });
    window.vedette.on("error", (data) => { said.textContent = data.message; });
  }

  let resized = 0;
  window.addEventListener("resize", () => {
    window.clearTimeout(resized);
    resized = window.setTimeout(draw, 150);
  });
  show(first.start, first.end);
})();
