// What the pages cannot do without a script: passkeys. And what they do better with one: copying a key, warning
// before a session ends, and keeping a double click from doing a thing twice.

const find = (selector, below = document) => below.querySelector(selector);
const all = (selector) => document.querySelectorAll(selector);
const body = document.body;
const { root, me } = body.dataset;
let { csrf } = body.dataset;
const encode = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
const decode = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));

// Where a link of another site led to a page by way of the sign-in, that page waits for a second as well.
const asked = (page) => `${page}${page.includes("?") ? "&" : "?"}asked=1`;
const say = (text) => { find("#status").textContent = text; };

async function post(path, content) {
  const response = await fetch(root + path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Form-Token": csrf },
    body: JSON.stringify(content || {}),
  });
  if (response.status === 204) return {};
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const error = new Error(answer.detail || "That did not work. Try again.");
    error.signedOut = response.status === 401 && /^seen$|(confirm|add)-begin$/.test(path);
    throw error;
  }
  return answer;
}

// Passkeys

const withIds = (list) => (list || []).map((one) => ({ ...one, id: decode(one.id) }));

async function assertion(name) {
  const asked = await post(`passkey/${name}-begin`);
  const publicKey = { ...asked, challenge: decode(asked.challenge), allowCredentials: withIds(asked.allowCredentials) };
  const made = await navigator.credentials.get({ publicKey });
  const { clientDataJSON, authenticatorData, signature } = made.response;
  return post(`passkey/${name}-finish`, {
    id: encode(made.rawId),
    clientData: encode(clientDataJSON),
    authenticatorData: encode(authenticatorData),
    signature: encode(signature),
  });
}

async function registration(name, first, last) {
  const asked = await post(`passkey/${name}-begin`, first);
  const publicKey = {
    ...asked,
    challenge: decode(asked.challenge),
    user: { ...asked.user, id: decode(asked.user.id) },
    excludeCredentials: withIds(asked.excludeCredentials),
  };
  const { rawId, response } = await navigator.credentials.create({ publicKey });
  return post(`passkey/${name}-finish`, {
    ...last,
    passkey: {
      id: encode(rawId),
      clientData: encode(response.clientDataJSON),
      authenticatorData: encode(response.getAuthenticatorData()),
      publicKey: encode(response.getPublicKey()),
      algorithm: response.getPublicKeyAlgorithm(),
      transports: response.getTransports(),
    },
  });
}

const value = (form, name) => form.elements[name].value.trim();
const acts = {
  "sign-in": () => assertion("sign-in"),
  activate: (form) => {
    const token = value(form, "token");
    return registration("activate", { username: value(form, "username"), token }, { token, name: value(form, "name") });
  },
  enrol: (form) => {
    const code = value(form, "code");
    return registration("enrol", { username: value(form, "username"), code }, { code, name: value(form, "name") });
  },
  add: async (form) => {
    await confirmed();
    return registration("add", {}, { name: value(form, "name") });
  },
};

function explain(error) {
  if (error.name === "NotAllowedError") return "The passkey was not used: it was cancelled, or took too long. Try again.";
  if (error.name === "InvalidStateError") return "This device has a passkey of yours already. Sign in with it.";
  if (error.name === "SecurityError") return "Passkeys do not work at this address. Open the console by its host name.";
  return error.message;
}

async function attempt(form, work) {
  const button = find("button", form);
  const problem = find("[role=alert]", form);
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  problem.textContent = "";
  try {
    await work();
  } catch (error) {
    problem.textContent = explain(error);
    if (error.signedOut && me) ended();
  }
  button.setAttribute("aria-disabled", "false");
}

let confirmedUntil = Date.now() + 1000 * Number(body.dataset.confirmed || 0);

async function confirmed() {
  if (Date.now() < confirmedUntil - 5000) return;
  const { seconds } = await assertion("confirm");
  confirmedUntil = Date.now() + 1000 * seconds;
}

for (const form of all("form[data-passkey]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!window.PublicKeyCredential) {
      find("[role=alert]", form).textContent = "This browser has no passkeys. Use a current one.";
      return;
    }
    attempt(form, async () => {
      await acts[form.dataset.passkey](form);
      const { next: page = "", passkey } = form.dataset;
      const next = page && passkey === "sign-in" ? asked(page) : page;
      const kept = find("#kept-form");
      if (kept) kept.submit();
      else location.assign(root + next || "./");
    });
  });
}

