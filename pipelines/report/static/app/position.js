// Open interest by venue, its change split, and funding by venue with the regime.
"use strict";

(function () {
  const { state } = LH;
  const F = LH.format;
  const C = LH.chart;
  const L = LH.card.legend;

  const value = (number_, format) => (F.known(number_) ? format(number_) : "unknown");

  // Days on which a venue that was expected did not report, or whose change was larger than what was traded.
  function broken(env) {
    const { A, i0, i1 } = env;
    const present = A.column("trends", "venues_present").slice(i0, i1 + 1);
    const expected = A.column("trends", "venues_expected").slice(i0, i1 + 1);
    const plausible = A.column("trends", "oi_change_plausible").slice(i0, i1 + 1);
    return {
      missing: present.map((count, at) => !F.known(count) || (F.known(expected[at]) && count < expected[at])),
      tainted: plausible.map((word) => word === "off"),
    };
  }

  function openInterest(env) {
    const { A, i0, i1, T } = env;
    const coins = state.oi === "base";
    const column = coins ? "oi_base" : "oi_usd";
    const cut = (values) => values.slice(i0, i1 + 1);
    const venues = A.keys("oi").filter((venue) => cut(A.column("oi", column, venue)).some(F.known));
    if (!venues.length) return { areas: [], absent: "No venue's open interest of this asset is known on these days." };
    const { missing, tainted } = broken(env);
    const columns = venues.map((venue) => cut(A.column("oi", column, venue)));
    const hidden = missing.map((flag, at) => flag || tainted[at] || columns.every((one) => !F.known(one[at])));
    const shown = columns.map((one) => one.map((number_, at) => (hidden[at] ? null : number_)));
    const total = env.days.map((_, at) => shown.reduce((sum, one) => sum + (one[at] || 0), 0));
    const close = cut(A.column("price", "close_usd"));
    const scale = C.nice(0, Math.max(...total) || 1, 4);
    const price = C.nice(...C.extent([close]), 4);
    const area = C.areaOf(env, { right: 58 });
    area.unknown = hidden;
    const format = coins ? F.coins : F.usd;
    return {
      areas: [area],
      option: {
        grid: [C.gridOf(area)], xAxis: [C.dayAxis(env.days, area.width)],
        yAxis: [C.valueAxis(scale, format), C.valueAxis(price, F.price, { position: "right", splitLine: { show: false } })],
        series: [
          ...venues.map((venue, at) => C.line("oi " + at, shown[at], LH.theme.venueColor(venue), { stack: "oi", areaStyle: { color: LH.theme.venueColor(venue), opacity: 0.55 }, lineStyle: { color: LH.theme.venueColor(venue), width: 1 } })),
          C.line("close", close, T.ink, { yAxisIndex: 1, z: 5, lineStyle: { color: T.ink, width: 1.5 } }),
        ],
      },
      legend: [...venues.map((venue) => L("fill", LH.theme.venueColor(venue), venue)), L("line", T.ink, "close (right axis)"), L("hatch", null, "a venue is missing or the day is tainted")],
      foot: [`Venues that reported: ${F.list(venues)}. A day without all expected venues is hatched, never stacked lower.` + (tainted.some(Boolean) ? ` ${tainted.filter(Boolean).length} tainted days: a change larger than what was traded.` : "")],
      tip: (at) => ({ title: env.days[at], rows: [
        ...venues.map((venue, v) => [venue, value(columns[v][at], format) + (hidden[at] && F.known(columns[v][at]) ? " (hatched)" : ""), LH.theme.venueColor(venue)]),
        ["close", value(close[at], F.price), T.ink], ...(hidden[at] ? [["", tainted[at] ? "tainted: more than was traded" : "a venue is missing"]] : []),
      ] }),
      strip: hidden.map((flag, at) => (flag ? (tainted[at] ? "partial" : "unknown") : "complete")),
      summary: `${env.days[0]} to ${env.days[env.n - 1]}; last ${value(hidden[env.n - 1] ? null : total[env.n - 1], format)} on ${venues.length} venues; ${hidden.filter(Boolean).length} days unknown or tainted.`,
    };
  }

  function split(env) {
    const { A, i0, i1, T } = env;
    if (!A.has("trends")) return { areas: [], absent: "No open interest of this asset is known on these days." };
    const cut = (name) => A.column("trends", name).slice(i0, i1 + 1);
    const plausible = cut("oi_change_plausible");
    const parts = ["oi_usd_position_1d", "oi_usd_price_1d", "oi_usd_cross_1d"].map(cut);
    const hidden = plausible.map((word, at) => word !== "on" || parts.some((one) => !F.known(one[at])));
    const shown = parts.map((one) => one.map((number_, at) => (hidden[at] ? null : number_)));
    let reach = 0;
    env.days.forEach((_, at) => {
      const known = shown.map((one) => one[at] || 0);
      reach = Math.max(reach, known.reduce((sum, one) => sum + Math.max(one, 0), 0), -known.reduce((sum, one) => sum + Math.min(one, 0), 0));
    });
    const half = C.half(reach || 1);
    const area = C.areaOf(env);
    area.unknown = hidden;
    const names = ["positions (units at the old price)", "price (old units at the new price)", "both together"];
    const colors = [T.position, T.price, T.both];
    const off = plausible.filter((word) => word === "off").length;
    const incomparable = hidden.filter(Boolean).length - off;
    return {
      areas: [area],
      option: {
        grid: [C.gridOf(area)], xAxis: [C.dayAxis(env.days, area.width)],
        yAxis: [C.valueAxis({ min: -half.max, max: half.max, interval: half.interval }, F.usd)],
        series: shown.map((one, at) => C.bars("part " + at, one, colors[at], { stack: "split" })),
      },
      legend: [...names.map((name, at) => L("fill", colors[at], name)), L("hatch", null, "tainted or not comparable")],
      foot: [`The three parts add up to the change. ${off} days tainted (a change larger than what was traded), ${incomparable} not comparable (no venue reported on both days, or nothing traded is known).`],
      tip: (at) => ({ title: env.days[at], rows: [...names.map((name, p) => [name.split(" (")[0], value(parts[p][at], F.usd), colors[p]]), ["change", value(cut("oi_usd_change_1d")[at], F.usd)], ...(hidden[at] ? [["", plausible[at] === "off" ? "tainted" : "not comparable"]] : [])] }),
      strip: hidden.map((flag, at) => (plausible[at] === "off" ? "partial" : flag ? "unknown" : "complete")),
      summary: `${env.days[0]} to ${env.days[env.n - 1]}; last day positions ${value(shown[0][env.n - 1], F.usd)}, price ${value(shown[1][env.n - 1], F.usd)}; ${hidden.filter(Boolean).length} days hatched.`,
    };
  }

  // Largest color of a funding map: the 98th percentile of the absolute values, five percent a year at least.
  function clipOf(values) {
    const sizes = values.filter(F.known).map(Math.abs).sort((a, b) => a - b);
    const at = sizes.length ? sizes[Math.floor((sizes.length - 1) * 0.98)] : 0;
    const digits = Math.pow(10, Math.floor(Math.log10(Math.max(at, 0.05))) - 1);
    return Math.max(0.05, Math.ceil(at / digits) * digits);
  }

  const funded = (rate, most) => LH.theme.css(LH.theme.along(LH.T.diverging, 0.5 + Math.max(-1, Math.min(1, rate / most)) / 2));
  const isExtreme = (word) => F.known(word) && word.startsWith("extreme");

  function regimeColor(word) {
    const at = { extreme_negative: 0, depressed: 1 / 6, negative: 2 / 6, neutral: 0.5, mild_positive: 4 / 6, elevated: 5 / 6, extreme_positive: 1 }[word];
    return at === undefined ? LH.T.both : at === 0.5 ? LH.T.both : LH.theme.css(LH.theme.along(LH.T.diverging, at));
  }

  function funding(env) {
    const { A, i0, i1, n, T } = env;
    const cut = (values) => values.slice(i0, i1 + 1);
    const venues = A.keys("fundingv").filter((venue) => cut(A.column("fundingv", "excess_apr", venue)).some(F.known));
    if (!venues.length) return { areas: [], absent: "No venue's funding of this asset is known on these days." };
    const rates = venues.map((venue) => cut(A.column("fundingv", "excess_apr", venue)));
    const regime = cut(A.column("funding", "regime"));
    const composed = cut(A.column("funding", "excess_apr"));
    const most = clipOf(rates.flat());
    const area = C.areaOf(env, { left: 88, top: 2 });
    const isUnknown = (word) => !F.known(word) || word === "unknown";
    const found = [...new Set(regime.filter((word) => !isUnknown(word)))].sort();
    const lastKnown = composed.reduce((last, rate, at) => (F.known(rate) ? at : last), -1);
    return {
      areas: [area],
      known: env.days.map((_, at) => rates.some((one) => F.known(one[at]))),
      option: LH.cells.mapAxes(area, ["regime", ...venues], env.days),
      paint: (pen, marks) => LH.cells.paintMap(pen, env, area, venues.length + 1, n,
        (row, at) => (row === 0 ? (isUnknown(regime[at]) ? null : regimeColor(regime[at])) : F.known(rates[row - 1][at]) ? funded(rates[row - 1][at], most) : null),
        (row, at) => row === 0 && isExtreme(regime[at]), marks),
      legend: [LH.card.ramp(T.diverging, F.percent(-most, 0), F.plus(1, F.percent(most, 0)) + " APR"), ...found.map((word) => L("fill", regimeColor(word), F.words(word))), L("hatch", null, "unknown")],
      foot: ["Neutral is each venue's interest term, not zero. The regime is the one in force at the day's end and is unknown while its window of 90 days is not full. Color is clipped; the value is in the table."],
      tip: (at) => ({ title: env.days[at], rows: [["regime", isUnknown(regime[at]) ? "unknown" : F.words(regime[at])], ["composed", value(composed[at], F.apr)], ...venues.map((venue, v) => [venue, value(rates[v][at], F.apr)])] }),
      summary: `${env.days[0]} to ${env.days[n - 1]}; last composed ${lastKnown >= 0 ? F.apr(composed[lastKnown]) : "unknown"}, regime ${isUnknown(regime[n - 1]) ? "unknown" : F.words(regime[n - 1])}; ${venues.length} venues.`,
    };
  }

  LH.view("oi", { draw: openInterest });
  LH.view("split", { draw: split });
  LH.view("funding", { draw: funding });
  LH.funding = { clipOf, funded, isExtreme };
})();
