// Liquidations by side with their range, the three kinds side by side, and the crowd.
"use strict";

(function () {
  const F = LH.format;
  const C = LH.chart;
  const L = LH.card.legend;

  const value = (number_, format) => (F.known(number_) ? format(number_) : "unknown");
  const heard = (word) => F.known(word) && word !== "none";

  function liquidations(env) {
    const { A, i0, i1, n, T } = env;
    const cut = (dataset, name) => A.column(dataset, name).slice(i0, i1 + 1);
    const long = cut("liq", "exchange_long_usd");
    const short = cut("liq", "exchange_short_usd");
    const complete = cut("liq", "exchange_completeness");
    const longUpper = cut("ends", "long_upper_usd");
    const shortUpper = cut("ends", "short_upper_usd");
    const close = cut("price", "close_usd");
    const share = cut("heard", "heard_oi_share");
    const hidden = long.map((one, at) => !F.known(one) && !F.known(short[at]));
    const reach = Math.max(1, ...[long, short, longUpper, shortUpper].map((column) => Math.max(0, C.extent([column])[1])).filter(Number.isFinite));
    const half = C.half(reach);
    const price = C.nice(...C.extent([close]), 4);
    const area = C.areaOf(env, { right: 58, bottom: 32 });
    area.unknown = hidden;
    const y = (amount) => (area.top + area.height * (half.max - amount) / (2 * half.max)) * env.ratio;
    // A bar is what feeds reported. Its upper end, where it is higher, is a whisker; where nobody knows it, an open arrow.
    function paint(pen, marks) {
      marks.whiskers = 0;
      marks.arrows = 0;
      for (const [values, uppers, sign] of [[short, shortUpper, 1], [long, longUpper, -1]]) {
        values.forEach((amount, at) => {
          if (!(amount > 0)) return;
          const [x0, x1] = LH.cells.columnOf(env, area, at, n);
          const x = Math.round((x0 + x1) / 2) + 0.5;
          const cap = Math.max(1.5 * env.ratio, Math.min(3 * env.ratio, (x1 - x0) / 3));
          pen.strokeStyle = T.ink;
          pen.fillStyle = T.ink;
          pen.lineWidth = Math.max(1, env.ratio);
          pen.beginPath();
          if (F.known(uppers[at])) {
            if (!(uppers[at] > amount * 1.001)) return;
            pen.moveTo(x, y(sign * amount));
            pen.lineTo(x, y(sign * uppers[at]));
            pen.moveTo(x - cap, y(sign * uppers[at]));
            pen.lineTo(x + cap, y(sign * uppers[at]));
            pen.stroke();
            marks.whiskers++;
          } else if (complete[at] !== "full") {
            const from = y(sign * amount);
            // Where columns are narrow a short faint stem stands for the arrow: hundreds of heads would hide the bars.
            const narrow = (x1 - x0) < 5 * env.ratio;
            const tip = from - sign * (narrow ? 5 : 12) * env.ratio;
            marks.arrows++;
            if (narrow) {
              pen.strokeStyle = T.both;
              pen.moveTo(x, from);
              pen.lineTo(x, tip);
              pen.stroke();
              return;
            }
            pen.setLineDash([2 * env.ratio, 2 * env.ratio]);
            pen.moveTo(x, from);
            pen.lineTo(x, tip);
            pen.stroke();
            pen.setLineDash([]);
            pen.beginPath();
            pen.moveTo(x, tip - sign * 4 * env.ratio);
            pen.lineTo(x - cap, tip);
            pen.lineTo(x + cap, tip);
            pen.closePath();
            pen.fill();
          }
        });
      }
    }
    const ranged = [[short, shortUpper], [long, longUpper]];
    const whiskers = ranged.some(([values, uppers]) => values.some((amount, at) => F.known(uppers[at]) && uppers[at] > amount * 1.001));
    const open = ranged.some(([values, uppers]) => values.some((amount, at) => amount > 0 && !F.known(uppers[at]) && complete[at] !== "full"));
    const total = (column) => column.reduce((sum, one) => sum + (one || 0), 0);
    return {
      areas: [area], paint,
      option: {
        grid: [C.gridOf(area)], xAxis: [C.dayAxis(env.days, area.width, {}, 13)],
        yAxis: [C.valueAxis({ min: -half.max, max: half.max, interval: half.interval }, (amount) => F.usd(Math.abs(amount))), C.valueAxis(price, F.price, { position: "right", splitLine: { show: false } })],
        series: [
          C.bars("shorts", short, T.short, { stack: "side" }),
          C.bars("longs", long.map((one) => (F.known(one) ? -one : null)), T.long, { stack: "side" }),
          C.line("close", close, T.both, { yAxisIndex: 1, lineStyle: { color: T.both, width: 1 }, z: 1 }),
        ],
      },
      legend: [L("fill", T.short, "shorts: forced buying (up)"), L("fill", T.long, "longs: forced selling (down)"), L("line", T.both, "close (right axis)"), whiskers ? L("whisker", T.ink, "upper end of the range") : null, open ? L("arrow", T.ink, "upper end unknown") : null, L("hatch", null, "unknown: no feed")],
      foot: ["Bars are what feeds reported: a lower bound unless every feed is full. " + LH.heat.feeds(env) + " Under the axis: quiet where all of the known open interest is on heard venues, amber where less, hatched where nothing was heard."],
      tip: (at) => ({ title: env.days[at], rows: [
        ["shorts", value(short[at], F.usd) + (F.known(shortUpper[at]) && shortUpper[at] > short[at] * 1.001 ? " to " + F.usd(shortUpper[at]) : ""), T.short],
        ["longs", value(long[at], F.usd) + (F.known(longUpper[at]) && longUpper[at] > long[at] * 1.001 ? " to " + F.usd(longUpper[at]) : ""), T.long],
        ["feeds", F.known(complete[at]) ? F.words(complete[at]) : "unknown"], ["open interest heard", value(share[at], F.percent)], ["close", value(close[at], F.price), T.both],
      ] }),
      strip: hidden.map((flag, at) => (flag ? "unknown" : F.known(share[at]) && share[at] >= 0.995 && complete[at] === "full" ? "complete" : "partial")),
      summary: `${env.days[0]} to ${env.days[n - 1]}; longs ${F.usd(total(long))}, shorts ${F.usd(total(short))} reported; ${hidden.filter(Boolean).length} days unknown.`,
    };
  }

  const KINDS = [
    ["exchange_usd", "Exchanges: position notional", "long", "exchange_completeness"],
    ["perp_dex_usd", "Perp DEXs: position notional", "position", "perp_dex_completeness"],
    ["lending_usd", "Lending: collateral seized", "lending", "lending_completeness"],
  ];

  function kinds(env) {
    const { A, i0, i1, n, T } = env;
    const cut = (name) => A.column("liq", name).slice(i0, i1 + 1);
    const columns = KINDS.map(([name]) => cut(name));
    const divergences = [["exchange_lending_zscore_divergence", "lending"], ["exchange_perp_dex_zscore_divergence", "position"]];
    const zs = divergences.map(([name]) => cut(name));
    const zHeight = 62;
    const topHeight = env.h - zHeight - 26 - 10;
    const areas = KINDS.map((_, at) => {
      const slot = env.phone ? { x: 0, w: env.w, y: at * topHeight / 3, h: topHeight / 3 } : { x: at * env.w / 3, w: env.w / 3, y: 0, h: topHeight };
      const left = C.snap(slot.x + 58);
      const top = C.snap(slot.y + 16);
      return { left, top, width: C.snap(slot.x + slot.w - (env.phone ? 14 : 8)) - left, height: C.snap(slot.y + slot.h - 8) - top, n, unknown: columns[at].map((one) => !F.known(one)) };
    });
    const zLeft = C.snap(58);
    const zArea = { left: zLeft, top: C.snap(env.h - zHeight - 24), width: C.snap(env.w - 14) - zLeft, height: C.snap(zHeight), n, unknown: zs[0].map((_, at) => zs.every((one) => !F.known(one[at]))) };
    const [zLow, zHigh] = C.extent(zs);
    const border = LH.market.thresholds.onchain_lead_zscore;
    const zScale = C.nice(Math.min(Number.isFinite(zLow) ? zLow : 0, -(border || 1) * 1.2), Math.max(Number.isFinite(zHigh) ? zHigh : 0, (border || 1) * 1.2), 2);
    const all = [...areas, zArea];
    const scales = columns.map((one) => C.half(Math.max(1, C.extent([one])[1])));
    function paint(pen) {
      pen.font = 11 * env.ratio + "px " + getComputedStyle(document.body).fontFamily;
      pen.fillStyle = T.ink2;
      pen.textBaseline = "alphabetic";
      areas.forEach((area, at) => {
        const empty = columns[at].every((one) => !F.known(one));
        pen.fillText(KINDS[at][1].split(":")[0] + (empty ? " · no source" : ""), area.left * env.ratio, (area.top - 5) * env.ratio);
      });
    }
    const names = { exchange_lending_zscore_divergence: "exchanges minus lending (z)", exchange_perp_dex_zscore_divergence: "exchanges minus perp DEXs (z)" };
    const none = KINDS.filter((_, at) => columns[at].every((one) => !F.known(one))).map(([, name]) => name.split(":")[0].toLowerCase().replace("dexs", "DEXs"));
    return {
      areas: all, paint, n, known: env.days.map((_, at) => columns.some((one) => F.known(one[at]))),
      option: {
        grid: all.map(C.gridOf),
        xAxis: all.map((area, at) => C.dayAxis(env.days, area.width, Object.assign({ gridIndex: at }, at < 3 ? { axisLabel: { show: false } } : {}))),
        yAxis: [
          ...scales.map((scale, at) => C.valueAxis(scale, F.usd, { gridIndex: at, axisLabel: Object.assign(C.axisText(), { formatter: F.usd, margin: 4, show: columns[at].some(F.known) }) })),
          C.valueAxis(zScale, (one) => F.KINDS.number(one).replace(/\.00$/, ""), { gridIndex: 3 }),
        ],
        series: [
          ...columns.map((one, at) => C.bars(KINDS[at][0], one, T[KINDS[at][2]], { xAxisIndex: at, yAxisIndex: at })),
          ...zs.map((one, at) => C.line("z " + at, one, T[divergences[at][1]], Object.assign({ xAxisIndex: 3, yAxisIndex: 3 }, at === 0 && F.known(border) ? { markLine: { silent: true, symbol: "none", animation: false, label: { show: false }, lineStyle: { color: T.ink2, type: "dashed", width: 1 }, data: [{ yAxis: -border }] } } : {}))),
        ],
      },
      legend: [...KINDS.map(([, name, color]) => L("fill", T[color], name)), ...divergences.filter((_, at) => zs[at].some(F.known)).map(([name, color]) => L("line", T[color], names[name])), L("hatch", null, "unknown")],
      foot: [(none.length ? `No source covers ${F.list(none)} here: hatched, not zero. ` : "") + "Three measures on scales of their own. Below the dashed line on-chain liquidations lead those of exchanges by the signal's threshold."],
      tip: (at) => ({ title: env.days[at], rows: [...KINDS.map(([, name, color], k) => [name.split(":")[0], value(columns[k][at], F.usd), T[color]]), ...divergences.map(([name], z) => [names[name], value(zs[z][at], F.KINDS.number)])] }),
      summary: KINDS.map(([, name], k) => name + ": " + columns[k].filter((one) => !F.known(one)).length + " of " + n + " days unknown").join("; ") + ".",
    };
  }

  const SHAPES = { long_crowded: "up", short_crowded: "down" };

  function crowd(env) {
    const { A, i0, i1, n, T } = env;
    const cut = (values) => values.slice(i0, i1 + 1);
    const keys = A.keys("crowd").filter((key) => cut(A.column("crowd", "long_share", key)).some(F.known));
    if (!keys.length) return { areas: [], absent: "No venue's long/short ratio of this asset is known on these days." };
    const columns = keys.map((key) => cut(A.column("crowd", "long_share", key)));
    const extreme = cut(A.column("extremes", "positioning_extreme"));
    const judged = cut(A.column("extremes", "account_long_share"));
    const percentile = cut(A.column("extremes", "account_long_share_percentile_90d"));
    const [low, high] = C.extent(columns);
    const scale = C.nice(Math.min(low, 0.48), Math.max(high, 0.52), 4);
    const area = C.areaOf(env, { left: 48 });
    area.unknown = env.days.map((_, at) => columns.every((one) => !F.known(one[at])));
    const colors = keys.map((_, at) => T.venues[at % T.venues.length]);
    const named = keys.map((key) => F.words(key));
    const found = [...new Set(extreme.filter((word) => word in SHAPES))].sort();
    return {
      areas: [area],
      option: {
        grid: [C.gridOf(area)], xAxis: [C.dayAxis(env.days, area.width)], yAxis: [C.valueAxis(scale, (share) => F.percent(share, 0))],
        series: [
          ...columns.map((one, at) => C.line("crowd " + at, one, colors[at], at ? {} : { markLine: { silent: true, symbol: "none", animation: false, label: { show: false }, lineStyle: { color: T.ink2, type: "dashed", width: 1 }, data: [{ yAxis: 0.5 }] } })),
          ...["long_crowded", "short_crowded"].map((word) => ({
            type: "scatter", id: word, silent: true, animation: false, symbol: "triangle", symbolRotate: word === "long_crowded" ? 0 : 180, symbolSize: 8, z: 6, itemStyle: { color: T.ink },
            data: extreme.map((one, at) => (one === word && F.known(judged[at]) ? [at, judged[at]] : null)).filter(Boolean),
          })),
        ],
      },
      legend: [...named.map((name, at) => L("line", colors[at], name)), ...found.map((word) => L(SHAPES[word], T.ink, F.words(word))), L("dash", T.ink2, "half long, half short"), L("hatch", null, "unknown")],
      foot: ["Venues describe different crowds and are never averaged. A triangle marks an extreme of accounts: percentile of the venue's own 90 days before."],
      tip: (at) => ({ title: env.days[at], rows: [...named.map((name, k) => [name, value(columns[k][at], F.percent), colors[k]]), ["percentile of 90 days", value(percentile[at], (one) => one.toFixed(0))], ["extreme", F.known(extreme[at]) ? F.words(extreme[at]) : "unknown"]] }),
      summary: `${env.days[0]} to ${env.days[n - 1]}; last ${named.map((name, k) => name + " " + value(columns[k][n - 1], F.percent)).join(", ")}; ${extreme.filter((word) => word in SHAPES).length} days extreme.`,
    };
  }

  LH.view("liq", { draw: liquidations });
  LH.view("kinds", { draw: kinds, height: (phone) => (phone ? 420 : 250) });
  LH.view("crowd", { draw: crowd });
})();
