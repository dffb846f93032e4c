// The chat, which was added to the site.
const client = new protoo.Client();
const form = document.getElementById("write");
const messages = document.getElementById("messages");

function show(name, text, failed = false) {
  const line = document.createElement("li");
  const author = document.createElement("strong");
  author.textContent = name;
  line.append(author, " ", text);
  line.classList.toggle("failed", failed);
  messages.append(line);
  line.scrollIntoView({ block: "nearest" });
}

client.on("request", (request) => {
  if (request.method !== "message") {
    request.reply(405);
    return;
  }
  const from = request.sender.username;
  show(`${from}:`, String(request.data.text));
  form.elements.to.value ||= from;
  request.reply(200);
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const to = form.elements.to.value;
  const text = form.elements.text.value;
  form.elements.text.value = "";
  try {
    await client.request("message", `/members/${encodeURIComponent(to)}`, { text });
    show("You:", text);
  } catch (error) {
    show("Not sent:", `${text} (${error.reason})`, true);
  }
});

client.on("refused", ({ reason }) => show("No chat:", reason, true));
client.connect();

document.addEventListener("click", (event) => {
  const name = event.target.dataset.writeTo;
  if (name) {
    form.elements.to.value = name;
    form.elements.text.focus();
  }
});
