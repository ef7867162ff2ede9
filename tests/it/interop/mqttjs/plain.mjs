// Ordinary MQTT through mqtt.js: everything outside the rooms.

import { Peer, V5, divided, forget, passTime, run, same, up } from "./peer.mjs";

const NOT_AUTHORIZED = 0x87;
const TAKEN_OVER = 0x8e;
const QUOTA_EXCEEDED = 0x97;
const numbers = (count, from = 0) => Array.from({ length: count }, (_, index) => index + from);
const sorted = (lists) => lists.flat().map((message) => Number(message.text)).sort((a, b) => a - b);

async function everyQosBothWaysIsTheLowerOfTheTwo() {
  const publisher = await up("qos-pub");
  for (const wanted of [0, 1, 2]) {
    const subscriber = await up(`qos-sub-${wanted}`);
    same("granted QoS", await subscriber.subscribe("qos/level", { qos: wanted }), wanted);
    for (const published of [0, 1, 2]) {
      await publisher.publish("qos/level", `${published}`, { qos: published });
      const got = await subscriber.expect("qos/level");
      same(`${published} to ${wanted}`, [got.text, got.qos], [`${published}`, Math.min(published, wanted)]);
    }
    await subscriber.down();
  }
  await publisher.down();
}

async function aPublishThatIsTooLargeDoesNotShutItsClientOut() {
  const peer = new Peer("poisoned", { clean: false, expiry: 60 });
  // It sends what is unacknowledged again whenever it is back, before anything else.
  peer.options.reconnectPeriod = 50;
  await peer.up();
  same("too large", await peer.publish("poison/large", Buffer.alloc(2_000_000)), V5 ? QUOTA_EXCEEDED : 0);
  same("what comes next", await peer.publish("poison/small", "x"), 0);
  await peer.down();
}

async function aBurstArrivesWholeAndInOrder() {
  const [publisher, subscriber] = [await up("burst-pub"), await up("burst-sub")];
  for (const qos of [1, 2]) {
    const topic = `burst/${qos}`;
    await subscriber.subscribe(topic, { qos: 2 });
    await Promise.all(numbers(200).map((number) => publisher.publish(topic, `${number}`, { qos })));
    const got = [];
    for (const _ of numbers(200)) got.push(Number((await subscriber.expect(topic)).text));
    same(`QoS ${qos} order`, got, numbers(200));
    await publisher.publish(topic, "end", { qos });
    same("nothing twice", (await subscriber.expect(topic)).text, "end");
  }
  await publisher.down();
  await subscriber.down();
}

async function wildcardsMatchByTheRules() {
  const publisher = await up("wild-pub");
  const topics = ["w/a", "w/a/b", "w", "/w", "w//b"];
  const wanted = {
    "w/+": ["w/a"],
    "w/#": ["w/a", "w/a/b", "w", "w//b"],
    "+/a/b": ["w/a/b"],
    "/+": ["/w"],
    "+/+": ["w/a", "/w"],
    "w/+/b": ["w/a/b", "w//b"],
  };
  for (const [filter, matching] of Object.entries(wanted)) {
    const subscriber = await up("wild-sub");
    await subscriber.subscribe(filter);
    await subscriber.subscribe("wild-end");
    for (const topic of topics) await publisher.publish(topic, "x");
    await publisher.publish("wild-end");
    same(`topics for ${filter}`, (await subscriber.before("wild-end")).map((m) => m.topic), matching);
    await subscriber.down();
  }
  await publisher.down();
}

async function dollarTopicsAreNotForClients() {
  const client = await up("dollar");
  for (const filter of ["#", "+/d", "$app/#"]) await client.subscribe(filter);
  same("publish", await client.publish("$app/d", "hidden"), V5 ? NOT_AUTHORIZED : 0);
  await client.publish("dollar-end");
  same("what came of it", (await client.before("dollar-end")).filter((m) => m.text === "hidden"), []);
  await client.down();
}

async function retainedMessagesAreSetFoundReplacedAndCleared() {
  const [publisher, early] = [await up("ret-pub"), await up("ret-early")];
  await early.subscribe("ret/+", { qos: 2 });
  for (const value of ["one", "two"]) {
    await publisher.publish("ret/a", value, { qos: 2, retain: true });
    const got = await early.expect("ret/a");
    same("to who was there", [got.text, got.retain], [value, false]);
  }
  const late = await up("ret-late");
  await late.subscribe("ret/#", { qos: 1 });
  const got = await late.expect("ret/a");
  same("to who came later", [got.text, got.retain, got.qos], ["two", true, 1]);
  await publisher.publish("ret/a", "", { retain: true });
  same("the clearing message", (await early.expect("ret/a")).text, "");
  const after = await up("ret-after");
  await after.subscribe("ret/#");
  await publisher.publish("ret/end");
  same("after clearing", (await after.before("ret/end")).length, 0);
  for (const client of [publisher, early, late, after]) await client.down();
}

