/** Formats names, colours and times. Times are seconds since the epoch. */

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const shortDate = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const longDate = new Intl.DateTimeFormat(undefined, {
  weekday: "long", day: "numeric", month: "long", year: "numeric",
});

/** "anna.karenina" -> "AK", "Anna de la Cruz" -> "AC", "bob" -> "BO" */
export function initials(name) {
  // Spread into characters: a half of a surrogate pair would be shown as a box.
  const words = name.split(/[\s._-]+/).filter(Boolean).map((word) => [...word]);
  const first = words[0] ?? [...name];
  const letters = words.length > 1 ? [first[0], words.at(-1)[0]] : first.slice(0, 2);
  return letters.join("").toUpperCase();
}

/** A hue in degrees, always the same for one name. */
export function hue(username) {
  // FNV-1a: even names that differ in only one letter get different low bits.
  let hash = 0x811c9dc5;
  for (const letter of username) hash = Math.imul(hash ^ letter.codePointAt(0), 0x01000193);
  return (hash >>> 0) % 360;
}

export function clockTime(time) {
  return clock.format(time * 1000);
}

/** A string that is equal for two times on the same local day. */
export function dayOf(time) {
  return new Date(time * 1000).toDateString();
}

function nearDay(time) {
  const day = dayOf(time);
  const date = new Date();
  if (day === date.toDateString()) return "Today";
  date.setDate(date.getDate() - 1);
  return day === date.toDateString() ? "Yesterday" : null;
}

export function dayLabel(time) {
  return nearDay(time) ?? longDate.format(time * 1000);
}

/** The time if it is today, else the day. For the list of contacts. */
export function shortWhen(time) {
  const near = nearDay(time);
  return near === "Today" ? clockTime(time) : near ?? shortDate.format(time * 1000);
}

/** For "last seen ...": "14:32", "yesterday 14:32", "3 Nov". */
export function pastTime(time) {
  const near = nearDay(time);
  if (near === "Today") return clockTime(time);
  return near ? `yesterday ${clockTime(time)}` : shortDate.format(time * 1000);
}

/** 192 -> "3:12", 3723 -> "1:02:03" */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return (hours ? `${hours}:${two(minutes)}` : minutes) + `:${two(whole % 60)}`;
}
