#!/usr/bin/env bash
# aiomqtt 2.5.1 (with paho-mqtt 2.2.0) acknowledges a QoS 1 message as soon as it has come, not when `async for` hands it over.
#
# The program subscribes and never takes a message from `client.messages`; the peer, a socket that speaks just enough of MQTT 3.1.1, has its
# PUBACKs all the same. Killed at that moment, the program has lost the messages, and the broker has no reason to send them again. The public
# interface has no way to acknowledge by hand. Seen:
#
#   taken by the program: 0, acknowledged: 3 of 3
#
# Needs bash, python3 with venv, and PyPI. Ends with 1 if the behaviour is another.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check aiomqtt==2.5.1 paho-mqtt==2.2.0

cat >"$work/try.py" <<'PYTHON'
import asyncio

import aiomqtt

acknowledged = []


async def packet(reader):
    kind, length, shift = (await reader.readexactly(1))[0], 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return kind, await reader.readexactly(length)


async def peer(reader, writer):
    try:
        while True:
            kind, body = await packet(reader)
            if kind >> 4 == 1:
                writer.write(b"\x20\x02\x00\x00")
            elif kind >> 4 == 8:
                writer.write(b"\x90\x03" + body[:2] + b"\x01")
                for number in (1, 2, 3):
                    writer.write(b"\x32\x06\x00\x01t\x00" + bytes([number]) + b"x")
            elif kind >> 4 == 4:
                acknowledged.append(body)
    except asyncio.IncompleteReadError:
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(peer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with aiomqtt.Client("127.0.0.1", port, identifier="one") as client:
        await client.subscribe("t", qos=1)
        await asyncio.sleep(2)
        print(f"taken by the program: 0, acknowledged: {len(acknowledged)} of 3")


asyncio.run(main())
PYTHON
said=$("$work/env/bin/python" "$work/try.py")
echo "$said"
[ "$said" = "taken by the program: 0, acknowledged: 3 of 3" ]
