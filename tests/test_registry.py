"""Plugins are found by name: a file in its folder, or an installed package's entry point."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamkeep import registry
from streamkeep.errors import BadRequest

KINDS = ["providers", "wire", "stores"]

SHIPPED = [(kind, name) for kind in KINDS for name in registry.names(kind)]

Add = Callable[[str, str, str], None]


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """Let no test see what another one loaded."""
    before = set(sys.modules)
    registry.names.cache_clear()
    registry._load.cache_clear()
    yield
    for name in set(sys.modules) - before:
        if name.rpartition(".")[2].startswith("acme"):
            del sys.modules[name]
    registry.names.cache_clear()
    registry._load.cache_clear()


@pytest.fixture
def add_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """Add a file to a plugin folder, by lengthening the package's search path."""

    def add(kind: str, name: str, text: str) -> None:
        folder = tmp_path / kind
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
        package = importlib.import_module(f"streamkeep.{kind}")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        importlib.invalidate_caches()

    return add


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """Install a package that registers one entry point, as pip would leave it on the path."""

    def add(kind: str, name: str, text: str) -> None:
        site = tmp_path / "site"
        metadata = site / "acme_plugins-1.0.dist-info"
        metadata.mkdir(parents=True)
        (site / "acme_plugins.py").write_text(text, encoding="utf-8")
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-plugins\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[streamkeep.{kind}]\n{name} = acme_plugins:PLUGIN\n")
        monkeypatch.syspath_prepend(site)

    return add


@pytest.mark.parametrize(
    "kind, constant, get",
    [
        ("providers", "PROVIDER", registry.provider),
        ("wire", "WIRE", registry.wire),
        ("stores", "STORE", lambda name: registry.store(f"{name}://host:1/path")),
    ],
)
def test_a_new_file_is_a_new_plugin(kind: str, constant: str, get: Callable[[str], object], add_file: Add) -> None:
    """One new file and no edit elsewhere: it is listed and given by the name of its file."""
    add_file(kind, "acme", f"{constant} = 'the plugin'\n")

    assert "acme" in registry.names(kind)
    assert "the plugin" == get("acme")


def test_an_installed_package_adds_a_plugin(install: Add) -> None:
    """Third parties need no fork: an entry point does."""
    install("providers", "acme", "PLUGIN = 'theirs'\n")

    assert "acme" in registry.names("providers")
    plugin: object = registry.provider("acme")
    assert "theirs" == plugin


def test_a_file_of_ours_wins_over_an_entry_point(add_file: Add, install: Add) -> None:
    """An installed package cannot quietly take the place of what ships."""
    add_file("wire", "acme", "WIRE = 'ours'\n")
    install("wire", "acme", "PLUGIN = 'theirs'\n")

    plugin: object = registry.wire("acme")
    assert "ours" == plugin
    assert 1 == registry.names("wire").count("acme")


def test_nothing_is_imported_until_it_is_used(add_file: Add) -> None:
    """Listing is free of side effects: a broken plugin hurts who asks for it, nobody else."""
    add_file("providers", "acme_broken", "raise RuntimeError('imported')\n")

    assert "acme_broken" in registry.names("providers")
    with pytest.raises(RuntimeError, match="imported"):
        registry.provider("acme_broken")


def test_a_plugin_is_loaded_once(add_file: Add) -> None:
    """Two requests share one plugin."""
    add_file("wire", "acme", "WIRE = object()\n")

    assert registry.wire("acme") is registry.wire("acme")


def test_a_missing_package_is_named(add_file: Add) -> None:
    """The person learns what to install."""
    add_file("stores", "acme", "import acme_driver_that_is_not_installed\n")

    with pytest.raises(BadRequest, match="store 'acme' needs the package 'acme_driver_that_is_not_installed'"):
        registry.store("acme://")


@pytest.mark.parametrize("name", ["", "base", "Anthropic", "../wire/text", "streamkeep.errors", "__init__", "x" * 9000])
def test_an_unknown_name_is_a_bad_request_that_lists_the_known(name: str) -> None:
    """I10: the text says what there is, and repeats at most the beginning of what was asked."""
    with pytest.raises(BadRequest, match="is not known; there are: ") as caught:
        registry.provider(name)

    assert ", ".join(registry.names("providers")) in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_plugin_is_is_no_plugin(kind: str) -> None:
    """The file `base` says what the others are."""
    assert "base" not in registry.names(kind)


@pytest.mark.parametrize("kind, name", [pair for pair in SHIPPED if pair[0] != "stores"])
def test_a_shipped_plugin_has_the_name_of_its_file(kind: str, name: str) -> None:
    """What `provider=` and `?wire=` say is where to look."""
    plugin = registry.provider(name) if kind == "providers" else registry.wire(name)

    assert name == plugin.name
