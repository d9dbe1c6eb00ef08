// Data trust: which source covers which day, gaps with their reasons, loads, quarantine, restatements.
"use strict";

(function () {
  const { el, data } = LH;
  const F = LH.format;
  const L = LH.card.legend;

  // "bybit.candles · candles · bybit" says everything twice; the table keeps the whole name.
  function short(series) {
    const [source, table, venue] = series.split(" · ");
    if (!venue) return series;
    return [source, source.split(".").pop() === table ? null : table, source.startsWith(venue) ? null : venue].filter(Boolean).join(" · ");
  }

  function coverage(env) {
    const { T } = env;
    const held = LH.trust.coverage;
    if (!held) return { areas: [], absent: "No source was expected on any day.", rows: () => ({ columns: [], rows: [] }) };
    const days = Array.from({ length: held.n }, (_, at) => data.iso(data.number(held.start) + at));
    const fits = Math.floor((env.w - 120) * env.ratio / 2);
    const wanted = Number(LH.state.days) || (env.phone ? 90 : 180);
    const from = Math.max(0, held.n - Math.min(wanted, fits));
    const n = held.n - from;
    const rows = held.k.map((series, at) => ({ series, status: data.unpack(held.v[at].status, held.n), reason: data.unpack(held.v[at].primary_reason, held.n) }));
    const color = { complete: T.complete, empty: T.empty };
    const area = LH.chart.areaOf(env, { left: env.phone ? 168 : 270, top: 2 });
    const problems = rows.reduce((sum, row) => sum + row.status.slice(from).filter((word) => F.known(word) && word !== "complete" && word !== "empty").length, 0);
    return {
      areas: [area], n, days: days.slice(from), known: days.slice(from).map((_, at) => rows.some((row) => ["complete", "partial", "empty"].includes(row.status[from + at]))),
      option: LH.cells.mapAxes(area, rows.map((row) => short(row.series)), days.slice(from), env.phone ? 9 : 10),
      paint: (pen, marks) => LH.cells.paintMap(pen, env, area, rows.length, n, (row, at) => {
        const word = rows[row].status[from + at];
        if (!F.known(word)) return null;
        return color[word] || (word === "missing" ? { color: T.missing, part: "cross" } : { color: T.partial, part: "lower" });
      }, null, marks),
      legend: [L("fill", T.complete, "complete"), L("fill", T.partial, "partial (lower half)"), L("fill", T.missing, "missing (cross)"), L("fill", T.empty, "covered, no events"), L("hatch", null, "outside what the source covers")],
      foot: [problems ? `${problems} days of sources are not complete in this window; why stands below and in the table.` : "Every day that was expected is complete in this window."],
      tip: (at, spot) => {
        const row = spot ? rows[Math.floor((spot.y - area.top) / area.height * rows.length)] : null;
        if (!row) return null;
        return { title: days[from + at], rows: [[row.series, row.status[from + at] || "not expected"], ...(row.reason[from + at] ? [["reason", row.reason[from + at]]] : [])] };
      },
      summary: `${rows.length} sources and tables, ${days[from]} to ${days[held.n - 1]}, ${problems} days not complete.`,
      rows: () => {
        const out = [];
        for (let at = held.n - 1; at >= 0; at--) for (const row of rows) if (F.known(row.status[at])) out.push([days[at], row.series, row.status[at], row.reason[at]]);
        return { columns: [["trade_date", "day"], ["series", "key"], ["status", "word"], ["primary_reason", "text"]], rows: out };
      },
    };
  }

  const SHOWN = 12;

  // Tables of the page: the first rows at once, all of them in the table twin.
  function listing(id, none) {
    return {
      free: true,
      draw: (env) => {
        const rows = LH.trust[id] || [];
        env.chart.marks.rows = rows.length;
        const names = rows.length ? Object.keys(rows[0]) : [];
        const textual = (name) => rows.some((row) => typeof row[name] === "string");
        const columns = names.map((name) => [name, textual(name) ? "text" : "count"]);
        const show = (value) => (!F.known(value) ? el("span", { class: "unknown" }, "–") : typeof value === "number" ? value.toLocaleString("en-US") : String(value).replace("T", " ").replace(/\.\d+$/, ""));
        const html = rows.length ? el("div", { class: "scroll" }, el("table", null,
          el("thead", null, el("tr", null, columns.map(([name, kind]) => el("th", { scope: "col", class: kind === "text" ? "l" : null }, F.words(name))))),
          el("tbody", null, rows.slice(0, SHOWN).map((row) => el("tr", null, columns.map(([name, kind]) => el("td", { class: kind === "text" ? "l" : null }, show(row[name])))))))) : el("p", { class: "source" }, none);
        return { html, foot: [rows.length > SHOWN ? `The first ${SHOWN} of ${rows.length}; “Table” shows all.` : null], rows: () => ({ columns, rows: rows.map((row) => names.map((name) => row[name])) }) };
      },
    };
  }

  LH.view("coverage", { draw: coverage, height: () => (LH.trust.coverage ? LH.trust.coverage.k.length * 17 + 30 : 60) });
  LH.view("gaps", listing("gaps", "No day is missing or partial."));
  LH.view("freshness", listing("freshness", "No source is loaded."));
  LH.view("loads", listing("loads", "Nothing was loaded."));
  LH.view("quarantine", listing("quarantine", "No row was rejected."));
  LH.view("restated", listing("restated", "No landing changed what an earlier one said."));
})();
