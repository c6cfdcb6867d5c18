// The official TypeScript SDKs as clients of the gateway: typescript.mjs <v1|v2|v2-stateless> <url>.
// Lists, calls, reads, follows progress and cancels; the first thing that is not as it should be ends it with an error.
import assert from "node:assert/strict";

const [which, url] = process.argv.slice(2);

/** A connected client of one of the SDKs. */
async function connect() {
  const about = { name: "real-client", version: "1.0.0" };
  if (which === "v1") {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const client = new Client(about);
    await client.connect(new StreamableHTTPClientTransport(new URL(url)));
    // Its second argument is a schema, its third the options.
    return { client, call: (params, options) => client.callTool(params, undefined, options) };
  }
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const versionNegotiation = { mode: which === "v2-stateless" ? "auto" : "legacy" };
  const client = new Client(about, { versionNegotiation });
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  const version = client.getNegotiatedProtocolVersion();
  assert.equal(version === "2026-07-28", which === "v2-stateless", `it speaks ${version}`);
  return { client, call: (params, options) => client.callTool(params, options) };
}

const { client, call } = await connect();
const text = (result) => result.content[0].text;
const cancelled = async () => Number(text(await call({ name: "fixture_test_waits_cancelled", arguments: {} })));

const tools = (await client.listTools()).tools.map((tool) => tool.name);
assert.ok(tools.includes("fixture_test_simple_text") && tools.every((name) => name.startsWith("fixture_")), tools);
const prompts = (await client.listPrompts()).prompts.map((prompt) => prompt.name);
assert.ok(prompts.includes("fixture_test_simple_prompt"), prompts);
const resources = (await client.listResources()).resources.map((resource) => resource.uri);
const uri = resources.find((uri) => uri.endsWith("test://static-text"));
assert.ok(uri, resources);

const simple = await call({ name: "fixture_test_simple_text", arguments: {} });
assert.equal(text(simple), "This is a simple text response for testing.");
const read = await client.readResource({ uri });
assert.equal(read.contents[0].text, "This is the content of the static text resource.");
assert.equal(read.contents[0].uri, uri);
const prompt = await client.getPrompt({
  name: "fixture_test_prompt_with_arguments",
  arguments: { arg1: "a", arg2: "b" },
});
assert.equal(prompt.messages[0].content.text, "Prompt with arguments: arg1='a', arg2='b'");

const steps = [];
await call({ name: "fixture_test_tool_with_progress", arguments: {} }, { onprogress: (step) => steps.push(step.progress) });
assert.deepEqual(steps, [0, 50, 100]);

const before = await cancelled();
const stop = new AbortController();
const waiting = call({ name: "fixture_test_wait", arguments: {} }, { signal: stop.signal, onprogress: () => stop.abort() });
await assert.rejects(waiting);
const deadline = Date.now() + 5_000;
while ((await cancelled()) === before) {
  assert.ok(Date.now() < deadline, "the call goes on upstream");
  await new Promise((resolve) => setTimeout(resolve, 50));
}
await client.close();
console.log("all is well");
