/** The library as it is published, for tests in another language: a call a line on standard input, its answer on output. */
import { createInterface } from "node:readline";
import { getCoordinationClient } from "../../dist/index.js";

const client = await getCoordinationClient(JSON.parse(process.argv[2]));
console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  const [operation, ...args] = JSON.parse(line);
  const answer = await client[operation](...args).then(
    (result) => ({ result }),
    ({ code, message }) => ({ code, message }),
  );
  console.log(JSON.stringify(answer));
}
client.close();
