// Import the OpenAPI document as Bruno does, and make the requests of a plan as `bru run` would.
//
//     node bruno.js PLAN.JSON RESULTS.JSON
//
// Bruno's own command line has 330 packages more than its importer, so it is not used here.
const { openApiToBruno } = require("@usebruno/converters");
const { plan, write, callOf, ordered, exitWith } = require("./plan.js");

const PREFIX = "{{baseUrl}}/";
const value = (text) => text.replace(/\{\{(\w+)\}\}/g, (_, name) => plan.variables[name]);

async function made({ step, item }, collectionAuth) {
  const { method, url, params, headers, body, auth } = item.request;
  const enabled = params.filter((it) => it.enabled);
  const inPath = Object.fromEntries(enabled.filter((it) => it.type === "path").map((it) => [it.name, it.value]));
  const query = new URLSearchParams(enabled.filter((it) => it.type === "query").map((it) => [it.name, it.value]));
  const path = url.split("/").map((it) => (it.startsWith(":") ? step.path[it.slice(1)] ?? inPath[it.slice(1)] : it));
  const address = [value(path.join("/")), String(query)].filter(Boolean).join("?");

  const sent = new Headers(headers.filter((it) => it.enabled).map((it) => [it.name, value(it.value)]));
  const { mode, basic } = auth.mode === "inherit" ? collectionAuth : auth;
  if (mode === "basic") {
    sent.set("Authorization", `Basic ${btoa(`${value(basic.username)}:${value(basic.password)}`)}`);
  }
  if (body.mode === "json") sent.set("Content-Type", "application/json");
  const content = body.mode === "json" ? body.json : undefined;
  const response = await fetch(address, { method, headers: sent, body: content });
  const text = await response.text();
  return { operation: step.operation, request: `${method} ${address}`, status: response.status, body: text };
}

async function main() {
  const collection = await openApiToBruno(plan.document);
  const call = ({ request }) => callOf(request.method, request.url.slice(PREFIX.length).split("/"));
  const results = [];
  for (const each of ordered(collection.items, call)) {
    results.push(await made(each, collection.root.request.auth));
  }
  write(results);
}

main().catch(exitWith);
