// Import the OpenAPI document as Postman does, and make the requests of a plan with Newman.
//
//     node postman.js PLAN.JSON RESULTS.JSON
const newman = require("newman");
const converter = require("openapi-to-postmanv2");
const { plan, write, callOf, ordered, exitWith } = require("./plan.js");

function imported() {
  return new Promise((resolve, reject) => {
    converter.convertV2({ type: "json", data: plan.document }, plan.options, (error, result) => {
      if (error || !result.result) reject(error || new Error(result.reason));
      else resolve(result.output[0].data);
    });
  });
}

function filled({ step, item }) {
  for (const variable of item.request.url.variable) variable.value = step.path[variable.key] ?? variable.value;
  return { ...item, name: step.operation };
}

async function main() {
  const collection = await imported();
  const item = ordered(collection.item, ({ request }) => callOf(request.method, request.url.path)).map(filled);
  const envVar = Object.entries(plan.variables).map(([key, value]) => ({ key, value }));
  newman.run({ collection: { ...collection, item }, envVar, reporters: [] }, (error, summary) => {
    if (error) throw error;
    write(
      summary.run.executions.map((made) => ({
        operation: made.item.name,
        request: `${made.request.method} ${made.request.url}`,
        status: made.response ? made.response.code : 0,
        body: made.response ? made.response.stream.toString() : String(made.requestError),
      })),
    );
  });
}

main().catch(exitWith);
