// An asset's years put together: arrays on one row of days. Null is unknown.
"use strict";

(function () {
  const DAY = 86400000;
  const number = (iso) => Math.round(Date.parse(iso + "T00:00:00Z") / DAY);
  const iso = (day) => new Date(day * DAY).toISOString().slice(0, 10);
  const CODES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

  // A column of one year, whatever it was written as, as a plain array of n.
  function unpack(column, n) {
    if (column === null || column === undefined) return new Array(n).fill(null);
    if (Array.isArray(column)) {
      // Texts come as runs [length, text, ...]; a column of numbers holds no text.
      if (!column.some((value) => typeof value === "string")) return column;
      const out = [];
      for (let at = 0; at < column.length; at += 2) for (let times = 0; times < column[at]; times++) out.push(column[at + 1]);
      return out;
    }
    return Array.from(column.c, (code) => (code === "." ? null : column.u[CODES.indexOf(code)]));
  }

  class Asset {
    constructor(entry, parts) {
      this.entry = entry;
      this.name = entry.asset;
      this.parts = parts;
      this.start = number(parts[0].start);
      this.n = parts.reduce((sum, part) => sum + part.n, 0);
      this.days = Array.from({ length: this.n }, (_, at) => iso(this.start + at));
      this.cache = new Map();
    }

    at(day) {
      const place = number(day) - this.start;
      return place >= 0 && place < this.n ? place : -1;
    }

    keys(dataset) {
      const found = new Set();
      for (const part of this.parts) for (const key of (part.d[dataset] || { k: [] }).k || []) found.add(key);
      return [...found].sort();
    }

    has(dataset) {
      return this.parts.some((part) => part.d[dataset]);
    }

    column(dataset, name, key) {
      const id = dataset + "\n" + name + "\n" + (key === undefined ? "" : key);
      if (!this.cache.has(id)) {
        const out = [];
        for (const part of this.parts) {
          let held = part.d[dataset];
          if (held && key !== undefined) held = held.v[held.k.indexOf(key)];
          for (const value of unpack(held && held[name], part.n)) out.push(value);
        }
        this.cache.set(id, out);
      }
      return this.cache.get(id);
    }

    // Cells of a layer by day: arrays of {no, low, high, and the layer's own columns}.
    cells(layer, columns) {
      const id = "cells\n" + layer;
      if (!this.cache.has(id)) {
        const out = [];
        for (const part of this.parts) {
          const held = part[layer];
          if (!held) {
            for (let day = 0; day < part.n; day++) out.push([]);
            continue;
          }
          let cell = 0;
          let bin = 0;
          const values = columns.map((name) => [name, unpack(held[name], held.b.length)]);
          for (let day = 0; day < part.n; day++) {
            const row = [];
            for (let left = held.cnt[day]; left > 0; left--, cell++) {
              bin += held.b[cell];
              const one = { no: held.no[bin], low: held.low[bin], high: held.high[bin] };
              for (const [name, column] of values) one[name] = column[cell];
              row.push(one);
            }
            out.push(row);
          }
        }
        this.cache.set(id, out);
      }
      return this.cache.get(id);
    }
  }

  const runsOf = (flags) => {
    const out = [];
    flags.forEach((flag, at) => {
      if (!flag) return;
      if (out.length && out[out.length - 1][1] === at - 1) out[out.length - 1][1] = at;
      else out.push([at, at]);
    });
    return out;
  };

  LH.data = { Asset, unpack, number, iso, runsOf };
})();
