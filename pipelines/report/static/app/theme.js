// Colors. Meaning is never by color alone, and no two of one chart differ only in red and green.
"use strict";

(function () {
  const RAMP = ["#4a1c8c", "#6a1fa0", "#8b2a9f", "#ad3a8e", "#cb4f77", "#e46b5d", "#f58f43", "#fcbb35", "#f7ee5a"];
  const shared = { well: "#0f0a1c", heatHatch: "#6d6880", heatGround: "#221c33", dense: "#7df9ff", ramp: RAMP };
  const light = Object.assign({
    surface: "#ffffff", line: "#dfe0dd", grid: "#ecedea", ink: "#1a1c20", ink2: "#59606b",
    long: "#0067a3", short: "#c2500a", position: "#5b4bb5", price: "#8a6d00", both: "#878e98",
    hatch: "#8f959d", ground: "#f1f1ef", accent: "#5b2fa0", partial: "#b57f00", complete: "#c3d0da", missing: "#b3400a",
    empty: "#e6e8e6", lending: "#0b7a55",
    venues: ["#0067a3", "#c2500a", "#0b7a55", "#8d3f9e", "#8a6d00", "#3a7f96", "#a33a5e", "#5d6470"],
    diverging: ["#1f5f9e", "#5b8fc4", "#a9c3de", "#dcdcda", "#e8bf97", "#d98a45", "#b3560e"],
    expiries: [0, 1, 2, 3, 4, 5, 6],
  }, shared);
  const dark = Object.assign({
    surface: "#161920", line: "#2b303a", grid: "#21252d", ink: "#e9ebee", ink2: "#a2a9b4",
    long: "#58b1ea", short: "#f08a4b", position: "#a99bff", price: "#e3b341", both: "#6c7480",
    hatch: "#6d7583", ground: "#1c2027", accent: "#b79bff", partial: "#e3b341", complete: "#34465a", missing: "#ff8a5c",
    empty: "#222833", lending: "#4fc493",
    venues: ["#58b1ea", "#f08a4b", "#4fc493", "#cf8be0", "#e3c341", "#7fd0dd", "#f08bb0", "#a2a9b4"],
    diverging: ["#7cc0f5", "#4387bd", "#2b4f6e", "#262b33", "#6a4728", "#b56d2f", "#f5a552"],
    expiries: [3, 4, 5, 6, 7, 8, 8],
  }, shared);

  const bytes = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

  // The color at `at` of a ramp of equally spaced stops, linear in RGB between two; [r, g, b] of whole numbers.
  function along(stops, at) {
    const place = Math.min(Math.max(at, 0), 1) * (stops.length - 1);
    const index = Math.min(Math.floor(place), stops.length - 2);
    const low = bytes(stops[index]);
    const high = bytes(stops[index + 1]);
    return low.map((value, n) => Math.round(value + (high[n] - value) * (place - index)));
  }

  const css = (rgb) => "#" + rgb.map((value) => value.toString(16).padStart(2, "0")).join("");

  function dark_() {
    if (LH.state.theme) return LH.state.theme === "dark";
    return window.matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function apply(printing) {
    const isDark = !printing && dark_();
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    LH.T = isDark ? dark : light;
    const button = document.getElementById("theme");
    button.setAttribute("aria-pressed", String(isDark));
    tiles.clear();
  }

  // A tile of diagonal lines: what is unknown looks the same everywhere.
  const tiles = new Map();
  function hatch(kind, ratio) {
    const name = (kind || "") + ratio;
    if (!tiles.has(name)) {
      const size = Math.round(6 * ratio);
      const tile = document.createElement("canvas");
      tile.width = tile.height = size;
      const pen = tile.getContext("2d");
      pen.fillStyle = kind === "heat" ? LH.T.heatGround : LH.T.ground;
      pen.fillRect(0, 0, size, size);
      pen.strokeStyle = kind === "heat" ? LH.T.heatHatch : LH.T.hatch;
      pen.lineWidth = ratio;
      pen.beginPath();
      for (const shift of [-size, 0, size]) {
        pen.moveTo(shift - 1, size + 1);
        pen.lineTo(shift + size + 1, -1);
      }
      pen.stroke();
      tiles.set(name, tile);
    }
    return tiles.get(name);
  }

  // One venue, one color, on every page; the ninth and later ones share the last.
  function venueColor(venue) {
    const order = LH.market.venues;
    const place = order.indexOf(venue);
    const at = place >= 0 ? place : order.length + LH.unlisted(venue);
    return LH.T.venues[Math.min(at, LH.T.venues.length - 1)];
  }

  LH.theme = { apply, along, css, hatch, venueColor, isDark: () => document.documentElement.dataset.theme === "dark" };
  LH.unlisted = () => 0;
})();
