/**
 * Connects the protoo client, the state of the page (conversations.js) and the view (view.js).
 * Calls are in calls.js, meetings in meeting.js.
 */

import { Alerts } from "./alerts.js";
import { drawCallButtons } from "./call-view.js";
import { Phone } from "./calls.js";
import { Conversations } from "./conversations.js";
import { Meeting, readMeetingName } from "./meeting.js";
import { MeetingChat } from "./meeting-chat.js";
import { MeetingView } from "./meeting-view.js";
import { presenceOf } from "./presence.js";
import { explain } from "./reasons.js";
import { OwnStatus } from "./status.js";
import { textOf, View } from "./view.js";
import { isId, isName, readList, readMessage, shortText } from "./wire.js";

const page = document.body.dataset;
const { Client, ProtooError } = await import(page.protooModule);

const MEETINGS = /^\/meetings(?:\/(.*))?$/;
const REQUEST_TIMEOUT_MS = 30000; // longer than the server's grace period of 15 s
const NOTICE_AFTER_MS = 1000;
const RETRY_MS = 5000;
// 429 means too many requests. After 408 and 410 the message may be stored although this page has
// not got the provisional response: the delivery to a device has failed. All three are retried.
const PASSING_STATUSES = [408, 410, 429];
/** What a refused message means: {status: sentence}. */
const REFUSALS = {
  404: "There is no user of this name.",
  413: "The message is too long.",
  480: "Too many of your messages have not been read yet.",
};
const TYPING_EVERY_MS = 3000;
const TYPING_SHOWN_MS = 5000;

const me = page.username;
// The server has a grace period, so it does not handle a repeated request twice.
const client = new Client({
  url: page.protooUrl,
  username: me,
  repeat: true,
  requestTimeout: REQUEST_TIMEOUT_MS,
});
const conversations = new Conversations(me, sessionStorage);
const view = new View(me, { onRetry: retry, onCall: call });
const ownStatus = new OwnStatus(me, localStorage, { onChoose: publish, onRename: rename });
const nameOf = (username) => conversations.nameOf(username);
const notify = (text) => view.notify(text);
const alerts = new Alerts(me, localStorage, {
  isSilent: () => presenceOf(conversations.own) === "busy",
  onOpen: (username) => (location.hash = username),
});

const phone = new Phone(client, {
  iceServers,
  isElsewhere: () => meeting.name !== null,
  nameOf,
  onChange: draw,
  onNotice: notify,
});
const meetingChat = new MeetingChat({ nameOf, notify, send: (text) => meeting.write(text) });
const meeting = new Meeting(client, {
  iceServers,
  onChange: draw,
  onMessage: (message) => meetingChat.take(message),
  onNotice: notify,
});
const meetingView = new MeetingView(me, {
  nameOf,
  join: joinMeeting,
  leave: () => meeting.leave(),
  toggle: (kind) => meeting.toggle(kind),
  share: () => meeting.toggleSharing(),
});

let open = null; // the username whose conversation is open
let meetingsOpen = false; // whether the form for meetings is on the screen instead
let meetingError = null; // why the user could not join a meeting
let synchronized = false;
let isCutOff = false; // without connection for so long that the user should know
let isRestart = false; // whether the server has closed the last connection because it goes away
let pause = null; // a text: when the server wants this page back
let farewell = null; // {text, action}: why the client does not reconnect by itself
let trouble = null; // {text, action}: an error while the connection is open
const typing = new Map(); // username -> timer
const inFlight = new Set(); // uuids of messages that the server has not answered yet

// Drawing

let drawingPlanned = false;

/** Draw once, after all changes of this task. */
function draw() {
  if (drawingPlanned) return;
  drawingPlanned = true;
  queueMicrotask(() => {
    drawingPlanned = false;
    drawNow();
  });
}

function drawNow() {
  const { caller } = phone;
  const isConnected = client.state === "open" || (client.state !== "closed" && !isCutOff);
  view.draw({ conversations, open, meetingsOpen, typing, synchronized, caller, isConnected });
  if (open) drawCallButtons(open, whyNoCall(open));
  const isJoining = meeting.name !== null && !meeting.isIn;
  meetingView.drawForm({ isOpen: meetingsOpen, isJoining, error: meetingError });
  meetingView.draw(meeting, isConnected);
  if (!meeting.isIn) meetingChat.clear();
  drawConnection();
  markRead(); // messages that a call or a meeting has covered
}

function drawConnection() {
  view.drawConnection(client.state, connectionNotice());
}