for (const form of all("form[method=post]:not([data-passkey])")) {
  let ready = false;
  form.addEventListener("submit", (event) => {
    if (ready) {
      event.preventDefault();
    } else if ("confirm" in form.dataset && Date.now() >= confirmedUntil - 5000) {
      event.preventDefault();
      attempt(form, async () => {
        await confirmed();
        find("button", form).setAttribute("aria-disabled", "false");
        form.requestSubmit();
      });
    } else {
      ready = true;
      setTimeout(() => { ready = false; }, 8000);
    }
  });
}

// The page that shows keys

for (const button of all("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(text.textContent);
      say("Copied.");
    } catch {
      getSelection().selectAllChildren(text);
      say("It could not be copied. It is selected: copy it with your keyboard.");
    }
  });
}

if (body.dataset.keys) {
  history.replaceState(null, "", body.dataset.keys); // Reloading shows what there is now, and makes no second key.
  const kept = find("#kept");
  const guard = (event) => { if (!kept.checked) event.preventDefault(); };
  addEventListener("beforeunload", guard);
  // Browsers keep pages to go back to, "no-store" or not: without the key. The guard loads them anew.
  addEventListener("pagehide", () => {
    removeEventListener("beforeunload", guard);
    for (const key of all("code.key")) key.textContent = "";
  });
}

// Key types that the chosen role may not hold are not offered

const role = find("select[name=role]");
const groups = [...all("[data-roles]")];
if (role && groups.length) {
  const offer = () => {
    for (const group of groups) {
      const offered = group.dataset.roles.split(" ").includes(role.value);
      group.hidden = !offered;
      for (const box of group.querySelectorAll("input")) box.disabled = !offered;
    }
  };
  role.addEventListener("change", offer);
  addEventListener("pageshow", offer); // browsers fill in a form again that one goes back to
}

// Before a session ends, and after

const warning = find("#ending");
let end = Date.now() + 1000 * Number(body.dataset.left);
let last = Date.now() + 1000 * Number(body.dataset.longest);
let over = false;
let closed = 0; // the end of which somebody has closed the warning
// What is done in another tab keeps the session alive, too.
const tabs = new BroadcastChannel("session");
tabs.onmessage = ({ data }) => { if (data.me === me && !over) ({ end, last } = data); };
if (me) tabs.postMessage({ me, end, last });

function ended() {
  end = 0;
  if (over) return;
  over = true;
  find("#ending-title").textContent = "You are signed out";
  find("#ending-text").textContent = "Your session has ended. What you typed is still here: sign in, then go on.";
  find("#ending-stay").hidden = true;
  find("#ending-sign-in").hidden = false;
  if (!warning.open) warning.showModal();
  find("#ending-sign-in").focus();
}

async function resume() {
  const answer = await assertion("sign-in");
  if (answer.username !== me) return location.assign(root || "./");
  csrf = answer.csrf;
  for (const field of all("input[name=csrf]")) field.value = csrf;
  const now = Date.now();
  end = now + 1000 * answer.left;
  last = now + 1000 * answer.longest;
  confirmedUntil = now + 1000 * answer.confirmed;
  over = false;
  warning.close();
  say("You are signed in again. What you typed is still here.");
}

if (warning) {
  const problem = find("[role=alert]", warning);
  const title = find("#ending-title").textContent;
  const text = find("#ending-text");
  const tick = () => {
    const left = Math.round((end - Date.now()) / 1000);
    if (left <= 0) {
      ended();
    } else if (left <= 120 && closed !== end) {
      const longest = last - end < 1000;
      find("#ending-stay").hidden = longest;
      if (!warning.open) {
        find("#ending-title").textContent = title;
        find("#ending-sign-in").hidden = true;
        warning.showModal();
      }
      const why = longest ? "a session lasts 8 hours at most. Finish, or sign in again then." : "nothing was done for a while.";
      text.textContent = `You will be signed out in ${left > 60 ? "2 minutes" : "a minute"}: ${why}`;
    }
  };
  setInterval(tick, 1000);
  find("#ending-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = "";
    try {
      await post("seen");
      end = Math.min(Date.now() + 900000, last);
      tabs.postMessage({ me, end, last });
      warning.close();
      say("You stay signed in.");
    } catch (error) {
      if (error.signedOut) ended();
      else problem.textContent = error.message;
    }
  });
  find("#ending-sign-in").addEventListener("click", () => {
    problem.textContent = "";
    resume().catch((error) => { problem.textContent = explain(error); });
  });
  const close = () => { closed = end; warning.close(); };
  find("#ending-close").addEventListener("click", close);
  warning.addEventListener("cancel", close);
}
