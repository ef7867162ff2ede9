// Puts this SDK behind lines of JSON, for sdk/conformance/run.py. See the README there.

import { createInterface } from "node:readline";

import * as hallward from "hallward";

const { HallwardAgents, HallwardError } = hallward;

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const tell = (event, fields) => say({ event, ...fields });
const quiet = { debug: () => {}, warn: console.error, error: console.error };

let agents;
let lastRoom;
let worker;
let draining;
/** Handlers that wait for `finish`, `fail`, `results.ack` or `inbox.ack`, by what they wait for. */
const held = new Map();
const taskHandles = new Map();
let tokens = 0;

const hold = (key) =>
  new Promise((resolve, reject) => {
    held.set(key, { resolve, reject });
  });

function letGo(key) {
  const waiting = held.get(key);
  if (!waiting) throw new HallwardError("NotFound", `nothing waits for ${key}`);
  held.delete(key);
  return waiting;
}

function roomOf(request) {
  if (request.room !== undefined) return agents.joinRoom(request.room);
  if (!lastRoom) throw new HallwardError("Invalid", "join a room first");
  return lastRoom;
}

function call(request) {
  return request.timeoutMs === undefined ? {} : { timeout: request.timeoutMs };
}

// Tasks.

/** The wire's fields as this SDK takes them. */
function taskOf(task) {
  const { notBeforeMs, ttlMs, leaseMs, backoff, ...same } = task;
  return {
    ...same,
    ...(notBeforeMs != null && { notBefore: notBeforeMs }),
    ...(ttlMs != null && { ttl: ttlMs }),
    ...(leaseMs != null && { lease: leaseMs }),
    ...(backoff != null && {
      backoff: { initial: backoff.initialMs, factor: backoff.factor, max: backoff.maxMs },
    }),
  };
}

const resultOf = (result) => ({
  task: result.task,
  type: result.taskType,
  status: result.status,
  final: result.final,
  result: result.data,
  part: result.part,
  error: result.error,
  attempts: result.attempts,
  worker: result.worker,
  correlationId: result.correlationId,
});

function handleOf(room, id) {
  const known = taskHandles.get(id) ?? room.handoff.task(id);
  taskHandles.set(id, known);
  return known;
}

