// A customer's steps with openapi-fetch, by the types that openapi-typescript makes of the document.
import createClient from "openapi-fetch";
import { basic, check, owner, same } from "./owner";
import type { paths } from "./generated/schema";

const signedIn = (username: string, key: string) =>
  createClient<paths>({ baseUrl: owner.baseUrl, headers: basic(username, key) });
const admin = signedIn(owner.username, owner.apiKey);
const params = { path: { username: "fetch-bot" } };
const ofType = { path: { username: "fetch-bot", keyType: "MONITORING" as const } };

const body = {
  username: "fetch-bot",
  email: "fetch-bot@demo.example",
  role: "READ_ONLY" as const,
  keyTypes: ["MONITORING" as const],
  labels: { team: "walkers" },
};
const made = check(await admin.POST("/v1/service-users", { body }), 201);
const first = made.apiKeys.apiKeys[0];
same(first.key.slice(-5), first.last5);
const taken = await admin.POST("/v1/service-users", { body });
same([taken.response.status, taken.error?.status], [409, 409]);

const bot = signedIn("fetch-bot", first.key);
same(check(await bot.GET("/v1/whoami"), 200).kind, "SERVICE_USER");
const rotated = check(await bot.POST("/v1/api-keys/rotate", { body: { overlapSeconds: 60 } }), 200);
const again = signedIn("fetch-bot", rotated.key);
same(check(await bot.GET("/v1/whoami"), 200).key.predecessor?.last5, first.last5);
check(await again.GET("/v1/whoami"), 200);

const elsewhere = { allowedNetworks: ["203.0.113.0/24"] };
check(await admin.PATCH("/v1/service-users/{username}/api-keys/{keyType}", { params: ofType, body: elsewhere }), 200);
check(await again.GET("/v1/whoami"), 403);
const read = check(await admin.GET("/v1/service-users/{username}/api-keys/{keyType}", { params: ofType }), 200);
same(read.allowedNetworks, ["203.0.113.0/24"]);

const other = { ...body, username: "fetch-bot-2", email: "fetch-bot-2@demo.example" };
check(await admin.POST("/v1/service-users", { body: other }), 201);
const names: string[] = [];
for (let cursor: string | undefined, more = true; more; ) {
  const query = { limit: 1, cursor, label: "team:walkers" };
  const page = await admin.GET("/v1/service-users", { params: { query } });
  names.push(...check(page, 200).map((it) => it.username));
  cursor = page.response.headers.get("Next-Cursor") ?? undefined;
  more = cursor !== undefined;
}
same(names, ["fetch-bot", "fetch-bot-2"]);
const newest = check(await admin.GET("/v1/service-users", { params: { query: { sort: "newest", limit: 1 } } }), 200);
same(newest.map((it) => it.username), ["fetch-bot-2"]);
const events = check(await admin.GET("/v1/events", { params: { query: { username: "fetch-bot" } } }), 200);
// The call has other forms too (JSON lines, CSV), so its type is all of them.
same(typeof events === "string" ? events : events.at(-1)?.action, "SERVICE_USER_CREATED");

check(await admin.DELETE("/v1/service-users/{username}/api-keys/{keyType}", { params: ofType }), 204);
check(await admin.DELETE("/v1/service-users/{username}", { params }), 204);
check(await admin.DELETE("/v1/service-users/{username}", { params: { path: { username: "fetch-bot-2" } } }), 204);
check(await admin.GET("/v1/service-users/{username}", { params }), 404);
console.log("openapi-fetch went through the walk.");
