/** The sound of a telephone, without a file. Browsers allow sound only after a user's action. */

const EVERY_MS = 3000;
const CHIME_MS = 1000;
const PATTERNS = {
  ringing: { tones: [440, 554], at: [0, 0.18, 0.36, 0.54], seconds: 0.15, volume: 0.12 },
  calling: { tones: [425], at: [0], seconds: 1, volume: 0.04 },
};

/** Sound two short tones once, for a message. */
export function chime() {
  if (!navigator.userActivation?.hasBeenActive) return;
  const context = new AudioContext();
  sound(context, { tones: [660, 880], at: [0, 0.16], seconds: 0.1, volume: 0.08 });
  setTimeout(() => context.close(), CHIME_MS);
}

function sound(context, { tones, at, seconds, volume }) {
  const now = context.currentTime;
  const gain = new GainNode(context, { gain: 0 });
  gain.connect(context.destination);
  for (const start of at) {
    // The tone fades in and out, because an abrupt end makes a click.
    gain.gain.setTargetAtTime(volume, now + start, 0.01);
    gain.gain.setTargetAtTime(0, now + start + seconds, 0.02);
  }
  for (const frequency of tones) {
    const oscillator = new OscillatorNode(context, { frequency });
    oscillator.connect(gain);
    oscillator.start(now);
    oscillator.stop(now + at.at(-1) + seconds + 0.3);
  }
}

export class Ringer {
  #context = null;
  #timer = null;
  #pattern = null;

  /** `name` is "ringing", "calling", or null for silence. */
  play(name) {
    const pattern = PATTERNS[name] ?? null;
    if (pattern === this.#pattern) return;
    this.#pattern = pattern;
    clearInterval(this.#timer);
    this.#context?.close();
    this.#context = null;
    if (!pattern || !navigator.userActivation?.hasBeenActive) return;
    this.#context = new AudioContext();
    this.#timer = setInterval(() => sound(this.#context, pattern), EVERY_MS);
    sound(this.#context, pattern);
  }
}