function connectionNotice() {
  if (client.state === "open") return trouble;
  if (client.state === "closed" && farewell) return farewell;
  if (!isCutOff) return null;
  if (client.state === "waiting" && pause) return { text: pause, action: tryNow };
  return { text: synchronized ? "Reconnecting…" : "Connecting…", action: tryNow };
}

// The connection

const loadAgain = { label: "Reload", run: () => location.reload() };
const logInAgain = { label: "Log in again", run: () => location.reload() };
const useHere = { label: "Use here", run: connect };
const connectAgain = { label: "Connect again", run: connect };
const tryNow = { label: "Try now", run: connect };

function connect() {
  farewell = null;
  client.connect(); // the events below report the result
}

// Most interruptions are very short. A notice for each of them would only flicker.
let noticeTimer = null;

function expectConnection() {
  noticeTimer ??= setTimeout(() => {
    isCutOff = true;
    draw();
  }, NOTICE_AFTER_MS);
}

client.on("state", ({ state }) => {
  if (state === "open") {
    clearTimeout(noticeTimer);
    noticeTimer = null;
    isCutOff = false;
  } else {
    expectConnection();
  }
  draw();
});

client.on("open", () => {
  conversations.outdate();
  synchronize();
});

client.on("refused", ({ status, username }) => {
  if (username) {
    farewell = { text: `This browser is logged in as ${username} now.`, action: loadAgain };
  } else {
    farewell =
      status === 401
        ? { text: "You have been logged out.", action: logInAgain }
        : { text: explain({ status }), action: connectAgain };
  }
  draw();
});

client.on("close", ({ code, reason, willReconnect }) => {
  isRestart = code === 1001 || code === 1012;
  if (willReconnect || farewell) return;
  if (code === 3000) farewell = { text: "The chat is open in another window.", action: useHere };
  else if (code === 3001) farewell = { text: "You have been logged out.", action: logInAgain };
  else farewell = { text: `Disconnected (${shortText(reason) || code}).`, action: connectAgain };
  draw();
});

// The text is not a countdown: it is read aloud at each change.
client.on("reconnecting", ({ delay, retryAfter }) => {
  const cause = isRestart ? "The server restarts. " : "";
  pause = retryAfter > 0 ? `${cause}Reconnecting within ${Math.ceil(delay / 1000)} s…` : null;
  draw();
});

client.on("error", (error) => console.error(error));

/**
 * Bring everything up to date after each opening of the connection. So the page needs no special
 * handling for an absence longer than the grace period, or for a restart of the server.
 */
async function synchronize() {
  trouble = null;
  sendUnsent();
  try {
    const { data } = await ask("get", "/contacts");
    conversations.setContacts(data.contacts);
    conversations.setName({ username: me, name: data.name });
    synchronized = true;
    draw();
    watchEverybody();
    if (open) await loadHistory(open);
    await fetchWaiting();
  } catch (error) {
    if (!(error instanceof ProtooError)) throw error;
    // If the connection was lost, the next "open" starts anew.
    if (client.state !== "open") return;
    const tryAgain = { label: "Try again", run: synchronize };
    const text = `Not everything could be loaded. ${explain(error)}`;
    trouble = { text, action: tryAgain };
    draw();
  }
}

/** Request without `repeat`: every "open" asks again, and a repeated answer would be outdated. */
function ask(method, path, data) {
  return client.request(method, path, data, { repeat: false });
}

async function fetchWaiting() {
  for (;;) {
    const { data } = await ask("get", "/waiting");
    // Also the unreadable messages are confirmed, or they would wait for ever.
    const ids = readList(data.messages, (message) => message?.id).filter(isId);
    if (ids.length === 0) return;
    for (const message of readList(data.messages, read)) conversations.addWaiting(message);
    draw();
    await client.request("put", "/received", { ids });
  }
}

/** Log a failed request and go on; the next synchronize() brings the page up to date. */
function unlessProtoo(error) {
  if (!(error instanceof ProtooError)) throw error;
  console.warn(error);
}

// Presence

/** Watch all users at once. The page is drawn only once, after all answers. */
async function watchEverybody() {
  await Promise.all([me, ...conversations.contacts.keys()].map(watch));
  draw();
  // The server has no status of this user if it was restarted, or if the user was offline.
  if (conversations.own.status === null && ownStatus.remembered) publish(ownStatus.remembered);
}

async function watch(username) {
  try {
    const { data } = await ask("subscribe", `/presence/${encodeURIComponent(username)}`);
    setPresence(data);
  } catch (error) {
    unlessProtoo(error);
  }
}

function setPresence(state) {
  conversations.setPresence(state);
  if (state.username === me) ownStatus.set(conversations.own);
}

