// Numbers as a reader takes them in: three significant digits, a unit, grouped thousands. The same
// words as in the text report. What has no value is a dash, never 0.

export const none = "–";
const known = value => value !== null && value !== undefined && Number.isFinite(Number(value));

export function grouped(number) {
  return known(number) ? Math.round(number).toString().replace(/\B(?=(\d{3})+$)/g, ",") : none;
}

export function count(number, noun) {
  return `${grouped(number)} ${noun}${number === 1 ? "" : "s"}`;
}

export function significant(number) {
  const size = Math.abs(number);
  if (size === 0) return "0";
  return number.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3);
}

export function rate(perSecond) {
  if (!known(perSecond)) return none;
  return perSecond >= 1000 ? grouped(perSecond) : significant(perSecond);
}

export function short(number) {
  if (!known(number)) return none;
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (number >= size * 0.9995) return significant(number / size) + unit;
  }
  return significant(number);
}

export function duration(ns) {
  if (!known(ns)) return none;
  if (ns === 0) return "0";
  if (ns < 1000) return `${Math.round(ns)} ns`;
  if (ns < 999_500) return `${significant(ns / 1e3)} µs`;
  if (ns < 999_500_000) return `${significant(ns / 1e6)} ms`;
  if (ns < 99_950_000_000) return `${significant(ns / 1e9)} s`;
  return clock(ns / 1e9);
}

// 42 s, 1:07, 1:02:03.
export function clock(seconds) {
  if (!known(seconds)) return none;
  if (seconds < 60) return `${round(seconds)} s`;
  const whole = Math.floor(seconds + 0.5);
  const two = number => String(number).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}

export function percent(ratio) {
  if (!known(ratio)) return none;
  const value = ratio * 100;
  return `${value !== 0 && Math.abs(value) < 1 ? significant(value) : round(value)}%`;
}

export function bytes(number) {
  if (!known(number)) return none;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let rest = number;
  while (rest >= 1000 && units.length > 1) {
    rest /= 1024;
    units.shift();
  }
  return `${significant(rest)} ${units[0]}`;
}

// 2026-02-03 04:05:06 in the reader's time.
export function instant(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return none;
  const two = number => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} `
    + `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

// A tick of an axis is round: 4k, not 4.00k.
export function tick(text) {
  return text.replace(/(\.\d*?)0+(?=\D*$)/, "$1").replace(/\.(?=\D*$)/, "");
}

function round(number) {
  return number.toFixed(1).replace(/\.0$/, "");
}
