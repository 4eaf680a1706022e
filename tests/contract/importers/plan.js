// What both scripts share: their arguments, and the requests of a collection in the order of a plan.
const fs = require("node:fs");

const plan = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const write = (results) => fs.writeFileSync(process.argv[3], JSON.stringify(results));

// The requests of a collection, out of their folders.
const requestsOf = (items) => items.flatMap((it) => (it.item || it.items ? requestsOf(it.item || it.items) : [it]));

// The call that a request makes, as the document names it: POST /v1/users/{username}/suspend.
const callOf = (method, path) => `${method} /${path.map((it) => it.replace(/^:(.*)/, "{$1}")).join("/")}`;

// Return the plan's requests, each with its step, and with what the step replaces in it.
function ordered(items, call) {
  const found = new Map(requestsOf(items).map((item) => [call(item), item]));
  if (found.size !== plan.steps.length || plan.steps.some((step) => !found.has(step.call))) {
    throw new Error(`The plan has other requests than the collection: ${[...found.keys()].sort().join(", ")}`);
  }
  return plan.steps.map((step) => {
    const text = JSON.stringify(found.get(step.call));
    const replaced = Object.entries(step.replace).reduce((made, [old, now]) => made.replaceAll(old, now), text);
    return { step, item: JSON.parse(replaced) };
  });
}

function exitWith(error) {
  console.error(error);
  process.exitCode = 1;
}

module.exports = { plan, write, callOf, ordered, exitWith };
