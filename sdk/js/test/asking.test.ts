// Workers and providers that ask. Skipped where the gateway does not know the status `input`.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Malformed, type Question, type ToolQuestion } from "hallward";

import { Seen, agent, fresh, gate, soon, testGateway } from "./harness.js";

const gateway = await testGateway();

async function knowsInput(): Promise<boolean> {
  const me = await agent(gateway, "probe");
  const topic = `handoff/update/${me.agent}`;
  const body = { task: "none", attempt: 1, status: "input", question: "?" };
  const asked = me.joinRoom(fresh("room")).publish(topic, body, { reply: true });
  return asked.then(
    () => true,
    (error: unknown) => !(error instanceof Malformed),
  );
}

const skip = (await knowsInput()) ? false : "this gateway does not know the status input";

async function pair(capacity = 1) {
  const name = fresh("room");
  const here = (await agent(gateway, "editor")).joinRoom(name);
  const writer = await agent(gateway, "writer");
  const worker = writer.joinRoom(name).worker({ capacity, grace: "100ms" });
  return { name, here, writer, worker };
}

describe("a worker that asks", { skip }, () => {
  it("goes on with the answer", async () => {
    const { here, worker } = await pair();
    worker.task("draft", async (task) => {
      const tone = await task.ask<string>("tone?", { schema: { enum: ["formal", "friendly"] } });
      const words = await task.ask<number>("words?");
      return { tone, words };
    });
    await worker.start();
    const questions = new Seen<Question>();
    here.handoff.onQuestion((question) => {
      questions.add(question);
      return question.question === "tone?" ? "friendly" : 900;
    });
    const result = await here.handoff.run("draft");
    assert.deepEqual(result.data, { tone: "friendly", words: 900 });
    assert.deepEqual(
      questions.items.map((one) => one.ask),
      [1, 2],
    );
  });

  it("is asked again for an answer that fits", async () => {
    const { here, worker } = await pair();
    worker.task("draft", (task) => task.ask("words?", { schema: { type: "integer" } }));
    await worker.start();
    const handle = await here.handoff.dispatch({ type: "draft" });
    const { value } = await soon(here.handoff.questions().next());
    const question = value as Question;
    assert.equal(question.task, handle.id);
    await assert.rejects(question.answer("many"), { kind: "Invalid", path: "/answer" });
    await question.answer(7);
    assert.equal((await handle.result()).data, 7);
  });

  it("takes up no place meanwhile", async () => {
    const { here, worker } = await pair(1);
    worker.task("draft", (task) => task.ask("tone?")).task("echo", (task) => task.payload);
    await worker.start();
    const handle = await here.handoff.dispatch({ type: "draft" });
    const { value } = await soon(here.handoff.questions().next());
    assert.equal((await here.handoff.run("echo", 5)).data, 5);
    await (value as Question).answer("friendly");
    assert.equal((await handle.result()).data, "friendly");
  });

  it("hears that nobody answered in time", async () => {
    const { here, worker } = await pair();
    worker.task("draft", async (task) => {
      const answer = task.ask("tone?", { timeout: "20ms" });
      return answer.catch((error: { kind: string }) => error.kind);
    });
    await worker.start();
    assert.equal((await here.handoff.run("draft")).data, "Timeout");
  });

  it("leaves its question open when it stops: another one goes on from the answers", async () => {
    const { here, worker, name, writer } = await pair();
    const asked = gate();
    const handler = async (task: { ask(question: unknown): Promise<unknown> }) => {
      const first = await task.ask("first?");
      asked.open();
      return [first, await task.ask("second?")];
    };
    worker.task("draft", handler);
    await worker.start();
    const handle = await here.handoff.dispatch({ type: "draft" });
    const questions = here.handoff.questions();
    await ((await soon(questions.next())).value as Question).answer(1);
    await soon(asked.promise);
    const { value: second } = await soon(questions.next());
    await worker.drain();
    await writer.close();
    const heir = (await agent(gateway, "heir")).joinRoom(name).worker();
    heir.task("draft", handler);
    await heir.start();
    await (second as Question).answer(2);
    assert.deepEqual((await handle.result()).data, [1, 2]);
  });

  it("shows its question in the stream of its task", async () => {
    const { here, worker } = await pair();
    worker.task("draft", (task) => task.ask("tone?"));
    await worker.start();
    const seen: unknown[] = [];
    for await (const part of here.handoff.stream({ type: "draft" })) {
      if ("question" in part) {
        seen.push(part.question);
        await part.answer("friendly");
      } else seen.push(part.data);
    }
    assert.deepEqual(seen, ["tone?", "friendly"]);
  });
});

describe("a tool that asks", { skip }, () => {
  it("goes on with its caller's answer", async () => {
    const { here, worker } = await pair();
    worker.tool("spell", {}, async (_args, call) => ({ english: await call.ask("which?") }));
    await worker.start();
    await here.tools.available("spell");
    const asked: ToolQuestion[] = [];
    const result = await here.tools.call(
      "spell",
      {},
      {
        onQuestion: (question) => {
          asked.push(question);
          return "British";
        },
      },
    );
    assert.deepEqual(result, { english: "British" });
    assert.equal(asked[0]?.question, "which?");
  });
});
