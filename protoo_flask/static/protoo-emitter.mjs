/* Events. Used by protoo-call.mjs and protoo-mesh.mjs. */

/** Listeners like those of Client: called in a microtask, in order; errors do not stop others. */
export class Emitter {
  #listeners;

  constructor(events) {
    this.#listeners = new Map(events.map((event) => [event, new Set()]));
  }

  /** Call `fn` at every `event`. Returns a function that removes the listener. */
  on(event, fn) {
    if (!this.#listeners.has(event)) {
      const events = [...this.#listeners.keys()].join(", ");
      throw new TypeError(`event must be one of ${events}, got "${event}"`);
    }
    if (typeof fn !== "function") throw new TypeError(`listener must be a function, got ${fn}`);
    this.#listeners.get(event).add(fn);
    return () => this.off(event, fn);
  }

  /** Remove the listener `fn` of `event`. */
  off(event, fn) {
    this.#listeners.get(event)?.delete(fn);
  }

  emit(event, payload, ifUnheard = () => {}) {
    queueMicrotask(() => {
      const listeners = this.#listeners.get(event);
      if (listeners.size === 0) ifUnheard();
      for (const fn of [...listeners]) {
        if (!listeners.has(fn)) continue; // an earlier listener of this event has removed it
        new Promise((resolve) => resolve(fn(payload))).catch((error) => {
          console.error(`protoo: "${event}" listener failed:`, error);
        });
      }
    });
  }
}
