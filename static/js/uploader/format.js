// Numbers as people read them. Sizes are decimal (1 kB = 1000 bytes), as on the other pages.

const UNITS = ["kB", "MB", "GB", "TB", "PB"];
const counts = new Intl.NumberFormat("en");

/** 1,204 */
export function formatCount(number) {
  return counts.format(number);
}

/** "1 file", "1,204 files" */
export function formatPlural(number, one, many = `${one}s`) {
  return `${formatCount(number)} ${number === 1 ? one : many}`;
}

/** Bytes as "0 bytes", "999 bytes", "1.2 MB". */
export function formatBytes(bytes) {
  if (bytes < 1000) return formatPlural(Math.round(bytes), "byte");
  let value = bytes;
  let unit = -1;
  do {
    value /= 1000;
    unit += 1;
  } while (value >= 999.95 && unit < UNITS.length - 1);
  return `${value.toFixed(value < 10 ? 2 : 1)} ${UNITS[unit]}`;
}

/** Seconds as "8 s", "3 min", "2 h 5 min", "3 days"; "" when unknown. */
export function formatSeconds(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return formatPlural(Math.round(hours / 24), "day");
}