/** A queue of one: what begins in the order of requests is asked for before anything is awaited. */
const ops = {
  async connect({ url, agent, protocol, encoding, ephemeral, window }) {
    agents = new HallwardAgents(url, {
      agent,
      logger: quiet,
      ...(protocol && { protocol }),
      ...(encoding && { encoding }),
      ...(ephemeral && { ephemeral }),
      ...(window && { window }),
    });
    agents.onStatus((status) => tell("status", status));
    await agents.connect();
    return {};
  },

  async join({ room }) {
    lastRoom = agents.joinRoom(room);
    await lastRoom.ready;
    return {};
  },

  async announce(request) {
    await roomOf(request).announce(request.announcement, call(request));
    return {};
  },

  async agents(request) {
    const { role, status, capability, connection } = request;
    const filter = { role, status, capability, connection };
    return { agents: await roomOf(request).agents(filter, call(request)) };
  },

  async "presence.watch"(request) {
    const changes = roomOf(request).presence.watch();
    follow(changes, ({ agent, presence }) => {
      tell("presence", presence ?? { agent, gone: true });
    });
    return {};
  },

  async dispatch(request) {
    const handle = await roomOf(request).handoff.dispatch(taskOf(request.task), call(request));
    taskHandles.set(handle.id, handle);
    return { task: handle.id };
  },

  async result(request) {
    return resultOf(await handleOf(roomOf(request), request.task).result(call(request)));
  },

  async run(request) {
    return resultOf(await roomOf(request).handoff.run(taskOf(request.task), call(request)));
  },

  async stream(request) {
    let last;
    for await (const part of handleOf(roomOf(request), request.task).stream(call(request))) {
      if (part instanceof hallward.Question) continue;
      if (!part.final) tell("part", { task: part.task, part: part.part, result: part.data });
      last = part;
    }
    return resultOf(last);
  },

  async results(request) {
    roomOf(request).handoff.onResult(
      async (result) => {
        tell("result", resultOf(result));
        if (request.hold) await hold(`result ${result.task}`);
      },
      { concurrency: 256 },
    );
    return {};
  },

  async "results.ack"({ task }) {
    letGo(`result ${task}`).resolve();
    return {};
  },

  get: (request) => {
    const { payload } = request;
    return roomOf(request).handoff.get(request.task, { ...call(request), payload });
  },

  list: ({ n, op, room, timeoutMs, ...query }) =>
    roomOf({ room }).handoff.listPage(query, call({ timeoutMs })),

  async cancel(request) {
    const { task, group, reason } = request;
    await roomOf(request).handoff.cancel(task ?? { group }, { ...call(request), reason });
    return {};
  },

  async redrive(request) {
    const { handoff } = roomOf(request);
    const { task, type, limit } = request;
    if (type === undefined) {
      await handoff.redrive(task, call(request));
      return {};
    }
    return handoff.redriveAll(type, { ...call(request), limit });
  },

  group: (request) => roomOf(request).handoff.group(request.group).result(call(request)),

  // The worker.

  async worker(request) {
    const { tasks = {}, tools = {}, capacity, announcement, graceMs } = request;
    worker = roomOf(request).worker({
      ...(capacity != null && { capacity }),
      ...(announcement != null && { announcement }),
      ...(graceMs != null && { grace: graceMs }),
    });
    for (const [type, said] of Object.entries(tasks)) {
      const { does, capabilities } = typeof said === "string" ? { does: said } : said;
      worker.task(type, capabilities ? { capabilities } : {}, (task) => {
        tell("task", {
          task: task.id,
          attempt: task.attempt,
          type: task.type,
          payload: task.payload,
          lastProgress: task.lastProgress,
        });
        const names = { task: task.id, attempt: task.attempt };
        return watched(names, task, () => taskBehaviours[does](task));
      });
    }
    for (const [name, said] of Object.entries(tools)) {
      const tool = typeof said === "string" ? { does: said } : said;
      const { does, timeoutMs, approval, ...spec } = tool;
      const { timeoutMs: decideMs, ...asks } = approval ?? {};
      const more = {
        ...spec,
        ...(timeoutMs != null && { timeout: timeoutMs }),
        ...(approval && { approval: { ...asks, ...(decideMs != null && { timeout: decideMs }) } }),
      };
      worker.tool(name, more, (args, inHand) => {
        tell("task", { call: inHand.id, tool: name, arguments: args });
        return watched({ call: inHand.id }, inHand, () => toolBehaviours[does](args, inHand));
      });
    }
    await worker.start();
    return {};
  },

  async finish({ task, value }) {
    letGo(`task ${task}`).resolve(value);
    return {};
  },

  async fail({ task, message, retryable = true }) {
    const error = retryable ? new Error(message) : new hallward.Fatal(message);
    letGo(`task ${task}`).reject(error);
    return {};
  },

  async progress({ task, value }) {
    await inHand.get(task).progress(value);
    return {};
  },

  async drain() {
    await stopInOrder();
    return {};
  },

  // Inbox.

  async "inbox.send"(request) {
    const { to, json, text, base64 } = request;
    const bytes = base64 ?? (text === undefined ? undefined : Buffer.from(text).toString("base64"));
    const body = bytes === undefined ? json : new Uint8Array(Buffer.from(bytes, "base64"));
    await roomOf(request).inbox.send(to, body, call(request));
    return {};
  },

  async "inbox.listen"(request) {
    roomOf(request).inbox.onMessage(
      async (message) => {
        tokens += 1;
        const token = String(tokens);
        tell("inbox", { from: message.from, token, ...contentOf(message) });
        if (request.hold) await hold(`inbox ${token}`);
      },
      { concurrency: 1_000 },
    );
    return {};
  },

  async "inbox.ack"({ token }) {
    letGo(`inbox ${token}`).resolve();
    return {};
  },

  // Blackboard.

  "blackboard.set": (request) => {
    const { key, value, ifVersion, merge, ttlMs, fence } = request;
    const options = { ...call(request), ...given({ ifVersion, merge, ttl: ttlMs, fence }) };
    return roomOf(request).blackboard.set(key, value, options);
  },

  "blackboard.delete": (request) => {
    const { key, ifVersion, fence } = request;
    const options = { ...call(request), ...given({ ifVersion, fence }) };
    return roomOf(request).blackboard.delete(key, options);
  },

  async "blackboard.fetch"(request) {
    const entry = await roomOf(request).blackboard.fetch(request.key, call(request));
    return { entry: entry ?? null };
  },

  "blackboard.snapshot": (request) => {
    const { prefix, revision } = request;
    return roomOf(request).blackboard.snapshot({
      ...call(request),
      ...given({ prefix, revision }),
    });
  },

  "blackboard.txn": (request) => {
    const operations = request.ops.map(({ ttlMs, ...same }) => ({
      ...same,
      ...given({ ttl: ttlMs }),
    }));
    const options = { ...call(request), ...given({ fence: request.fence }) };
    return roomOf(request).blackboard.txn(operations, options);
  },

  async "blackboard.history"(request) {
    const options = { ...call(request), ...given({ limit: request.limit }) };
    return { versions: await roomOf(request).blackboard.history(request.key, options) };
  },

  async "blackboard.lock"(request) {
    const { name, ttlMs, waitMs } = request;
    const lock = await roomOf(request).blackboard.lock(name, {
      ...call(request),
      ...given({ ttl: ttlMs, wait: waitMs }),
    });
    return { name: lock.name, holder: lock.holder, token: lock.token };
  },

  async "blackboard.unlock"(request) {
    const { name, token } = request;
    await roomOf(request).blackboard.unlock(name, { ...call(request), ...given({ token }) });
    return {};
  },

  async "blackboard.watch"(request) {
    const { blackboard } = roomOf(request);
    await blackboard.get("ready");
    follow(blackboard.watch(request.prefix ?? ""), ({ key, value, version, deleted }) => {
      tell("key", deleted ? { key, deleted } : { key, value, version });
    });
    return {};
  },

  // Approve.

  "approve.request": ({ n, op, room, timeoutMs, ...spec }) =>
    roomOf({ room }).approve.request({ ...spec, ...given({ timeout: timeoutMs }) }),

  async "approve.pending"(request) {
    follow(roomOf(request).approve.watch(), ({ id, pending }) => {
      if (pending) tell("pending", pending.message);
      else tell("decided", { id });
    });
    return {};
  },

  async "approve.decide"(request) {
    const { approval, decision, reason, digest, edit, deferMs } = request;
    const options = { ...call(request), ...given({ reason, digest, edit, deferBy: deferMs }) };
    await roomOf(request).approve.decide(approval, decision, options);
    return {};
  },

  async "approve.cancel"(request) {
    const { approval, reason } = request;
    await roomOf(request).approve.cancel(approval, { ...call(request), ...given({ reason }) });
    return {};
  },

  async "approve.audit"(request) {
    const approvals = [];
    const { approval } = request;
    for await (const one of roomOf(request).approve.audit(given({ approval }), call(request))) {
      approvals.push(one);
    }
    return { approvals };
  },

  // Observe.

  async "observe.emit"(request) {
    const { category, severity, payload } = request;
    const options = { ...call(request), ...given({ severity }) };
    await roomOf(request).observe.emit(category, payload, options);
    return {};
  },

  async "observe.on"(request) {
    const { observe } = roomOf(request);
    observe.on(request.category ?? "*", ({ source, category, payload }) => {
      tell("observed", { source, category, payload });
    });
    await observe.listening();
    return {};
  },

  async "observe.events"(request) {
    const { fromSeq, since, category } = request;
    const { observe } = roomOf(request);
    await new Promise((onLive, reject) => {
      void followEvents(observe, given({ fromSeq, since, category }), onLive).catch(reject);
    });
    return {};
  },

  // Tools.

  async "tools.call"(request) {
    const id = request.id ?? hallward.randomId();
    const result = await roomOf(request).tools.call(request.tool, request.arguments ?? {}, {
      ...call(request),
      id,
      ...given({ within: request.callTimeoutMs }),
    });
    return { call: `${agents.agent}/${id}`, result };
  },

  async "tools.stream"(request) {
    const id = request.id ?? hallward.randomId();
    const name = `${agents.agent}/${id}`;
    let count = 0;
    const result = await roomOf(request).tools.call(request.tool, request.arguments ?? {}, {
      ...call(request),
      id,
      ...given({ within: request.callTimeoutMs }),
      onPart: (part) => {
        count += 1;
        tell("part", { call: name, part: count, result: part });
      },
    });
    return { call: name, result };
  },

  // Questions.

  async questions(request) {
    const answers = request.answers ?? {};
    roomOf(request).handoff.onQuestion((asked) => {
      const { task, attempt, ask, question, schema } = asked;
      tell("question", { task, attempt, ask, question, schema });
      return answers[question];
    });
    roomOf(request).tools.onQuestion(({ call, ask, question, schema }) => {
      tell("question", { call, ask, question, schema });
      return answers[question];
    });
    return {};
  },

  async answer(request) {
    const { task, attempt, ask, answer } = request;
    const options = { ...call(request), ...given({ ask }) };
    await roomOf(request).handoff.answer(task, attempt, answer, options);
    return {};
  },

  // All the rest.

  async golden({ base64 }) {
    return { json: hallward.decode(new Uint8Array(Buffer.from(base64, "base64"))) };
  },

  async publish(request) {
    await roomOf(request).publish(request.topic, request.json, call(request));
    return {};
  },

  async unacked() {
    return { unacked: agents.unacked };
  },

  async close() {
    await agents.close();
    return {};
  },
};

