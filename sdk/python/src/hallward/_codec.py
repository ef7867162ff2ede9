"""JSON and CBOR: what goes over the wire, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, cast

from ._annotations import plain
from .errors import Malformed, ProtocolError

Encoding = Literal["json", "cbor"]

JSON_TYPE = "application/json"
CBOR_TYPE = "application/cbor"
_ARRAYS_AND_MAPS = range(0x80, 0xC0)
"""So begins CBOR where nothing says what it is. No text of UTF-8 does."""
_SELF_DESCRIBED = b"\xd9\xd9\xf7"
"""A tag that may stand before."""


def encode(document: Any, encoding: Encoding) -> bytes:
    """Raises ``Malformed`` for what neither JSON nor CBOR can say, as NaN, or a set."""
    try:
        return _to_cbor(document) if encoding == "cbor" else _to_json(document)
    except HallwardMissing:
        raise
    except Exception as error:  # cbor2 has some of its own
        raise Malformed(f"cannot be written: {error}", code=400) from error


def _to_json(document: Any) -> bytes:
    compact = (",", ":")
    text = json.dumps(
        document, ensure_ascii=False, allow_nan=False, separators=compact, default=plain
    )
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: only an escape can say it
        return json.dumps(document, separators=compact, default=plain).encode()


def _to_cbor(document: Any) -> bytes:
    return cast(bytes, _cbor2().dumps(document, default=_plain_in_cbor))


def _plain_in_cbor(encoder: Any, value: object) -> None:
    encoder.encode(plain(value))


def decode(payload: bytes, content_type: str | None = None) -> Any:
    """What a payload says, whichever of the two it is in. Raises ``ProtocolError``."""
    try:
        if content_type == CBOR_TYPE or (content_type != JSON_TYPE and _looks_like_cbor(payload)):
            return _cbor2().loads(payload)
        return json.loads(payload)
    except HallwardMissing:
        raise
    except Exception as error:
        raise ProtocolError(f"neither JSON nor CBOR: {payload[:60]!r} ({error})") from error


def _looks_like_cbor(payload: bytes) -> bool:
    first = payload.removeprefix(_SELF_DESCRIBED)[:1]
    return first != b"" and first[0] in _ARRAYS_AND_MAPS


def decode_object(payload: bytes) -> Mapping[str, Any]:
    """As `decode`; all messages of the gateway are objects."""
    document = decode(payload)
    if not isinstance(document, dict):
        raise ProtocolError(f"expected an object: {payload[:60]!r}")
    return cast("dict[str, Any]", document)


class HallwardMissing(ImportError):
    """An optional dependency is not installed."""


UNREADABLE = (ProtocolError, HallwardMissing)
"""What `decode` raises."""


def unreadable(what: str, error: Exception) -> ProtocolError:
    """For whoever waits for what came, and cannot be read."""
    return ProtocolError(f"{what} cannot be read: {error}")


def _cbor2() -> Any:
    try:
        import cbor2
    except ImportError:
        raise HallwardMissing("CBOR needs cbor2: pip install 'hallward[cbor]'") from None
    return cbor2
