#!/usr/bin/env bash
# Node-RED 4.1.8: "mqtt in" with its default output drops an empty message whose type is JSON.
#
# An empty retained message takes the retained one away, and subscribers are sent it so that they
# know. The flow has three retained messages, over MQTT 5 and with the output "auto-detect", and
# then each is taken away. Expected: the flow has three empty messages. With the Content Type
# application/json there is none: it is parsed, and all that comes of it is an error, in the log or
# at a catch node. With no Content Type the same message comes, and so it does with
# "application/json; charset=utf-8", although JSON that is sent with that is parsed, too. Seen, with
# Mosquitto 2.0.11 as the broker:
#
#   json: message {"n":1}
#   json-utf-8: message {"n":1}
#   none: message {"n":1}
#   json: error "Failed to parse JSON string"
#   json-utf-8: message ""
#   none: message ""
#
# Needs bash, Node.js with npm, the npm registry, and mosquitto and mosquitto_pub (the Debian
# packages mosquitto and mosquitto-clients). Ends with 1 if the behaviour is another.
set -euo pipefail
PATH=$PATH:/usr/sbin
work=$(mktemp -d)
children=()
end() {
  [ ${#children[@]} = 0 ] || kill "${children[@]}" 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap end EXIT
npm install --prefix "$work" --no-audit --no-fund --loglevel error node-red@4.1.8 >/dev/null

BROKER_PORT=$(node -e 'const server = require("net").createServer();
  server.listen(0, "127.0.0.1", () => {
    console.log(server.address().port);
    server.close();
  });')
export BROKER_PORT
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$BROKER_PORT" >"$work/mosquitto.conf"
mosquitto -c "$work/mosquitto.conf" >"$work/mosquitto.log" 2>&1 &
children+=($!)

cat >"$work/flow.json" <<'FLOW'
[
  { "id": "tab", "type": "tab", "label": "tab" },
  {
    "id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": "${BROKER_PORT}",
    "clientid": "flow", "autoConnect": true, "protocolVersion": "5", "cleansession": true
  },
  {
    "id": "in", "type": "mqtt in", "z": "tab", "x": 100, "y": 100, "wires": [["message"]],
    "broker": "broker", "topic": "+", "qos": "1", "datatype": "auto-detect", "rap": true, "rh": 0
  },
  {
    "id": "message", "type": "function", "z": "tab", "x": 300, "y": 100, "wires": [],
    "name": "seen", "func": "node.log(msg.topic + ': message ' + JSON.stringify(msg.payload));"
  },
  {
    "id": "catch", "type": "catch", "z": "tab", "x": 100, "y": 200, "wires": [["error"]],
    "scope": ["in"]
  },
  {
    "id": "error", "type": "function", "z": "tab", "x": 300, "y": 200, "wires": [],
    "name": "seen", "func": "node.log(msg.topic + ': error ' + JSON.stringify(msg.error.message));"
  }
]
FLOW

# publish OPTION…: retained, under each topic with its Content Type.
publish() {
  local to=(-h 127.0.0.1 -p "$BROKER_PORT" -V 5 -q 1 -r "$@")
  local type=(-D PUBLISH content-type)
  mosquitto_pub "${to[@]}" -t json "${type[@]}" application/json
  mosquitto_pub "${to[@]}" -t json-utf-8 "${type[@]}" 'application/json; charset=utf-8'
  mosquitto_pub "${to[@]}" -t none
}

seen() { sed -n 's/.*\[function:seen\] //p' "$work/node-red.log"; }

# lines COUNT: waits, a minute at most, until the flow has seen as much.
lines() {
  for _ in {1..120}; do
    [ "$(seen | wc -l)" -lt "$1" ] || return 0
    sleep 0.5
  done
  cat "$work/node-red.log" >&2
  exit 1
}

for _ in {1..20}; do
  grep -q running "$work/mosquitto.log" && break
  sleep 0.5
done
publish -m '{"n":1}'
node "$work/node_modules/node-red/red.js" --userDir "$work/user" --no-telemetry \
  -D httpAdminRoot=false -D httpNodeRoot=false "$work/flow.json" >"$work/node-red.log" 2>&1 &
children+=($!)
lines 3
publish -n
lines 6

sed -n 's/.*\(Node-RED version: \)/\1/p' "$work/node-red.log"
sed -n 's/.*\(mosquitto version .*\) starting/\1/p' "$work/mosquitto.log"
echo 'expected: at last message "" under each of the three topics'
said=$(seen)
echo "$said"
[ "$said" = 'json: message {"n":1}
json-utf-8: message {"n":1}
none: message {"n":1}
json: error "Failed to parse JSON string"
json-utf-8: message ""
none: message ""' ]