function given(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null));
}

function contentOf(message) {
  try {
    return { json: JSON.parse(message.text) };
  } catch {
    const text = message.text;
    const isText = Buffer.from(text).equals(Buffer.from(message.bytes));
    if (isText) return { text };
    try {
      return { json: message.data };
    } catch {
      return { base64: Buffer.from(message.bytes).toString("base64") };
    }
  }
}

/** Reads an iterator to its end in the background. */
function follow(iterator, each) {
  void (async () => {
    for await (const item of iterator) each(item);
  })().catch((error) => console.error(`an iterator ended: ${error.message}`));
}

async function followEvents(observe, query, onLive) {
  for (;;) {
    try {
      for await (const event of observe.events(query, { onLive })) {
        tell("seen", event);
        query = { ...given({ category: query.category }), fromSeq: event.seq + 1 };
      }
      return;
    } catch (error) {
      if (!(error instanceof hallward.Gap)) throw error;
      tell("gap", { fromSeq: error.from, toSeq: error.to - 1 });
      query = { ...given({ category: query.category }), fromSeq: error.to };
    }
  }
}

const inHand = new Map();

/** Tells when a handler is told to stop, and when it has ended. */
async function watched(names, work, run) {
  const key = names.task ?? names.call;
  inHand.set(key, work);
  work.signal.addEventListener("abort", () => {
    tell("cancelled", names);
    held.get(`task ${key}`)?.reject(work.signal.reason);
    held.delete(`task ${key}`);
  });
  try {
    const value = await run();
    tell("ended", { ...names, outcome: "returned" });
    return value;
  } catch (error) {
    tell("ended", { ...names, outcome: work.signal.aborted ? "cancelled" : "raised" });
    throw error;
  } finally {
    if (inHand.get(key) === work) inHand.delete(key);
  }
}

