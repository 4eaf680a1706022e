// The reference: Swagger UI on this API's own document, in the colours the reader prefers.
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
follow();
dark.addEventListener("change", follow);

// Whoever goes back here finds nothing of what was authorised or answered, and no open form.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// A generated command has no credential: curl asks for the key of -u, and secrets in a body are cut short.
const cut = (text) => text.replace(/\b(su[a-z]_)[0-9A-Za-z]{8,}/g, "$1…");
const usernameOf = (basic) => {
  try {
    return atob(basic).split(":")[0] || "USERNAME";
  } catch {
    return "USERNAME";
  }
};
const withoutSecrets = (request) => {
  const headers = request.get("headers");
  const name = headers && headers.keySeq().find((it) => it.toLowerCase() === "authorization");
  const body = request.get("body");
  let safe = request.set("url", cut(String(request.get("url"))));
  if (typeof body === "string") safe = safe.set("body", cut(body));
  if (!name) return safe;
  const [scheme, value] = headers.get(name).split(" ");
  if (scheme !== "Basic") return safe.setIn(["headers", name], scheme + " YOUR-KEY");
  return safe.deleteIn(["headers", name]).set("curlOptions", request.get("curlOptions").push("-u", usernameOf(value)));
};

const ours = ({ React }) => {
  const h = React.createElement;
  const Command = (Original) => (props) => h(Original, { ...props, request: withoutSecrets(props.request) });

  // One line for each error, which opens its description and example.
  const Answer = (Original) => function FoldedAnswer(props) {
    const [open, setOpen] = React.useState(false);
    if (!/^[45]/.test(props.code)) return h(Original, props);
    const why = String(props.response.get("description") || "").split(/\.\s/)[0].replace(/\.$|`/g, "");
    const toggle = h(
      "button",
      { type: "button", className: "fold", "aria-expanded": open, onClick: () => setOpen(!open) },
      h("b", null, props.code),
      " ",
      why,
    );
    return h(
      React.Fragment,
      null,
      h("tr", { className: "folded" }, h("td", { colSpan: 3 }, toggle)),
      open ? h(Original, props) : null,
    );
  };

  // The dialog asks for an API key, which is neither shown as it is typed nor made by the browser.
  const SignIn = () => function AskForKey({ schema, name, authorized, onChange, getComponent, errSelectors }) {
    const typed = React.useRef({});
    const basic = schema.get("scheme") === "basic";
    const given = authorized && authorized.getIn([name, "value"]);
    const tell = (event) => {
      const value = event.target.value;
      typed.current = { ...typed.current, [event.target.name]: value };
      onChange({ name, schema, value: basic ? typed.current : value });
    };
    const field = (id, label, attributes) =>
      h(
        "div",
        { className: "sign-in-field" },
        h("label", { htmlFor: id }, label),
        h("input", { id, type: "text", onChange: tell, autoCapitalize: "none", spellCheck: false, required: true, ...attributes }),
      );
    const key = (id) => field(id, "API key", { name: "password", type: "password", autoComplete: "off" });
    const errors = errSelectors.allErrors().filter((it) => it.get("authId") === name);
    return h(
      "div",
      null,
      h("h4", null, basic ? "With a username and one of its API keys" : "Or with an API key alone"),
      given
        ? h("p", null, basic ? "Signed in as " + given.get("username") + "." : "Signed in with a key.")
        : [
            basic ? h(React.Fragment, { key: "name" }, field("sign-in-username", "Username", { name: "username", autoComplete: "username" })) : null,
            h(React.Fragment, { key: "key" }, key(basic ? "sign-in-key" : "sign-in-bearer")),
          ],
      errors.valueSeq().map((error, place) => h(getComponent("authError"), { error, key: place })),
    );
  };
  return { wrapComponents: { curl: Command, response: Answer, HttpAuth: SignIn } };
};

SwaggerUIBundle({
  url: new URL("openapi.json", document.baseURI).href,
  domNode: document.getElementById("reference"),
  plugins: [ours],
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  filter: false,
  persistAuthorization: false, // a key stays in the page's memory, and goes with it
  validatorUrl: null, // else the document's address would be told to another host
});
