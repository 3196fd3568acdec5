/**
 * What a machine's real-time clock says at power-on: `now` (this machine's time), an offset from it (`-2h`, `+30m`,
 * `-90s`, `+3d`), or a date (`2099-01-01T00:00:00Z`).
 */
export type ClockSetting = 'now' | `${'-' | '+'}${number}${'s' | 'm' | 'h' | 'd'}` | `${number}-${string}Z`;

/** The date that `setting` means at `now`. Throws where it means none, or one that a PC's clock cannot hold. */
export function clockDate(setting: ClockSetting, now = new Date()): Date {
  const offset = /^([-+])(\d+(?:\.\d+)?)([smhd])$/.exec(setting);
  const unitMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[offset?.[3] ?? ''] ?? 0;
  const shifted = now.getTime() + (offset ? Number(`${offset[1]}${offset[2]}`) * unitMs : 0);
  const date = setting === 'now' || offset ? new Date(shifted) : new Date(setting);
  const year = date.getUTCFullYear();
  if (Number.isNaN(year) || year < 1970 || year > 2099) throw new Error(`no clock of a PC can say '${setting}'`);
  return date;
}