async function answersTo(work, questions) {
  const answers = [];
  for (const question of questions) answers.push(await work.ask(question));
  return answers;
}

const taskBehaviours = {
  echo: (task) => task.payload,
  hold: (task) => hold(`task ${task.id}`),
  fail: () => {
    throw new Error("no luck");
  },
  fatal: () => {
    throw new hallward.Fatal("no hope");
  },
  retry: (task) => {
    if (task.attempt === 1) throw new hallward.Retry("once more");
    return task.payload;
  },
  async progress(task) {
    await task.progress({ half: true });
    return task.payload;
  },
  ask: (task) => answersTo(task, task.payload.questions),
};

const toolBehaviours = {
  echo: (args) => ({ arguments: args }),
  hold: (_args, inHandCall) => hold(`task ${inHandCall.id}`),
  fail: taskBehaviours.fail,
  async progress(args, inHandCall) {
    await inHandCall.progress({ half: true });
    return { arguments: args };
  },
  async ask(args, inHandCall) {
    return { answers: await answersTo(inHandCall, args.questions) };
  },
};

function errorOf(error) {
  const kind = error.kind ?? "Bug";
  if (kind === "Bug") console.error(error);
  const fields = {
    kind: kind === "Closed" ? "Disconnected" : kind,
    code: error.code || undefined,
    reason: error.reason ?? error.message,
    path: error.path,
    current: error.current,
    lock: error.lock,
  };
  if (error instanceof hallward.TaskFailed) {
    const status = { TaskFailed: "dead", TaskExpired: "expired", TaskCancelled: "cancelled" }[kind];
    const detail = { status, attempts: error.attempts, error: error.error };
    return { ...fields, task: error.task, detail };
  }
  if (error instanceof hallward.ToolError) {
    const detail = { code: error.errorCode, message: error.reason, data: error.data };
    return { ...fields, detail };
  }
  return fields;
}

async function stopInOrder() {
  draining ??= (async () => {
    await worker?.drain();
    await agents?.close();
  })();
  await draining;
}

async function answer(request) {
  const { n, op } = request;
  try {
    const run = ops[op];
    if (!run) throw new HallwardError("Unsupported", `no op ${op}`);
    say({ n, ok: (await run(request)) ?? {} });
  } catch (error) {
    say({ n, error: errorOf(error) });
  }
}

process.on("SIGTERM", () => {
  void stopInOrder().finally(() => process.exit(0));
});
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => void answer(JSON.parse(line)));
lines.on("close", () => process.exit(0));
