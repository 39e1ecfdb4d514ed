// Figures as the server's template filters write them (datasets_app/templatetags/display.py), so that a page reads as one.

const UNITS = ["kB", "MB", "GB", "TB", "PB", "EB"];
const NARROW_SPACE = "\u202f";

/** A whole number with thin spaces between thousands. */
export function formatCount(number) {
  return String(Math.round(number)).replace(/\B(?=(\d{3})+$)/gu, NARROW_SPACE);
}

/** "1 file", "1 204 files" */
export function formatPlural(number, one, many = `${one}s`) {
  return `${formatCount(number)} ${number === 1 ? one : many}`;
}

/** Bytes in decimal units with three figures: "12.3 MB". */
export function formatBytes(bytes) {
  const whole = Math.round(bytes);
  if (whole < 1000) return `${whole} B`;
  let power = 1;
  // 999.5 MB would be written as 1000 MB.
  while (whole / 1000 ** power >= 999.5 && power < UNITS.length) power += 1;
  const value = whole / 1000 ** power;
  const figures = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(figures)} ${UNITS[power - 1]}`;
}

/** Seconds in the two largest units that matter: "8 s", "3 min 20 s", "2 h 5 min"; "" when unknown. */
export function formatSeconds(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const whole = Math.max(1, Math.round(seconds));
  const parts = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor((whole % 86_400) / 3600), "h"],
    [Math.floor((whole % 3600) / 60), "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  return parts.slice(first, first + 2).filter(([value]) => value > 0).map(([value, unit]) => `${value} ${unit}`).join(" ");
}

/** A share as whole per cent that says 100 only when all is there. */
export function formatPercent(part, whole) {
  if (whole <= 0) return "100 %";
  return `${Math.min(part < whole ? 99 : 100, Math.floor((100 * part) / whole))} %`;
}
