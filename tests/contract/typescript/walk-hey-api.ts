// A customer's steps with the client that @hey-api/openapi-ts generates from the document.
import { basic, check, owner, same } from "./owner";
import { createClient } from "./generated/hey/client";
import {
  createServiceUser,
  deleteServiceUser,
  listEvents,
  listServiceUsers,
  readServiceUser,
  readServiceUserKey,
  restrictServiceUserKeyOfType,
  revokeServiceUserKeyOfType,
  rotateOwnKey,
  whoami,
} from "./generated/hey";

const signedIn = (username: string, key: string) =>
  createClient({ baseUrl: owner.baseUrl, headers: basic(username, key) });
const client = signedIn(owner.username, owner.apiKey);
const path = { username: "hey-bot" };
const ofType = { username: "hey-bot", keyType: "MONITORING" as const };

const body = {
  username: "hey-bot",
  email: "hey-bot@demo.example",
  role: "READ_ONLY" as const,
  keyTypes: ["MONITORING" as const],
  labels: { team: "hikers" },
};
const made = check(await createServiceUser({ client, body }), 201);
const first = made.apiKeys.apiKeys[0];
same(first.key.slice(-5), first.last5);
const taken = await createServiceUser({ client, body });
same([taken.response?.status, taken.error?.status], [409, 409]);

const bot = signedIn("hey-bot", first.key);
same(check(await whoami({ client: bot }), 200).kind, "SERVICE_USER");
const rotated = check(await rotateOwnKey({ client: bot, body: { overlapSeconds: 60 } }), 200);
const again = signedIn("hey-bot", rotated.key);
same(check(await whoami({ client: bot }), 200).key.predecessor?.last5, first.last5);
check(await whoami({ client: again }), 200);

const elsewhere = { allowedNetworks: ["203.0.113.0/24"] };
check(await restrictServiceUserKeyOfType({ client, path: ofType, body: elsewhere }), 200);
check(await whoami({ client: again }), 403);
const read = check(await readServiceUserKey({ client, path: ofType }), 200);
same(read.allowedNetworks, ["203.0.113.0/24"]);

const other = { ...body, username: "hey-bot-2", email: "hey-bot-2@demo.example" };
check(await createServiceUser({ client, body: other }), 201);
const names: string[] = [];
for (let cursor: string | undefined, more = true; more; ) {
  const page = await listServiceUsers({ client, query: { limit: 1, cursor, label: "team:hikers" } });
  names.push(...check(page, 200).map((it) => it.username));
  cursor = page.response?.headers.get("Next-Cursor") ?? undefined;
  more = cursor !== undefined;
}
same(names, ["hey-bot", "hey-bot-2"]);
const newest = check(await listServiceUsers({ client, query: { sort: "newest", limit: 1 } }), 200);
same(newest.map((it) => it.username), ["hey-bot-2"]);
const events = check(await listEvents({ client, query: { username: "hey-bot" } }), 200);
// The call has other forms too (JSON lines, CSV), so its type is all of them.
same(typeof events === "string" ? events : events.at(-1)?.action, "SERVICE_USER_CREATED");

check(await revokeServiceUserKeyOfType({ client, path: ofType }), 204);
check(await deleteServiceUser({ client, path }), 204);
check(await deleteServiceUser({ client, path: { username: "hey-bot-2" } }), 204);
check(await readServiceUser({ client, path }), 404);
console.log("@hey-api/openapi-ts went through the walk.");
