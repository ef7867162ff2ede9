"""The connection: one MQTT client per agent, kept alive, with acknowledgements in our hand.

`Link` is all that the rest of the package knows of MQTT. In here, and nowhere else, is paho.
"""

from .delivery import About, Delivery, Receipts
from .link import ConnectionStatus, Link, Outgoing
from .options import Options
from .routes import Route

__all__ = [
    "About",
    "ConnectionStatus",
    "Delivery",
    "Link",
    "Options",
    "Outgoing",
    "Receipts",
    "Route",
]
