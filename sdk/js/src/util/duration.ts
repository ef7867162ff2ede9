/** Durations as people write them: a number of milliseconds, or `"250ms"`, `"30s"`, `"1h"`. */

import { malformed, shown } from "./names.js";

export type Duration = number | `${number}${"ms" | "s" | "m" | "h" | "d"}`;

const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds, whole. Throws `Malformed` at anything that is no duration. */
export function toMs(duration: Duration): number {
  if (typeof duration === "number" && Number.isFinite(duration) && duration >= 0) {
    return Math.round(duration);
  }
  const [, count, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(String(duration)) ?? [];
  if (count === undefined || unit === undefined) {
    throw malformed(`${shown(duration)} is no duration: write 1500, "30s" or "10m"`);
  }
  return Math.round(Number(count) * (UNITS[unit] as number));
}

export function optionalMs(duration: Duration | undefined): number | undefined {
  return duration === undefined ? undefined : toMs(duration);
}

/** A point in time: Unix milliseconds, a date, or so long ago (`"1h"`). */
export type Moment = number | Date | Exclude<Duration, number>;

export function toUnixMs(moment: Moment): number {
  if (typeof moment === "string") return Date.now() - toMs(moment);
  const at = moment instanceof Date ? moment.getTime() : moment;
  if (typeof at !== "number" || !Number.isFinite(at)) {
    throw malformed(`${shown(moment)} is no time: write Unix milliseconds, a Date or "1h"`);
  }
  return Math.round(at);
}
