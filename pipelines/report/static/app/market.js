// The market page: all assets on their last day, funding of all by day, signals of all.
"use strict";

(function () {
  const { el, svg, data } = LH;
  const F = LH.format;
  const L = LH.card.legend;

  function spark(values) {
    const box = svg("svg", { width: 90, height: 20, viewBox: "0 0 90 20", "aria-hidden": "true" });
    const known = (values || []).filter(F.known);
    if (known.length < 2) return box;
    const [low, high] = LH.chart.extent([values]);
    let path = "";
    let open = false;
    values.forEach((one, at) => {
      if (!F.known(one)) { open = false; return; }
      path += (open ? "L" : "M") + (at * 88 / (values.length - 1) + 1).toFixed(1) + " " + (18 - 16 * (high > low ? (one - low) / (high - low) : 0.5)).toFixed(1);
      open = true;
    });
    box.append(svg("path", { d: path, fill: "none", stroke: LH.T.ink2, "stroke-width": 1.3 }));
    return box;
  }

  const link = (asset) => el("a", { href: "asset.html#" + new URLSearchParams({ a: asset }) }, asset);

  function feed(row) {
    if (!F.known(row.exchange_completeness) || row.exchange_completeness === "none") return F.unknown("no feed heard");
    const share = row.heard_oi_share;
    return el("span", null, F.words(row.exchange_completeness) + (F.known(share) ? " · " + F.percent(share, 0) + " of OI" : ""));
  }

  const tainted = (row, name) => (row.oi_change_plausible === "on" ? row[name] : null);

  const COLUMNS = [
    ["Asset", (row) => link(row.asset), "l"],
    ["Close", (row) => F.node(row.close_usd, "price")],
    ["1d", (row) => F.tinted(row.return_1d, F.change)],
    ["7d", (row) => F.tinted(row.return_7d, F.change)],
    ["60 days", (row) => spark(LH.market.spark[row.asset]), "minor"],
    ["Open interest", (row) => F.node(row.oi_usd, "usd")],
    ["Change 1d: positions", (row) => (F.known(tainted(row, "oi_usd_position_1d")) ? F.plus(row.oi_usd_position_1d, F.usd(row.oi_usd_position_1d)) : F.unknown(row.oi_change_plausible === "off" ? "tainted: more than was traded" : "not comparable")), "minor"],
    ["price", (row) => (F.known(tainted(row, "oi_usd_price_1d")) ? F.plus(row.oi_usd_price_1d, F.usd(row.oi_usd_price_1d)) : F.unknown()), "minor"],
    ["OI 7d", (row) => F.tinted(row.oi_growth_7d, F.change), "minor"],
    ["Funding over neutral", (row) => F.node(row.excess_apr, "apr")],
    ["Regime", (row) => (F.known(row.regime) && row.regime !== "unknown" ? F.words(row.regime) + (F.known(row.days_in_regime) ? " " + row.days_in_regime + "d" : "") : F.unknown("window not full"))],
    ["Liquidated longs", (row) => F.node(row.liquidated_long_usd, "usd", "no feed heard")],
    ["shorts", (row) => F.node(row.liquidated_short_usd, "usd", "no feed heard")],
    ["Feed", feed],
    ["Crowd long", (row) => (F.known(row.account_long_share) ? el("span", null, F.percent(row.account_long_share), ["long_crowded", "short_crowded"].includes(row.positioning_extreme) ? el("b", { title: F.words(row.positioning_extreme) }, row.positioning_extreme === "long_crowded" ? " ▲" : " ▼") : null) : F.unknown())],
    ["Put/call", (row) => F.node(row.put_call_oi_ratio, "number", "no chain"), "minor"],
    ["25Δ RR", (row) => F.node(row.risk_reversal_25d_30d, "share", "no whole smile"), "minor"],
    ["Signals on / off / unknown", (row) => el("span", { title: row.on_now ? "on: " + row.on_now.split(", ").map((signal) => signal + " (" + LH.signalVerdict(signal) + ")").join("; ") : null }, F.known(row.signals_on) ? `${row.signals_on} / ${row.signals_off} / ${row.signals_unknown}` : F.unknown())],
    ["Trust", (row) => (F.known(row.venues_present) ? el("span", null, `${row.venues_present} of ${row.venues_expected} venues`) : F.unknown()), "minor"],
  ];

  LH.signalVerdict = (signal) => {
    const row = LH.market.scorecard.find((one) => one.signal === signal);
    return row ? `${F.words(row.verdict)}, ${row.n_events} events` : "not scored";
  };

  function board(env) {
    const rows = LH.market.board;
    const late = rows.filter((row) => row.trade_date !== LH.market.last);
    env.chart.marks.rows = rows.length;
    const table = el("table", null,
      el("thead", null, el("tr", null, COLUMNS.map(([name, , kind]) => el("th", { scope: "col", class: kind || null }, name)))),
      el("tbody", null, rows.map((row) => el("tr", null, COLUMNS.map(([name, cell, kind]) => el("td", { class: kind === "l" ? "l" : kind || null, "data-label": name }, cell(row)))))));
    return {
      html: el("div", { class: "board scroll" }, table),
      foot: ["The change of open interest is split: units at the old price, and old units at the new price. Liquidations are those of the last day; “of OI” is the share of known open interest on venues whose feed was heard. Unknown is hatched and never counts as 0."
        + (late.length ? ` Not on the last day of the file: ${late.slice(0, 12).map((row) => row.asset + " " + row.trade_date).join(", ")}${late.length > 12 ? ` and ${late.length - 12} more` : ""}.` : "")],
      rows: () => {
        const names = rows.length ? Object.keys(rows[0]) : [];
        return { columns: names.map((name) => [name, typeof rows[0][name] === "string" || /asset|date|regime|plausible|complete|extreme|on_now/.test(name) ? "text" : "number"]), rows: rows.map((row) => names.map((name) => row[name])) };
      },
    };
  }

  const ROWS_DRAWN = 40;

  function fundingMap(env) {
    const { T } = env;
    const map = LH.market.funding;
    if (!map.assets.length) return { areas: [], absent: "No asset's funding is known.", rows: () => ({ columns: [], rows: [] }) };
    const days = Array.from({ length: map.n }, (_, at) => data.iso(data.number(map.start) + at));
    const from = Math.max(0, map.n - (Number(LH.state.days) || (env.phone ? 90 : 180)));
    const n = map.n - from;
    const held = map.assets.map((one) => ({ asset: one.asset, rate: data.unpack(one.excess_apr, map.n), regime: data.unpack(one.regime, map.n) }));
    // With many assets, those whose funding left neutral most are drawn; the table has all.
    const heat = (one) => one.rate.slice(from).reduce((sum, rate) => sum + Math.abs(rate || 0), 0);
    const drawn = held.length <= ROWS_DRAWN ? held : [...held].sort((a, b) => heat(b) - heat(a)).slice(0, ROWS_DRAWN).sort((a, b) => (a.asset < b.asset ? -1 : 1));
    const most = LH.funding.clipOf(drawn.flatMap((one) => one.rate.slice(from)));
    const area = LH.chart.areaOf(env, { left: env.phone ? 62 : 76, top: 2 });
    return {
      areas: [area], n, days: days.slice(from), known: days.slice(from).map((_, at) => held.some((one) => F.known(one.rate[from + at]))),
      option: LH.cells.mapAxes(area, drawn.map((one) => one.asset), days.slice(from)),
      paint: (pen, marks) => LH.cells.paintMap(pen, env, area, drawn.length, n,
        (row, at) => (F.known(drawn[row].rate[from + at]) ? LH.funding.funded(drawn[row].rate[from + at], most) : null),
        (row, at) => LH.funding.isExtreme(drawn[row].regime[from + at]), marks),
      legend: [LH.card.ramp(T.diverging, F.percent(-most, 0), F.plus(1, F.percent(most, 0)) + " APR"), L("box", T.ink, "a day in an extreme regime"), L("hatch", null, "unknown")],
      foot: [(held.length > drawn.length ? `${drawn.length} of ${held.length} assets are drawn, those whose funding left neutral most. ` : "") + "Color is clipped; the value is in the table."],
      tip: (at, spot) => {
        const day = { title: days[from + at], rows: [] };
        const row = spot ? Math.floor((spot.y - area.top) / area.height * drawn.length) : -1;
        for (const one of row >= 0 && row < drawn.length ? [drawn[row]] : drawn.slice(0, 12)) {
          const rate = one.rate[from + at];
          day.rows.push([one.asset, (F.known(rate) ? F.apr(rate) : "unknown") + (F.known(one.regime[from + at]) ? " · " + F.words(one.regime[from + at]) : "")]);
        }
        return day;
      },
      summary: `${drawn.length} assets, ${days[from]} to ${days[map.n - 1]}.`,
      rows: () => {
        const rows = [];
        for (let at = map.n - 1; at >= 0; at--) for (const one of held) if (F.known(one.rate[at]) || F.known(one.regime[at])) rows.push([days[at], one.asset, one.rate[at], one.regime[at]]);
        return { columns: [["trade_date", "day"], ["asset", "key"], ["excess_apr", "apr"], ["regime", "word"]], rows };
      },
    };
  }

  function signalMap(env) {
    const rows = LH.market.signalmap;
    const marks = Object.assign(env.chart.marks, { on: 0, off: 0, unknownDays: 0 });
    const assets = [...new Set(rows.map((row) => row.asset))].sort();
    const held = new Map(rows.map((row) => [row.signal + "\n" + row.asset, row]));
    const table = el("table", null,
      el("thead", null, el("tr", null, el("th", { scope: "col", class: "l" }, "Signal"), el("th", { scope: "col", class: "l" }, "expects"), assets.map((asset) => el("th", { scope: "col" }, asset)), el("th", { scope: "col", class: "l" }, "in the record"))),
      el("tbody", null, LH.market.signals.map((signal) => el("tr", null,
        el("th", { scope: "row", class: "l", title: signal.condition_description }, signal.title), el("td", { class: "l" }, LH.signals.WORDS[signal.direction]),
        assets.map((asset) => {
          const row = held.get(signal.signal + "\n" + asset);
          const state = row ? row.state : "unknown";
          const cell = LH.signals.strip([state], signal.direction, marks);
          cell.setAttribute("width", 26);
          return el("td", { title: `${asset}, ${signal.title}: ${state}${row && row.unknown_reason ? " (" + row.unknown_reason + ")" : ""}` }, cell, el("span", { class: "unseen" }, state));
        }),
        el("td", { class: "l" }, LH.signalVerdict(signal.signal))))));
    return {
      html: el("div", { class: "matrix scroll" }, table),
      legend: [L("fill", LH.T.accent, "on: upper half price up or risk down expected, lower half price down or risk up"), el("span", null, "· off"), L("hatch", null, "unknown, reason on the cell and in the table")],
      foot: [LH.market.scorecard.length ? null : "Verdicts: not available, the published file has no marts.signal_scorecard_latest."],
      rows: () => {
        const names = ["signal", "asset", "trade_date", "state", "value", "threshold", "strength", "unknown_reason"];
        return { columns: names.map((name) => [name, ["value", "threshold", "strength"].includes(name) ? "number" : "text"]), rows: rows.map((row) => names.map((name) => row[name])) };
      },
    };
  }

  LH.view("board", { draw: board, free: true });
  LH.view("fundingmap", { draw: fundingMap, height: (phone) => Math.min(ROWS_DRAWN, LH.market.funding.assets.length) * (LH.market.funding.assets.length > 12 ? 15 : phone ? 20 : 24) + 30 });
  LH.view("signalmap", { draw: signalMap, free: true });
})();
