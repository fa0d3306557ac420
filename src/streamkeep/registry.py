"""
Find plugins by name: one file in its folder, or an installed package's entry point.

Strategy
    `provider("acme")` imports `streamkeep.providers.acme` and gives its `PROVIDER`. No list is edited, nothing is
    imported until it is used. Third parties register entry points in the groups `streamkeep.providers`,
    `streamkeep.wire` and `streamkeep.stores`; a file of ours wins over an entry point of the same name.
"""

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, cast

from streamkeep.errors import BadRequest

if TYPE_CHECKING:
    from streamkeep.providers.base import Provider
    from streamkeep.stores.base import Store
    from streamkeep.wire.base import Wire

_CONSTANTS = {"providers": "PROVIDER", "wire": "WIRE", "stores": "STORE"}


def provider(name: str) -> "Provider":
    """
    Give the provider of this name.

    Raises:
        BadRequest: There is none.
    """
    return cast("Provider", _load("providers", name))


def wire(name: str) -> "Wire":
    """
    Give the wire of this name.

    Raises:
        BadRequest: There is none.
    """
    return cast("Wire", _load("wire", name))


def store(url: str) -> "type[Store]":
    """
    Give the store class for a URL's scheme.

    Raises:
        BadRequest: There is none.
    """
    return cast("type[Store]", _load("stores", url.partition("://")[0]))


@cache
def names(kind: str) -> tuple[str, ...]:
    """
    List the plugins of one kind.

    Args:
        kind: `providers`, `wire` or `stores`.
    """
    package = importlib.import_module(f"streamkeep.{kind}")
    own = {module.name for module in pkgutil.iter_modules(package.__path__) if module.name != "base"}
    return tuple(sorted(own | {point.name for point in entry_points(group=f"streamkeep.{kind}")}))


@cache
def _load(kind: str, name: str) -> Any:
    if name not in names(kind):
        raise BadRequest(f"{kind.removesuffix('s')} {name[:40]!r} is not known; there are: {', '.join(names(kind))}.")
    try:
        return getattr(importlib.import_module(f"streamkeep.{kind}.{name}"), _CONSTANTS[kind])
    except ModuleNotFoundError as error:
        if error.name != f"streamkeep.{kind}.{name}":
            raise BadRequest(f"{kind.removesuffix('s')} {name!r} needs the package {error.name!r}.") from error
    return next(point for point in entry_points(group=f"streamkeep.{kind}") if point.name == name).load()