async function rename(name) {
  try {
    await client.request("put", "/profile", { name });
  } catch (error) {
    unlessProtoo(error);
    const special = { 400: "This name cannot be shown.", 409: "Another user has this name." };
    notify(explain(error, special));
  }
}

function publish({ status, note }) {
  setPresence({ username: me, status, note });
  draw();
  const options = { timeout: Infinity }; // the choice stays valid however long the page is offline
  client.request("publish", "/presence", { status, note }, options).catch(unlessProtoo);
}

// Requests and notifications of the server

client.on("request", (req) => {
  if (phone.handle(req) || meeting.handle(req)) return;
  // A request with a sessionPath is from the other side of a call. The server has not checked it.
  if (req.method === "message" && req.data.sessionPath === undefined) {
    // Before the reply: a confirmed message must not be lost.
    if (receive(req.data)) req.reply(200, "OK");
    else req.reply(400, "unreadable message");
  } else {
    req.reply(405, "method not allowed");
  }
});

const notifications = new Map([
  ["message", receive],
  ["contact", introduce],
  ["delivered", (data) => conversations.setDelivered(data)],
  ["presence", setPresence],
  ["read", (data) => conversations.setUnread(data)],
  ["typing", ({ username }) => isName(username) && showTyping(username)],
]);

client.on("notification", (notification) => {
  const { method, data } = notification;
  if (meeting.takeNotification(notification) || data.sessionPath !== undefined) return;
  notifications.get(method)?.(data);
  draw();
});

/** Take a new user, or a new name of one. */
function introduce({ username, name }) {
  if (!isName(username)) return;
  const isNew = username !== me && !conversations.contacts.has(username);
  conversations.setName({ username, name });
  if (username === me) ownStatus.set(conversations.own);
  if (isNew) watch(username).then(draw);
}

function read(data) {
  return readMessage(data, me);
}

/** Take a message of the server. Returns whether it is readable. */
function receive(data) {
  const message = read(data);
  if (!message) {
    console.warn("unreadable message");
    return false;
  }
  if (conversations.receive(message)) {
    const name = nameOf(message.sender);
    view.announce(message, name);
    alerts.tell(message, name, textOf(message, me));
  }
  if (message.sender !== me) {
    stopTyping(message.sender);
    client.request("put", "/received", { ids: [message.id] }).catch(unlessProtoo);
    if (message.sender === open) markRead();
  }
  draw();
  return true;
}

function showTyping(username) {
  clearTimeout(typing.get(username));
  typing.set(username, setTimeout(stopTyping, TYPING_SHOWN_MS, username));
}

function stopTyping(username) {
  clearTimeout(typing.get(username));
  typing.delete(username);
  draw();
}

// Calls

/** Called for each new connection, because the TURN credentials are valid for only one day. */
async function iceServers() {
  const { data } = await ask("get", "/ice");
  return data.iceServers;
}

function call(username, withVideo) {
  const reason = whyNoCall(username);
  if (reason) notify(reason);
  else phone.start(username, withVideo);
}

/** The reason why calls and meetings are not possible now; null if they are. */
function whyNoMedia() {
  if (!navigator.mediaDevices?.getUserMedia) return "Calls are possible on https pages only.";
  if (phone.isBusy) return "You are in a call.";
  if (meeting.name) return "You are in a meeting.";
  return client.state === "open" ? null : "There is no connection.";
}

function whyNoCall(username) {
  const reason = whyNoMedia();
  if (reason) return reason;
  const contact = conversations.contacts.get(username);
  if (!contact || presenceOf(contact) === "offline") return `${nameOf(username)} is offline.`;
  return null;
}

async function joinMeeting(name) {
  const noName = "The name has 1 to 30 letters from a to z, digits, dots, hyphens or underscores.";
  meetingError = whyNoMedia() ?? (name ? null : noName);
  notify("");
  draw();
  if (meetingError) return;
  try {
    await meeting.join(name);
  } catch (error) {
    meetingError = error.message;
    draw();
  }
}

for (const kind of ["audio", "video"]) {
  const button = document.getElementById(`call-${kind}`);
  button.addEventListener("click", () => call(open, kind === "video"));
}

// Sending

/**
 * Send all messages that the server does not have yet, in the order in which they were written.
 * Without a connection the client keeps the requests. After a reload or a long absence the page
 * does not know which messages were stored. The uuid keeps the server from storing one twice.
 */
function sendUnsent() {
  if (client.state === "closed") return;
  for (const message of conversations.unsent()) {
    if (!inFlight.has(message.uuid)) send(message);
  }
}