async function aWillComesAfterACutAndNotAfterDisconnect() {
  const watcher = await up("will-watch");
  await watcher.subscribe("will/+", { qos: 2 });
  const will = (topic) => ({ will: { topic, payload: Buffer.from("lost"), qos: 2, retain: false } });
  await (await up("will-polite", will("will/polite"))).down();
  await (await up("will-cut", will("will/cut"))).drop();
  const got = await watcher.expect("will/cut");
  same("the will", [got.text, got.qos], ["lost", 2]);
  same("the will of who said goodbye", watcher.messages.length, 0);
  await watcher.down();
}

async function keepAliveIsEnforcedAndZeroTurnsItOff() {
  const patient = await up("alive-zero", { keepAlive: 0 });
  const pinging = await up("alive-one", { keepAlive: 1 });
  await passTime(2);
  for (const client of [patient, pinging]) {
    await client.subscribe("alive");
    await client.publish("alive", "yes");
    same(`${client.id} lives`, (await client.expect("alive")).text, "yes");
    await client.down();
  }
}

async function aPersistentSessionKeepsItsQueueInOrder() {
  const persistent = { clean: false, expiry: 300 };
  await forget("queue");
  const away = await up("queue", persistent);
  same("session present at first", away.sessionPresent, false);
  await away.subscribe("queue/#", { qos: 2 });
  await away.down();
  const publisher = await up("queue-pub");
  for (const qos of [1, 2]) {
    for (const number of numbers(15)) await publisher.publish(`queue/${qos}`, `${number}`, { qos });
  }
  const back = await up("queue", persistent);
  same("session present", back.sessionPresent, true);
  for (const qos of [1, 2]) {
    const got = [];
    for (const _ of numbers(15)) got.push(await back.expect(`queue/${qos}`));
    same("the queue", got.map((m) => [Number(m.text), m.qos]), numbers(15).map((number) => [number, qos]));
  }
  await back.drop();
  await publisher.publish("queue/1", "while cut");
  const again = await up("queue", persistent);
  same("after a cut", (await again.expect("queue/1")).text, "while cut");
  await again.down();
  const clean = await up("queue");
  same("a clean start forgets", clean.sessionPresent, false);
  await clean.subscribe("queue-end");
  await publisher.publish("queue/1", "nobody asked");
  await publisher.publish("queue-end");
  same("subscriptions forgotten", (await clean.before("queue-end")).length, 0);
  await clean.down();
  await publisher.down();
}

async function theSameClientIdTakesOver() {
  const first = await up("twin");
  const second = await up("twin");
  const reason = await first.lost();
  if (V5) same("reason for the first", reason, TAKEN_OVER);
  await second.subscribe("twin");
  await second.publish("twin", "still here");
  same("the second works", (await second.expect("twin")).text, "still here");
  await second.down();
}

async function aShareGivesEachMessageToOneMember() {
  const [publisher, everyone] = [await up("share-pub"), await up("share-all")];
  const members = [];
  for (const number of numbers(3)) {
    const member = await up(`share-${number}`);
    await member.subscribe("$share/team/share/jobs");
    members.push(member);
  }
  await everyone.subscribe("share/jobs");
  for (const number of numbers(60)) await publisher.publish("share/jobs", `${number}`);
  const all = await divided([everyone], "share/jobs", 60);
  same("who is in no share", all[0].map((m) => Number(m.text)), numbers(60));
  const taken = await divided(members, "share/jobs", 60);
  same("each to one member", sorted(taken), numbers(60));
  same("everybody had some", taken.every((list) => list.length > 0), true);
  await members.pop().down();
  for (const number of numbers(20, 60)) await publisher.publish("share/jobs", `${number}`);
  same("among who is left", sorted(await divided(members, "share/jobs", 20)), numbers(20, 60));
  for (const client of [publisher, everyone, ...members]) await client.down();
}

async function propertiesComeThrough() {
  const client = await up("props");
  await client.subscribe("props");
  const sent = {
    userProperties: { b: ["2", "3"], a: "1" },
    correlationData: Buffer.from([0, 1, 2]),
    responseTopic: "props/answers",
    contentType: "application/x-test",
    payloadFormatIndicator: true,
  };
  await client.publish("props", "x", sent);
  const got = (await client.expect("props")).properties;
  for (const name of Object.keys(sent)) {
    const plain = name === "userProperties" ? { ...got[name] } : got[name];
    same(name, plain, sent[name]);
  }
  await client.down();
}

