// Signals of an asset with what the record says of each: state, last days, interval, verdict.
"use strict";

(function () {
  const { el, svg } = LH;
  const F = LH.format;
  const L = LH.card.legend;

  const isUp = (direction) => direction === "up" || direction === "risk_down";
  const WORDS = { up: "price up", down: "price down", risk_up: "risk up", risk_down: "risk down" };

  // Days as a strip: a block in the upper half where the signal is on and expects a higher price or less risk, in the lower
  // half where it expects the opposite, a dot where it is off, hatched where it is unknown.
  function strip(states, direction, marks) {
    const n = states.length;
    const wide = 10;
    const box = svg("svg", { viewBox: `0 0 ${n * wide} 20`, height: 20, preserveAspectRatio: "none", "aria-hidden": "true" });
    const hatchId = "hatch-" + strip.count++;
    box.append(svg("defs", null, svg("pattern", { id: hatchId, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("rect", { width: 5, height: 5, fill: LH.T.ground }), svg("line", { x1: 0, x2: 0, y1: 0, y2: 5, stroke: LH.T.hatch, "stroke-width": 1.6 }))));
    let from = 0;
    for (let at = 0; at <= n; at++) {
      if (at < n && states[at] === states[from]) continue;
      const state = states[from];
      const x = from * wide;
      const w = (at - from) * wide;
      if (state === "on") {
        marks.on += at - from;
        box.append(svg("rect", { x: x + 1, width: w - 2, y: isUp(direction) ? 2 : 10, height: 8, fill: LH.T.accent }));
      } else if (state === "off") {
        marks.off += at - from;
        for (let day = from; day < at; day++) box.append(svg("rect", { x: day * wide + wide / 2 - 1.2, y: 9, width: 2.4, height: 2, fill: LH.T.hatch }));
      } else {
        marks.unknownDays += at - from;
        box.append(svg("rect", { x, width: w, y: 4, height: 12, fill: `url(#${hatchId})` }));
      }
      from = at;
    }
    return box;
  }
  strip.count = 0;

  function forest(row, reach) {
    const box = svg("svg", { viewBox: "0 0 180 20", height: 20, "aria-hidden": "true" });
    box.append(svg("line", { x1: 90, x2: 90, y1: 0, y2: 20, stroke: LH.T.line }));
    if (!row || !F.known(row.effect) || !F.known(row.ci_low)) return box;
    const x = (one) => 90 + 84 * Math.max(-1, Math.min(1, one / reach));
    const apart = row.ci_low > 0 || row.ci_high < 0;
    box.append(svg("line", { x1: x(row.ci_low), x2: x(row.ci_high), y1: 10, y2: 10, stroke: LH.T.ink2, "stroke-width": 1.5 }),
      svg("circle", { cx: x(row.effect), cy: 10, r: 4, fill: apart ? LH.T.ink : LH.T.surface, stroke: LH.T.ink, "stroke-width": 1.4 }));
    return box;
  }

  function evidence(signal) {
    return LH.market.scorecard.find((row) => row.signal === signal) || null;
  }

  function verdictText(signal) {
    const row = evidence(signal);
    return row ? `${F.words(row.verdict)} · ${row.n_events} events` : "not scored";
  }

  function draw(env) {
    const { A, i0, i1 } = env;
    const shown = Math.min(env.phone ? 30 : 60, i1 - i0 + 1);
    const first = i1 - shown + 1;
    const held = new Set(A.keys("signals"));
    const marks = env.chart.marks;
    Object.assign(marks, { on: 0, off: 0, unknownDays: 0, rows: 0, intervals: 0 });
    const scored = LH.market.scorecard;
    const reach = Math.max(1e-9, ...scored.flatMap((row) => [row.ci_low, row.ci_high]).filter(F.known).map(Math.abs));
    const cell = (name, ...children) => el("div", { class: name, role: "cell" }, children);
    const head = (name, text) => el("div", { class: "h " + name, role: "columnheader" }, text);
    const grid = el("div", { class: "signals" + (scored.length ? "" : " unscored"), role: "table", "aria-label": "Signals" },
      el("div", { role: "row", class: "row" }, head("name", "signal, and what is expected"), head("", "now"), head("days", `${A.days[first]} to ${A.days[i1]}`), head("forest", scored.length ? "effect, 95% interval" : ""), head("verdict", "in the record")));
    for (const signal of LH.market.signals) {
      if (!held.has(signal.signal)) continue;
      const states = A.column("signals", "state", signal.signal).slice(first, i1 + 1);
      const state = states[shown - 1] || "unknown";
      const reason = A.column("signals", "unknown_reason", signal.signal)[i1];
      const row = evidence(signal.signal);
      marks.rows++;
      if (row && F.known(row.ci_low)) marks.intervals++;
      const title = signal.condition_description + (reason ? " Unknown: " + reason + "." : "");
      grid.append(el("div", { role: "row", class: "row" },
        cell("name", el("span", { title }, signal.title, el("small", { class: "unknown" }, " · " + WORDS[signal.direction]))),
        cell("now", el("span", { class: "state " + state, title: reason || null }, state)),
        cell("days", strip(states, signal.direction, marks)),
        cell("forest", scored.length ? forest(row, reach) : el("span", { class: "unknown" }, "")),
        cell("verdict row-end", el("span", { class: "unknown" }, verdictText(signal.signal)))));
    }
    const unknownNow = LH.market.signals.filter((signal) => held.has(signal.signal) && (A.column("signals", "state", signal.signal)[i1] || "unknown") === "unknown");
    const reasons = new Map();
    for (const signal of unknownNow) {
      const reason = A.column("signals", "unknown_reason", signal.signal)[i1] || "no row";
      reasons.set(reason, (reasons.get(reason) || 0) + 1);
    }
    return {
      html: grid,
      legend: [L("fill", LH.T.accent, "on: upper half price up or risk down expected, lower half price down or risk up"), el("span", null, "· off"), L("hatch", null, "unknown, reason in the table")],
      foot: [
        unknownNow.length ? "Unknown on the last day: " + [...reasons].map(([reason, count]) => `${count} ${reason}`).join("; ") + "." : "Every signal is known on the last day.",
        scored.length ? "Effect: what followed the signal less other days, 95% interval; a hollow point covers 0 and cannot be told from it." : "Verdicts: not available, the published file has no marts.signal_scorecard_latest. A signal that is on says only that its condition holds.",
      ],
    };
  }

  LH.view("signals", { draw, free: true });
  LH.signals = { strip, verdictText, evidence, isUp, WORDS };
})();