async function send(message) {
  const { uuid, text, recipient } = message;
  const path = `/users/${encodeURIComponent(recipient)}`;
  const options = {
    timeout: Infinity, // a message sent again after a timeout would come after newer ones
    onProvisional: ({ data }) => noteStored(message, data),
  };
  inFlight.add(uuid);
  try {
    const { data } = await client.request("message", path, { uuid, text }, options);
    conversations.setReport(message, data);
  } catch (error) {
    if (!(error instanceof ProtooError)) throw error;
    // After the server has stored it, a failed delivery is no error: the recipient fetches it.
    if (conversations.isUnsent(message)) notStored(message, error);
    return;
  } finally {
    inFlight.delete(uuid);
    draw();
  }
  // The provisional response was lost with a connection. The server repeats it if asked again.
  if (conversations.isUnsent(message)) sendUnsent();
}

/**
 * Take the server's copy of a message. Provisional responses of the recipient's devices come here
 * too, so anything else would be a message that the recipient has forged.
 */
function noteStored({ uuid, recipient, text }, data) {
  const isOurs = data.uuid === uuid && data.sender === me && data.recipient === recipient;
  if (isOurs && !data.call) receive({ ...data, text });
}

function notStored(message, error) {
  const isPassing = error.isLocal || PASSING_STATUSES.includes(error.status);
  if (isPassing) setTimeout(sendUnsent, RETRY_MS);
  else conversations.setError(message, explain(error, REFUSALS));
}

function retry(message) {
  conversations.setError(message, null);
  sendUnsent();
  draw();
}

function newUuid() {
  // Not crypto.randomUUID(), which is missing on pages without https.
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("");
}

// Reading

async function loadHistory(username) {
  const { data } = await ask("get", `/history/${encodeURIComponent(username)}`);
  conversations.setHistory(username, data);
  markRead();
  draw();
}

let loadingEarlier = false;

async function loadEarlier() {
  if (loadingEarlier || client.state !== "open") return;
  if (!open || !conversations.thread(open).more) return;
  loadingEarlier = true;
  const username = open;
  try {
    const before = conversations.oldestId(username);
    const { data } = await ask("get", `/history/${encodeURIComponent(username)}`, { before });
    conversations.addEarlier(username, data);
  } catch (error) {
    unlessProtoo(error);
  } finally {
    loadingEarlier = false;
    draw();
  }
}

/** Tell the server which messages were read, if the window has the focus. */
function markRead() {
  if (!open || !conversations.thread(open).loaded) return;
  if (!document.hasFocus() || view.isCovered) return;
  const contact = conversations.contact(open);
  if (contact.unread === 0 || client.state !== "open") return;
  contact.unread = 0;
  const read = conversations.newestId(open);
  client.request("put", `/history/${encodeURIComponent(open)}`, { read }).catch(unlessProtoo);
  draw();
}

addEventListener("focus", markRead);

// The page

const composer = document.getElementById("composer");
const text = document.getElementById("text");
let toldTypingAt = 0;

function fitText() {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight}px`;
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!open || !text.value.trim()) return;
  conversations.compose(open, text.value.trim(), newUuid());
  conversations.setDraft(open, "");
  text.value = "";
  toldTypingAt = 0;
  fitText();
  sendUnsent();
  drawNow();
  view.scrollToBottom();
  text.focus();
});

text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  composer.requestSubmit();
});

text.addEventListener("input", () => {
  fitText();
  conversations.setDraft(open, text.value);
  if (!text.value || client.state !== "open" || Date.now() - toldTypingAt < TYPING_EVERY_MS) return;
  toldTypingAt = Date.now();
  client.notify("typing", `/users/${encodeURIComponent(open)}`);
});

document.getElementById("earlier").addEventListener("click", loadEarlier);
view.scroller.addEventListener("scroll", () => {
  if (view.scroller.scrollTop < 80) loadEarlier();
});

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

/** Open the conversation named after "#", so that "back" and "reload" of the browser work. */
function followHash() {
  const previous = open;
  const name = location.hash.slice(1);
  open = isName(name) && name !== me ? name : null;
  const meetings = MEETINGS.exec(name);
  meetingsOpen = meetings !== null;
  meetingError = null;
  toldTypingAt = 0;
  text.value = open ? conversations.draft(open) : "";
  drawNow();
  fitText();
  if (open) view.focusThread();
  else if (meetingsOpen) meetingView.suggest(readMeetingName(decode(meetings[1] ?? "")) ?? "");
  else view.focusContact(previous);
  if (open && client.state === "open" && !conversations.thread(open).loaded) {
    loadHistory(open).catch(unlessProtoo);
  }
  markRead();
}

addEventListener("hashchange", followHash);
followHash();
expectConnection();
connect();