async function expiredMessagesAreNotDelivered() {
  await forget("expiry");
  await (async (away) => {
    await away.subscribe("expiry/#");
    await away.down();
  })(await up("expiry", { clean: false, expiry: 300 }));
  const publisher = await up("expiry-pub");
  await publisher.publish("expiry/short", "x", { messageExpiryInterval: 1 });
  await publisher.publish("expiry/long", "x", { messageExpiryInterval: 100 });
  await passTime(2);
  const back = await up("expiry", { clean: false, expiry: 300 });
  const left = (await back.expect("expiry/long")).properties.messageExpiryInterval;
  same("what is left of 100 s", left >= 90 && left <= 98, true);
  await publisher.publish("expiry/end");
  same("the expired one", (await back.before("expiry/end")).length, 0);
  await back.down({ expiry: 0 });
  await publisher.down();
}

async function subscriptionIdentifiersSayWhichFilter() {
  const client = await up("subid");
  await client.subscribe("subid/a", { identifier: 1 });
  await client.subscribe("subid/#", { identifier: 70000 });
  await client.subscribe("subid-end");
  await client.publish("subid/a", "x");
  await client.publish("subid-end");
  const found = (await client.before("subid-end")).flatMap((m) => m.properties.subscriptionIdentifier);
  same("identifiers", found.sort((a, b) => a - b), [1, 70000]);
  await client.down();
}

async function noLocalAndRetainOptionsAreHonoured() {
  const client = await up("options");
  await client.subscribe("local", { nl: true });
  await client.subscribe("local-end");
  await client.publish("local", "own");
  await client.publish("local-end");
  same("own messages", (await client.before("local-end")).length, 0);
  await client.subscribe("rap", { rap: true });
  await client.publish("rap", "x", { retain: true });
  same("retain as published", (await client.expect("rap")).retain, true);
  for (const [handling, expected] of [[0, [1, 1]], [1, [0, 0]], [2, [0, 0]]]) {
    const got = [];
    for (const _ of numbers(2)) {
      await client.subscribe("rap", { rap: true, rh: handling });
      await client.publish("local-end");
      got.push((await client.before("local-end")).length);
    }
    same(`retain handling ${handling}`, got, expected);
  }
  await client.publish("rap", "", { retain: true });
  await client.down();
}

async function sessionsExpireWhenTheySaid() {
  await forget("expire");
  const present = async (expiry) => {
    const client = await up("expire", { clean: false, expiry });
    return [client, client.sessionPresent];
  };
  let [client, there] = await present(0);
  await client.down();
  [client, there] = await present(100);
  same("expiry 0 ends with the connection", there, false);
  await client.down();
  [client, there] = await present(1);
  same("expiry 100 outlives it", there, true);
  await client.down();
  await passTime(2);
  [client, there] = await present(100);
  same("expiry 1 is over after 2 s", there, false);
  await client.down({ expiry: 0 });
  [client, there] = await present(0);
  same("DISCONNECT can end it", there, false);
  await client.down();
}

async function anEmptyClientIdIsGivenOne() {
  const client = await up("");
  same("assigned", client.connack.properties.assignedClientIdentifier.length > 0, true);
  await client.subscribe("assigned");
  await client.publish("assigned", "works");
  same("it works", (await client.expect("assigned")).text, "works");
  await client.down();
}

const checks = [
  everyQosBothWaysIsTheLowerOfTheTwo,
  aBurstArrivesWholeAndInOrder,
  aPublishThatIsTooLargeDoesNotShutItsClientOut,
  wildcardsMatchByTheRules,
  dollarTopicsAreNotForClients,
  retainedMessagesAreSetFoundReplacedAndCleared,
  aWillComesAfterACutAndNotAfterDisconnect,
  keepAliveIsEnforcedAndZeroTurnsItOff,
  aPersistentSessionKeepsItsQueueInOrder,
  theSameClientIdTakesOver,
  aShareGivesEachMessageToOneMember,
];
const onlyIn5 = [
  propertiesComeThrough,
  expiredMessagesAreNotDelivered,
  subscriptionIdentifiersSayWhichFilter,
  noLocalAndRetainOptionsAreHonoured,
  sessionsExpireWhenTheySaid,
  anEmptyClientIdIsGivenOne,
];
await run(V5 ? [...checks, ...onlyIn5] : checks);
