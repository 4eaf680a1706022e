// What both walks share: the OWNER of `make run`, how to sign in, and checks.
import { readFileSync } from "node:fs";

export const owner = JSON.parse(readFileSync(process.argv[2], "utf8")) as {
  baseUrl: string;
  username: string;
  apiKey: string;
};

export const basic = (username: string, key: string) => ({
  Authorization: `Basic ${Buffer.from(`${username}:${key}`).toString("base64")}`,
});

/** Return what a call returned. Throw if its status is another, or if it has no data. */
export function check<T>(answer: { data?: T; error?: unknown; response?: Response }, status: number): T {
  const { response, data, error } = answer;
  if (response?.status !== status) throw new Error(`${response?.status}, not ${status}: ${JSON.stringify(error)}`);
  return data as T;
}

export function same(found: unknown, wanted: unknown): void {
  const [one, other] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (one !== other) throw new Error(`${one} is not ${other}`);
}
