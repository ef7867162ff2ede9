#!/usr/bin/env bash
# awscrt 0.38.1 (Python): the MQTT 5 client sends another user name than the one it was given, unless `disable_metrics=True` is set.
#
# A socket reads the CONNECT of a client with the user name "ann" and a password. With the defaults "?SDK=…" with the library's version, the
# platform and some feature flags is appended, whatever the broker is; one that checks names and passwords refuses it. Seen:
#
#   default: ann?SDK=IoTDeviceSDK/Python&Platform=Unix&Metadata=(CRTVersion=0.38.1;IoTSDKFeature=F/5,G/A;IoTSDKMetricsVersion=1)
#   disable_metrics=True: ann
#
# Needs bash, python3 with venv, and PyPI. Ends with 1 if the behaviour is another.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check awscrt==0.38.1

cat >"$work/try.py" <<'PYTHON'
import re
import socket
import sys

from awscrt import mqtt5


def user_name(**options):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        connect = mqtt5.ConnectPacket(client_id="one", username="ann", password="secret")
        client = mqtt5.Client(mqtt5.ClientOptions(
            host_name="127.0.0.1", port=server.getsockname()[1], connect_options=connect, **options))
        client.start()
        connection, _ = server.accept()
        with connection:
            connection.settimeout(10)
            packet = connection.recv(4096)
        client.stop()
    # The two last fields, each with its length before it: the user name and the password.
    found = re.search(rb"one(..)(ann.*)\x00\x06secret$", packet, re.DOTALL)
    name = found.group(2)
    assert int.from_bytes(found.group(1), "big") == len(name)
    return name.decode()


default, plain = user_name(), user_name(disable_metrics=True)
print("default:", default)
print("disable_metrics=True:", plain)
sys.exit(not (default.startswith("ann?SDK=") and plain == "ann"))
PYTHON
"$work/env/bin/python" "$work/try.py"
