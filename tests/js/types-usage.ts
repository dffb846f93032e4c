/*
 * Uses of the types in an application. Only compiled, never run:
 *
 *   npx -p typescript tsc --noEmit --strict --lib ES2020,DOM tests/js/types-usage.ts
 */
import { Client, ProtooError } from "../../protoo_flask/static/protoo.js";
import type { IncomingRequest, State } from "../../protoo_flask/static/protoo.js";

const client = new Client({
  url: "/protoo",
  uuid: "tab-1",
  username: "alice",
  requestTimeout: 5000,
  reconnect: { max: 10000 },
  repeat: true,
  WebSocket,
  fetch,
});
new Client();
new Client({ reconnect: false });

const state: State = client.state;
const uuid: string = client.uuid;
const username: string | null = client.username;
const connected: Promise<void> = client.connect();

async function call(controller: AbortController): Promise<string> {
  try {
    const { status, reason, data } = await client.request<{ text: string }>(
      "message",
      "/users/bob",
      { text: "hi" },
      {
        onProvisional: (response) => console.log(response.status, response.data.sessionPath),
        timeout: 130000,
        signal: controller.signal,
        repeat: true,
        retries: 2,
      },
    );
    return `${status.toFixed()} ${reason} ${data.text}`;
  } catch (error) {
    if (error instanceof ProtooError && error.isLocal) return `${error.status} ${error.reason}`;
    if (error instanceof ProtooError && error.retryAfter > 0) return error.retryAfter.toFixed();
    throw error;
  }
}

client.notify("typing", "/users/bob");
const stop: () => void = client.on("open", () => {});
stop();
client.once("close", (event) => {
  if (event.willReconnect) event.delay.toFixed();
});
client.on("reconnecting", ({ attempt, delay, retryAfter }) => attempt + delay + retryAfter);
client.on("refused", ({ status, reason }) => `${status.toFixed()} ${reason}`);
client.on("refused", ({ username }) => username?.length);
client.on("deferred", ({ status, reason, retryAfter }) => `${status} ${reason} ${retryAfter + 1}`);
client.on("leave", ({ persisted }) => !persisted && client.notify("bye", "/"));
client.on("state", (event) => event.previous === "open" && event.state === "waiting");
client.on("notification", ({ method, data, sender }) => [method, data.text, sender?.username]);
client.on("error", (error) => error.cause);

const answer = async (req: IncomingRequest): Promise<void> => {
  if (req.ended) return;
  req.provisional(180, "ringing");
  const isFirst: boolean = req.reply(200, "OK", { sdp: req.data.sdp });
  if (!isFirst) req.provisional(180);
};
client.on("request", answer);
client.off("request", answer);
client.close(4000, "bye");

// @ts-expect-error: no such event
client.on("opened", () => {});
// @ts-expect-error: no such option
new Client({ timeout: 5 });
// @ts-expect-error: data is an object
client.notify("typing", "/users/bob", "text");
// @ts-expect-error: notifications are not answered
client.on("notification", (notification) => notification.reply(200));
// @ts-expect-error: read only
client.state = "open";

export { call, connected, state, username, uuid };
