// Keeps <time data-ago> true while a page stays open. The words are those of the template filter |ago.

const STEPS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"]];

/** Write how many seconds ago; null where the server's words stay true for long: days, and times ahead. */
export function words(seconds) {
  if (seconds < 0) return null;
  if (seconds < 10) return "just now";
  for (const [limit, unit, name] of STEPS) if (seconds < limit) return `${Math.floor(seconds / unit)} ${name} ago`;
  return null;
}

function refresh() {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const text = words((Date.now() - Date.parse(time.dateTime)) / 1000);
    if (text) time.textContent = text;
  }
}

export function setUpTimes() {
  setInterval(refresh, 30_000);
}
