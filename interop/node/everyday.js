"use strict";
// Everyday work of node-zookeeper-client against a server: node everyday.js host:port.
// Prints a line per step and ends non-zero at the first surprise.

const assert = require("assert");
const zookeeper = require("node-zookeeper-client");

const { CreateMode, Exception, Event } = zookeeper;
const address = process.argv[2];
const root = `/node-${process.pid}-${Date.now()}`;
const WAIT_MS = 20000;

const step = (text) => console.log("node:", text);

function connect() {
  const client = zookeeper.createClient(address, { sessionTimeout: 10000 });
  return new Promise((resolve) => {
    client.once("connected", () => resolve(client));
    client.connect();
  });
}

/** Calls a client method and gives all its results, as in call(client, "getData", path). */
function call(client, method, ...parameters) {
  return new Promise((resolve, reject) => {
    client[method](...parameters, (error, ...results) => {
      if (error) {
        reject(error);
      } else {
        resolve(results);
      }
    });
  });
}

async function refused(code, promise) {
  await assert.rejects(promise, (error) => error.getCode && error.getCode() === Exception[code]);
}

/** Sets a one-shot watch by a read; gives the pending event, boxed, once the read is answered. */
async function watching(client, method, path) {
  let fired;
  const event = new Promise((resolve) => {
    fired = resolve;
  });
  await call(client, method, path, fired);
  return { event };
}

async function everyday(client) {
  step("create in each mode");
  assert.deepStrictEqual(await call(client, "create", root), [root]);
  await call(client, "create", `${root}/p`, Buffer.from("one"));
  const [sequential] = await call(client, "create", `${root}/s-`, null, null,
    CreateMode.PERSISTENT_SEQUENTIAL);
  assert.strictEqual(sequential, `${root}/s-0000000001`);
  await call(client, "create", `${root}/e`, null, null, CreateMode.EPHEMERAL);
  const [guarded] = await call(client, "create", `${root}/es-`, null, null,
    CreateMode.EPHEMERAL_SEQUENTIAL);
  assert.strictEqual(guarded, `${root}/es-0000000003`);
  await call(client, "mkdirp", `${root}/a/b/c`);
  await refused("NODE_EXISTS", call(client, "create", `${root}/p`));
  await refused("NO_NODE", call(client, "create", `${root}/none/x`));

  step("get, set, exists, children, delete");
  let [data, stat] = await call(client, "getData", `${root}/p`);
  assert.strictEqual(data.toString(), "one");
  assert.strictEqual(stat.version, 0);
  [stat] = await call(client, "setData", `${root}/p`, Buffer.from("two"), 0);
  assert.strictEqual(stat.version, 1);
  await refused("BAD_VERSION", call(client, "setData", `${root}/p`, Buffer.from("x"), 0));
  const [missing] = await call(client, "exists", `${root}/none`);
  assert.ok(!missing);
  const [names] = await call(client, "getChildren", root);
  assert.deepStrictEqual(names.sort(), ["a", "e", "es-0000000003", "p", "s-0000000001"]);
  await refused("NOT_EMPTY", call(client, "remove", `${root}/a`));
  for (const path of ["a/b/c", "a/b", "a"]) {
    await call(client, "remove", `${root}/${path}`);
  }
  await call(client, "remove", sequential, 0);
}

async function watches(client, other) {
  step("watches: exists, getData, getChildren");
  const path = `${root}/watched`;
  let seen = await watching(client, "exists", path);
  await call(other, "create", path);
  assert.strictEqual((await seen.event).getType(), Event.NODE_CREATED);
  seen = await watching(client, "getData", path);
  await call(other, "setData", path, Buffer.from("x"));
  assert.strictEqual((await seen.event).getType(), Event.NODE_DATA_CHANGED);
  seen = await watching(client, "getChildren", path);
  await call(other, "create", `${path}/c`);
  assert.strictEqual((await seen.event).getType(), Event.NODE_CHILDREN_CHANGED);
  seen = await watching(client, "getData", `${path}/c`);
  await call(other, "remove", `${path}/c`);
  assert.strictEqual((await seen.event).getType(), Event.NODE_DELETED);
}

async function transaction(client) {
  step("transaction, done and failed");
  const good = client.transaction().create(`${root}/t`, Buffer.from("0"))
    .setData(`${root}/t`, Buffer.from("1"), 0).check(`${root}/t`, 1).create(`${root}/t/c`)
    .remove(`${root}/t/c`, 0);
  await call(good, "commit");
  const [data] = await call(client, "getData", `${root}/t`);
  assert.strictEqual(data.toString(), "1");
  const bad = client.transaction().create(`${root}/t/never`).check(`${root}/t`, 9);
  await refused("BAD_VERSION", call(bad, "commit"));
  const [never] = await call(client, "exists", `${root}/t/never`);
  assert.ok(!never);
}

async function acl(client, other) {
  step("ACL with digest auth");
  client.addAuthInfo("digest", Buffer.from("joe:secret"));
  await call(client, "create", `${root}/acl`, Buffer.from("mine"), zookeeper.ACL.CREATOR_ALL_ACL);
  await refused("NO_AUTH", call(other, "getData", `${root}/acl`));
  const [list] = await call(client, "getACL", `${root}/acl`);
  assert.strictEqual(list[0].id.scheme, "digest");
  await call(client, "setACL", `${root}/acl`, zookeeper.ACL.READ_ACL_UNSAFE, 0);
  const [data] = await call(other, "getData", `${root}/acl`);
  assert.strictEqual(data.toString(), "mine");
}

async function main() {
  const client = await connect();
  const other = await connect();
  await everyday(client);
  await watches(client, other);
  await transaction(client);
  await acl(client, other);
  step("close: ephemerals gone");
  const gone = await watching(other, "exists", `${root}/e`);
  client.close();
  assert.strictEqual((await gone.event).getType(), Event.NODE_DELETED);
  other.close();
  step("done");
}

const limit = setTimeout(() => {
  console.error("node: FAILED: took too long");
  process.exit(1);
}, 6 * WAIT_MS);
main().then(() => clearTimeout(limit), (error) => {
  console.error("node: FAILED:", error);
  process.exit(1);
});
