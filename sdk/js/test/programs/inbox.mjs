// Reads an inbox, and does not come to an end with the second message.

import { connect } from "hallward";

const [url, agent, room, stuckAt] = process.argv.slice(2);
const say = (line) => console.log(JSON.stringify(line));

const me = await connect(url, { agent });
let count = 0;
const { inbox, presence } = me.joinRoom(room);
inbox.onMessage(
  async (message) => {
    count += 1;
    // An answer behind the acknowledgement of the message before: that has arrived, too.
    await presence.agents();
    say({ got: message.data, unacked: me.unacked });
    if (count === Number(stuckAt)) await new Promise(() => {});
  },
  { concurrency: 1 },
);
say({ ready: true });
