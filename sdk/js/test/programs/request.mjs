// Asks for approval and dispatches a task under ids of its own, and says what came of them.

import { connect } from "hallward";

const [url, agent, room] = process.argv.slice(2);
const say = (line) => console.log(JSON.stringify(line));

const me = await connect(url, { agent });
const { approve, handoff } = me.joinRoom(room);
const task = await handoff.dispatch({ id: `${agent}-task`, type: "draft", payload: 1 });
say({ dispatched: task.id });
const decision = approve.request({ id: `${agent}-go`, action: "publish", content: { n: 1 } });
decision.then(({ approved }) => say({ approved }));
task.result().then(({ data }) => say({ result: data }));
say({ waiting: true });
