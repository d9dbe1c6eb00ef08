// Option chains: open interest by strike, smiles, and the daily structure.
"use strict";

(function () {
  const { data } = LH;
  const F = LH.format;
  const C = LH.chart;
  const L = LH.card.legend;
  const NONE = "No option chain of this asset was captured.";

  const value = (number_, format) => (F.known(number_) ? format(number_) : "unknown");

  function chainRows(A) {
    if (!A.chain) return { columns: [], rows: [] };
    const chain = A.chain;
    const types = data.unpack(chain.type, chain.expiry.length);
    const columns = [["trade_date", "day"], ["expiry_date", "day"], ["strike_usd", "price"], ["option_type", "word"], ["oi_base", "coins"], ["mark_iv", "share"]];
    const oi = data.unpack(chain.oi_base, chain.expiry.length);
    const iv = data.unpack(chain.mark_iv, chain.expiry.length);
    return { columns, rows: chain.expiry.map((expiry, at) => [chain.day, expiry, chain.strike[at], types[at], oi[at], iv[at]]) };
  }

  function strikes(env) {
    const { A, T } = env;
    const rows = () => chainRows(A);
    if (!A.chain) return { areas: [], absent: NONE, rows };
    const chain = A.chain;
    const sums = new Map();
    for (const [, , strike, type, oi] of chainRows(A).rows) {
      if (!sums.has(strike)) sums.set(strike, { call: 0, put: 0 });
      sums.get(strike)[type] += oi || 0;
    }
    const all = [...sums.entries()].sort((a, b) => a[0] - b[0]);
    const total = all.reduce((sum, [, one]) => sum + one.call + one.put, 0);
    // Strikes far out with hardly any open interest would press the rest together: 99% of it is shown, the rest is named.
    let [from, to] = [0, all.length - 1];
    let left = total * 0.01;
    while (from < to) {
      const [low, high] = [all[from][1].call + all[from][1].put, all[to][1].call + all[to][1].put];
      if (Math.min(low, high) > left) break;
      left -= Math.min(low, high);
      if (low <= high) from++;
      else to--;
    }
    const shown = all.slice(from, to + 1);
    const steps = shown.slice(1).map(([strike], at) => strike - shown[at][0]);
    const step = steps.length ? Math.min(...steps) : shown[0][0] * 0.05;
    const reach = Math.max(1e-9, ...shown.map(([, one]) => Math.max(one.call, one.put)));
    const half = C.half(reach);
    const area = C.areaOf(env, { left: 52 });
    const low = shown[0][0] - step;
    const high = shown[shown.length - 1][0] + step;
    const x = (strike) => (area.left + area.width * (strike - low) / (high - low)) * env.ratio;
    const y = (amount) => (area.top + area.height * (half.max - amount) / (2 * half.max)) * env.ratio;
    const walls = { call: chain.call_wall_strike_usd, put: chain.put_wall_strike_usd };
    const pains = chain.max_pain.filter(([, , usd]) => F.known(usd));
    const largest = pains.reduce((best, one) => (!best || one[3] > best[3] ? one : best), null);
    const guides = [largest ? [largest[2], T.accent, [6, 3]] : null, F.known(chain.index_usd) ? [chain.index_usd, T.ink, [2, 2]] : null].filter(Boolean);
    function paint(pen, marks) {
      const wide = Math.max(1.5 * env.ratio, step * 0.8 / (high - low) * area.width * env.ratio);
      marks.bars = 0;
      for (const [strike, one] of shown) {
        for (const [type, sign, color] of [["call", 1, T.long], ["put", -1, T.short]]) {
          if (!(one[type] > 0)) continue;
          const [top, bottom] = [y(sign * one[type]), y(0)].sort((a, b) => a - b);
          pen.fillStyle = color;
          pen.fillRect(x(strike) - wide / 2, top, wide, Math.max(1, bottom - top));
          if (walls[type] === strike) {
            pen.strokeStyle = T.ink;
            pen.lineWidth = 1.8 * env.ratio;
            pen.strokeRect(x(strike) - wide / 2, top, wide, Math.max(1, bottom - top));
          }
          marks.bars++;
        }
      }
      for (const [price, color, dash] of guides) {
        if (price < low || price > high) continue;
        pen.strokeStyle = color;
        pen.lineWidth = 1.5 * env.ratio;
        pen.setLineDash(dash.map((one) => one * env.ratio));
        pen.beginPath();
        pen.moveTo(x(price), area.top * env.ratio);
        pen.lineTo(x(price), (area.top + area.height) * env.ratio);
        pen.stroke();
        pen.setLineDash([]);
      }
    }
    const xs = C.nice(low, high, env.phone ? 3 : 6);
    const values = [];
    for (let at = Math.ceil(low / xs.interval) * xs.interval; at <= high; at += xs.interval) values.push(at);
    return {
      areas: [area], paint, rows, daily: false, n: shown.length,
      option: {
        grid: [C.gridOf(area)],
        xAxis: [{ type: "value", min: low, max: high, axisLine: { show: false }, axisTick: { show: false }, splitLine: { show: false }, axisLabel: Object.assign(C.axisText(), { customValues: values, formatter: F.price, margin: 9 }) }],
        yAxis: [C.valueAxis({ min: -half.max, max: half.max, interval: half.interval }, (amount) => F.coins(Math.abs(amount)), { axisLine: { show: false } })], series: [],
      },
      source: [env.view.marts, `coins, all expiries, chain of ${chain.day}`],
      legend: [L("fill", T.long, "calls (up)"), L("fill", T.short, "puts (down)"), L("box", T.ink, "walls"), largest ? L("dash", T.accent, `max pain ${F.price(largest[2])} (${largest[1]})`) : null, L("dash", T.ink, "index " + value(chain.index_usd, F.price))],
      foot: [`Walls: call ${value(walls.call, F.price)}, put ${value(walls.put, F.price)}. Max pain is that of the expiry with the most open interest. Strikes stand at true distances` + (all.length > shown.length ? `; ${all.length - shown.length} far strikes with 1% of the open interest are in the table only.` : ".")],
      tip: (at, spot) => {
        if (!spot) return null;
        const price = low + (high - low) * (spot.x - area.left) / area.width;
        const [strike, one] = shown.reduce((best, next) => (Math.abs(next[0] - price) < Math.abs(best[0] - price) ? next : best));
        return { title: "strike " + F.price(strike), rows: [["calls", F.coins(one.call), T.long], ["puts", F.coins(one.put), T.short]] };
      },
      summary: `Chain of ${chain.day}, ${shown.length} strikes; call wall ${value(walls.call, F.price)}, put wall ${value(walls.put, F.price)}.`,
    };
  }

  function smile(env) {
    const { A, T } = env;
    const rows = () => chainRows(A);
    if (!A.chain) return { areas: [], absent: NONE, rows };
    const chain = A.chain;
    const by = new Map();
    for (const [, expiry, strike, type, , iv] of chainRows(A).rows) {
      // The out-of-the-money side: what trades, and what a smile is made of.
      if (!F.known(iv) || !F.known(chain.index_usd) || (type === "call") !== (strike >= chain.index_usd)) continue;
      const distance = strike / chain.index_usd - 1;
      if (Math.abs(distance) > 0.5) continue;
      if (!by.has(expiry)) by.set(expiry, []);
      by.get(expiry).push([distance, iv]);
    }
    const usable = [...by.entries()].filter(([, points]) => points.length > 2).sort((a, b) => (a[0] < b[0] ? -1 : 1));
    if (!usable.length) return { areas: [], absent: "No implied volatility of the last whole chain is known.", rows };
    const most = T.expiries.length;
    const picked = usable.length <= most ? usable : Array.from({ length: most }, (_, at) => usable[Math.round(at * (usable.length - 1) / (most - 1))]);
    const points = picked.flatMap(([, one]) => one);
    const scale = C.nice(...C.extent([points.map(([, iv]) => iv)]), 4);
    const [left, right] = C.extent([points.map(([distance]) => distance)]);
    const across = C.nice(left, right, env.phone ? 4 : 6);
    const area = C.areaOf(env, { left: 48, bottom: 38 });
    const colors = picked.map((_, at) => T.ramp[T.expiries[at]]);
    return {
      areas: [area], rows, daily: false,
      option: {
        grid: [C.gridOf(area)],
        xAxis: [C.valueAxis(across, (one) => F.plus(one, F.percent(one, 0)), { axisLine: { show: true, onZero: false, lineStyle: { color: T.line } }, splitLine: { show: false }, name: "strike over index, less 1", nameLocation: "middle", nameGap: 24, nameTextStyle: C.axisText() })],
        yAxis: [C.valueAxis(scale, (iv) => F.percent(iv, 0), { axisLine: { show: false, onZero: false } })],
        series: picked.map(([, one], at) => ({ type: "line", id: "smile " + at, data: one, symbol: "circle", symbolSize: 3, showAllSymbol: true, silent: true, animation: false, lineStyle: { color: colors[at], width: 1.6 }, itemStyle: { color: colors[at] } })),
      },
      source: [env.view.marts, `implied volatility a year of ${chain.iv_venue || "one venue"}, out-of-the-money side, chain of ${chain.day}`],
      legend: picked.map(([expiry], at) => L("line", colors[at], expiry)),
      foot: ["One venue; volatility is never averaged over venues." + (usable.length > picked.length ? ` ${picked.length} of ${usable.length} expiries are drawn, from the nearest to the farthest.` : "")],
      summary: `Chain of ${chain.day}, ${picked.length} expiries from ${picked[0][0]} to ${picked[picked.length - 1][0]}.`,
    };
  }

  // Lines of volatility and ratios share their form: named columns on one or two areas.
  function lines(env, series, format, absent) {
    const known = series.filter((one) => one.values.some(F.known));
    if (!known.length) return { areas: [], absent };
    const scale = C.nice(...C.extent(known.map((one) => one.values)), 4);
    const area = C.areaOf(env, { left: 48 });
    area.unknown = env.days.map((_, at) => known.every((one) => !F.known(one.values[at])));
    return {
      areas: [area],
      option: {
        grid: [C.gridOf(area)], xAxis: [C.dayAxis(env.days, area.width)], yAxis: [C.valueAxis(scale, format)],
        series: known.map((one, at) => C.line("line " + at, one.values, one.color, one.dashed ? { lineStyle: { color: one.color, width: 1.6, type: "dashed" } } : {})),
      },
      legend: [...known.map((one) => L(one.dashed ? "dash" : "line", one.color, one.name)), L("hatch", null, "unknown")],
      tip: (at) => ({ title: env.days[at], rows: series.map((one) => [one.name, value(one.values[at], one.format || format), one.color]) }),
      summary: known.map((one) => one.name + " last " + value(one.values[env.n - 1], one.format || format)).join(", ") + ".",
    };
  }

  function volatility(env) {
    const { A, i0, i1, T } = env;
    const cut = (values) => values.slice(i0, i1 + 1);
    const percent = (iv) => F.percent(iv, 0);
    const result = lines(env, [
      ...A.keys("ivindex").map((key, at) => ({ name: key, color: T.venues[[3, 6][at % 2]], values: cut(A.column("ivindex", "iv_close", key)), format: F.percent })),
      { name: "implied at the money, 30 days", color: T.position, values: cut(A.column("options", "iv_atm_30d")), dashed: true, format: F.percent },
      { name: "realized, 30 days before", color: T.ink, values: cut(A.column("price", "realized_vol_30d_annualized")), format: F.percent },
    ], percent, "No volatility of this asset is known on these days.");
    result.foot = ["Implied looks ahead, realized looks back: the last 30 daily returns, by the square root of 365."];
    return result;
  }

  function ratios(env) {
    const { A, i0, i1, n, T } = env;
    const cut = (name) => A.column("options", name).slice(i0, i1 + 1);
    const columns = [["put_call_oi_ratio", "put/call by open interest", T.position], ["put_call_volume_ratio", "put/call by volume", T.price]].map(([name, label, color]) => ({ label, color, values: cut(name) }));
    const reversal = cut("risk_reversal_25d_30d");
    if (!columns.some((one) => one.values.some(F.known)) && !reversal.some(F.known)) return { areas: [], absent: NONE };
    const gap = 12;
    const tall = (env.h - 24 - gap - 8) / 2;
    const top = C.areaOf(env, { left: 48, bottom: env.h - 8 - tall });
    const below = C.areaOf(env, { left: 48, top: 8 + tall + gap });
    top.unknown = env.days.map((_, at) => columns.every((one) => !F.known(one.values[at])));
    below.unknown = reversal.map((one) => !F.known(one));
    const scaleTop = C.nice(...C.extent(columns.map((one) => one.values)), 3);
    const [low, high] = C.extent([reversal]);
    const scaleBelow = C.nice(Math.min(0, Number.isFinite(low) ? low : 0), Math.max(0, Number.isFinite(high) ? high : 0.01), 3);
    return {
      areas: [top, below],
      option: {
        grid: [top, below].map(C.gridOf),
        xAxis: [C.dayAxis(env.days, top.width, { gridIndex: 0, axisLabel: { show: false } }), C.dayAxis(env.days, below.width, { gridIndex: 1 })],
        yAxis: [C.valueAxis(scaleTop, (one) => one.toFixed(2), { gridIndex: 0 }), C.valueAxis(scaleBelow, (one) => F.percent(one, 0), { gridIndex: 1 })],
        series: [...columns.map((one, at) => C.line("ratio " + at, one.values, one.color, at ? { z: 1, lineStyle: { color: one.color, width: 3, opacity: 0.7 } } : {})), C.line("reversal", reversal, T.ink, { xAxisIndex: 1, yAxisIndex: 1 })],
      },
      legend: [...columns.map((one) => L("line", one.color, one.label)), L("line", T.ink, "25-delta risk reversal, 30 days (below)"), L("hatch", null, "unknown")],
      foot: ["Below zero puts cost more than calls: protection is dear."],
      tip: (at) => ({ title: env.days[at], rows: [...columns.map((one) => [one.label, value(one.values[at], (ratio_) => ratio_.toFixed(2)), one.color]), ["risk reversal", value(reversal[at], F.percent), T.ink]] }),
      summary: columns.map((one) => one.label + " last " + value(one.values[n - 1], (ratio_) => ratio_.toFixed(2))).join(", ") + ", risk reversal " + value(reversal[n - 1], F.percent) + ".",
    };
  }

  LH.view("strikes", { draw: strikes });
  LH.view("smile", { draw: smile });
  LH.view("vol", { draw: volatility });
  LH.view("ratios", { draw: ratios });
})();
