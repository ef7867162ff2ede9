"""The Hallward gateway, as a package: the program ``hallward``, and where it is."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

__all__ = ["binary"]

_NAME = "hallward.exe" if sys.platform == "win32" else "hallward"


def binary() -> str:
    """The path of the gateway's program. Raises `FileNotFoundError` if it is gone."""
    looked = dict.fromkeys(os.path.normpath(path) for path in _places())
    for path in looked:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(
        f"hallward-gateway is installed without its program: not in {', '.join(looked)}"
    )


def _places() -> Iterator[Path]:
    """Where installers put it, the surest first."""
    # As the installer wrote it down.
    for file in metadata.files("hallward-gateway") or ():
        if file.name == _NAME:
            yield Path(str(file.locate()))
    # With `pip install --target` that is wrong: it moves what it wrote down.
    yield Path(__file__).parent.parent / "bin" / _NAME
    yield Path(sysconfig.get_path("scripts")) / _NAME
