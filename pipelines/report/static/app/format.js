// Numbers as people of this field write them. Unknown is a word with a hatched swatch, never 0 and never a dash.
"use strict";

(function () {
  const MINUS = "\u2212";
  const signed = (value, text) => (value < 0 ? MINUS : "") + text;

  function digits3(value) {
    const size = Math.abs(value);
    return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
  }

  function scaled(value) {
    const size = Math.abs(value);
    for (const [unit, word] of [[1e12, " tn"], [1e9, " bn"], [1e6, " m"], [1e3, " k"]]) {
      if (size >= unit * 0.9995) return digits3(size / unit) + word;
    }
    return size === 0 ? "0" : size >= 1 ? digits3(size) : size.toPrecision(2);
  }

  const usd = (value) => signed(value, "$" + scaled(value));
  const coins = (value) => signed(value, scaled(value));

  function price(value) {
    const size = Math.abs(value);
    const places = size >= 1000 ? 0 : size >= 10 ? 2 : size >= 1 ? 3 : size >= 0.01 ? 4 : 8;
    return signed(value, size.toLocaleString("en-US", { minimumFractionDigits: Math.min(places, 4), maximumFractionDigits: places }));
  }

  function percent(value, places) {
    return signed(value, Math.abs(value * 100).toFixed(places === undefined ? 1 : places) + "%");
  }

  const plus = (value, text) => (value > 0 ? "+" : "") + text;
  const change = (value) => plus(value, percent(value));
  const apr = (value) => (value >= 0 ? "+" : "") + percent(value, Math.abs(value) < 1 ? 2 : 0) + " APR";

  // A number of the table, with the digits the page holds.
  function plainNumber(value) {
    return value === null ? "" : String(value);
  }

  const KINDS = {
    usd, coins, price, apr,
    share: (value) => percent(value),
    count: (value) => String(value),
    number: (value) => signed(value, Math.abs(value) >= 100 ? Math.abs(value).toFixed(0) : Math.abs(value).toFixed(2)),
    word: (value) => value, text: (value) => value,
  };

  const known = (value) => value !== null && value !== undefined && value === value;

  function unknown(reason) {
    return LH.el("span", { class: "unknown", title: reason || null }, LH.el("span", { class: "hatch", "aria-hidden": "true" }), "unknown");
  }

  // A node: the formatted value, or the word unknown.
  function node(value, kind, reason) {
    return known(value) ? document.createTextNode(KINDS[kind](value)) : unknown(reason);
  }

  function tinted(value, format) {
    if (!known(value)) return unknown();
    return LH.el("span", { class: value > 0 ? "pos" : value < 0 ? "neg" : null }, format(value));
  }

  const words = (text) => String(text).replaceAll("_", " ");

  function list(items) {
    if (items.length < 2) return items.join("");
    return items.slice(0, -1).join(", ") + " and " + items[items.length - 1];
  }

  LH.format = { usd, coins, price, percent, change, apr, plus, plainNumber, KINDS, known, unknown, node, tinted, words, list, MINUS };
})();
