// The asset page's head: key figures of the last day of the window.
"use strict";

(function () {
  const { el, clear } = LH;
  const F = LH.format;

  function figures() {
    const box = document.getElementById("figures");
    if (!box) return;
    const { A, i1 } = LH.frame();
    const at = (dataset, name, shift) => A.column(dataset, name)[i1 - (shift || 0)];
    const part = (title, main, small) => el("div", null, el("dt", null, title), el("dd", null, main, el("small", null, small)));
    const change = (days) => (F.known(at("price", "close_usd")) && F.known(at("price", "close_usd", days)) ? F.change(at("price", "close_usd") / at("price", "close_usd", days) - 1) : "unknown") + " " + days + "d";
    const plausible = at("trends", "oi_change_plausible") === "on";
    const delta = (name) => (plausible && F.known(at("trends", name)) ? F.plus(at("trends", name), F.usd(at("trends", name))) : "unknown");
    const regime = at("funding", "regime");
    const share = at("heard", "heard_oi_share");
    const states = A.keys("signals").map((signal) => A.column("signals", "state", signal)[i1]);
    const on = A.keys("signals").filter((signal, s) => states[s] === "on");
    const titles = new Map(LH.market.signals.map((one) => [one.signal, one.title]));
    const options = A.entry.options && (F.known(at("options", "put_call_oi_ratio")) || F.known(at("options", "risk_reversal_25d_30d")));
    clear(box,
      part("Close", F.node(at("price", "close_usd"), "price"), change(1) + " · " + change(7)),
      part("Open interest", F.node(at("trends", "oi_usd"), "usd"), delta("oi_usd_position_1d") + " positions · " + delta("oi_usd_price_1d") + " price"),
      part("Funding over neutral", F.node(at("funding", "excess_apr"), "apr"), F.known(regime) && regime !== "unknown" ? F.words(regime) + " for " + at("funding", "days_in_regime") + " d" : "regime unknown: window not full"),
      part("Liquidated longs / shorts", el("span", null, F.node(at("liq", "exchange_long_usd"), "usd", "no feed heard"), " / ", F.node(at("liq", "exchange_short_usd"), "usd", "no feed heard")), F.known(share) ? F.percent(share, 0) + " of known OI is on heard venues" : "no feed heard"),
      part("Crowd long", F.node(at("extremes", "account_long_share"), "share"), ["long_crowded", "short_crowded"].includes(at("extremes", "positioning_extreme")) ? F.words(at("extremes", "positioning_extreme")) : at("extremes", "positioning_extreme") === "none" ? "not extreme" : "extreme unknown"),
      options ? part("Put/call OI", F.node(at("options", "put_call_oi_ratio"), "number"), "25Δ risk reversal 30d " + (F.known(at("options", "risk_reversal_25d_30d")) ? F.percent(at("options", "risk_reversal_25d_30d")) : "unknown")) : null,
      states.length ? part("Signals on", String(on.length), on.length ? on.slice(0, 2).map((signal) => (titles.get(signal) || signal) + " (" + LH.signals.verdictText(signal) + ")").join("; ") + (on.length > 2 ? ` and ${on.length - 2} more` : "") : `${states.filter((word) => word === "off").length} off, ${states.filter((word) => word === "unknown").length} unknown`) : null);
  }

  LH.figures = figures;
})();
