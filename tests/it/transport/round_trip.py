"""A message there and back with paho-mqtt: PORT, TRANSPORT (tcp or websockets), CA file or "-" for no TLS."""

import sys

import paho.mqtt.client as mqtt

port, transport, ca = int(sys.argv[1]), sys.argv[2], sys.argv[3]
payload = bytes(range(256)) * 800
got = []

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "paho", transport=transport)
if ca != "-":
    client.tls_set(ca)
if transport == "websockets":
    client.ws_set_options("/mqtt")


def on_connect(client, _userdata, _flags, reason, _properties):
    assert reason == 0, reason
    client.subscribe("there/and/back", 2)


def on_subscribe(client, *_):
    client.publish("there/and/back", payload, 2)


def on_message(client, _userdata, message):
    got.append(message.payload)
    client.disconnect()


client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
client.connect("localhost", port)
client.loop_forever()
assert got == [payload], [len(each) for each in got]
print("ok")
