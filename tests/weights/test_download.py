"""Fetching published files over HTTP: from servers that behave, and from those that do not."""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import pytest
from helpers.toy_network import add_toy
from helpers.weight_server import CONTENT, SHA1, SHA256, Site, serving

from pdjax._checks import ArgumentError, ArgumentFileError
from pdjax.models import NETWORKS, Download, Network
from pdjax.weights.download import cache_folder, download, fetch


@pytest.fixture
def site(monkeypatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as site:
        yield site


def get(site: Site, folder: Path, file: Download | None = None, **options: float) -> Path:
    options = {"timeout": 5.0, "pause": 0.0} | options
    return download(file or site.file(), folder, progress=False, **options)


def left(folder: Path) -> set[str]:
    """Return the names of what is in the folder, but for the lock."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


@pytest.mark.parametrize("checksum", [SHA1, SHA256])
@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_fetched_once(site, tmp_path, checksum, size):
    folder = tmp_path / "not" / "there"
    path = get(site, folder, site.file(checksum, size))
    assert path == folder / "weights.bin"
    assert path.read_bytes() == CONTENT
    assert left(folder) == {"weights.bin"}
    assert "Range" not in site.requests[0]
    assert get(site, folder, site.file(checksum, size)) == path
    assert len(site.requests) == 1


def test_file_already_there_needs_no_server(tmp_path):
    (tmp_path / "weights.bin").write_bytes(CONTENT)
    file = Download("http://127.0.0.1:1/weights.bin", SHA256, len(CONTENT))
    assert download(file, tmp_path).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["weights.bin"]


@pytest.mark.parametrize("damaged", [CONTENT[:-1], CONTENT[:-1] + b"x"])
def test_damaged_file_is_fetched_again(site, tmp_path, damaged):
    (tmp_path / "weights.bin").write_bytes(damaged)
    assert get(site, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("tag", ['"one"', 'W/"weak"', None])
def test_resumed_after_it_broke_off(site, tmp_path, tag):
    site.tag = tag
    site.cut_after = [200_000]
    assert get(site, tmp_path).read_bytes() == CONTENT
    first, second = site.requests
    assert "Range" not in first
    begin = int(second["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 100_000 < begin <= 200_000
    assert site.sent[1] == len(CONTENT) - begin
    assert second.get("If-Range") == ('"one"' if tag == '"one"' else None)
    assert left(tmp_path) == {"weights.bin"}


def test_resumed_by_a_later_call(site, tmp_path):
    site.cut_after = [100_000, 150_000, 150_000, 150_000]
    with pytest.raises(ConnectionError, match=r"broke off"):
        get(site, tmp_path)
    assert left(tmp_path) == {"weights.bin.part", "weights.bin.part.tag"}
    have = (tmp_path / "weights.bin.part").stat().st_size
    assert get(site, tmp_path).read_bytes() == CONTENT
    assert site.requests[-1]["Range"] == f"bytes={have}-"
    assert site.sent[-1] == len(CONTENT) - have


def test_part_of_another_version_is_not_continued(site, tmp_path):
    (tmp_path / "weights.bin.part").write_bytes(b"x" * 1000)
    (tmp_path / "weights.bin.part.tag").write_text('"old"')
    assert get(site, tmp_path).read_bytes() == CONTENT
    assert site.requests[0]["If-Range"] == '"old"'
    assert len(site.requests) == 1


@pytest.mark.parametrize("length", [1000, len(CONTENT), len(CONTENT) + 1])
def test_wrong_part_without_tag_is_thrown_away(site, tmp_path, length):
    (tmp_path / "weights.bin.part").write_bytes(b"x" * length)
    assert get(site, tmp_path).read_bytes() == CONTENT
    assert "Range" not in site.requests[-1]
    assert left(tmp_path) == {"weights.bin"}


def test_server_without_ranges(site, tmp_path):
    site.knows_ranges = False
    site.cut_after = [200_000]
    assert get(site, tmp_path).read_bytes() == CONTENT
    assert "Range" in site.requests[1]
    assert site.sent[1] == len(CONTENT)


def test_server_that_is_busy_at_first(site, tmp_path):
    site.answers = [503, 429, 408]
    assert get(site, tmp_path).read_bytes() == CONTENT
    assert len(site.requests) == 4


def test_server_that_does_not_say_the_length(site, tmp_path):
    site.silent = True
    assert get(site, tmp_path).read_bytes() == CONTENT


def test_redirection_is_followed(site, tmp_path):
    site.answers, site.location = [302], "/elsewhere.bin"
    assert get(site, tmp_path).read_bytes() == CONTENT


REFUSED = {
    "not found": ({"answers": [404]}, "the server answered 404 Not Found"),
    "always busy": ({"answers": [503] * 4}, "the server answered 503 Service Unavailable"),
    "unknown status": ({"answers": [299]}, "the server answered 299"),
    "to ftp": ({"answers": [302], "location": "ftp://host/x"}, "'ftp://host/x', which is not HTTP"),
    "to a file": ({"answers": [302], "location": "file:///etc/passwd"}, "which is not HTTP"),
    "to nowhere": ({"answers": [302], "location": "http://[x"}, "the transfer failed"),
    "in circles": ({"answers": [302] * 9, "location": "/x"}, "redirects more than 5 times"),
    "too large": ({"content": CONTENT + b"x"}, "has 300001 bytes instead of 300000"),
    "too small": ({"content": CONTENT[1:]}, "has 299999 bytes instead of 300000"),
    "endless": ({"content": CONTENT * 9, "silent": True}, "sends more than 300000 bytes"),
    "other part": ({"wrong_part": True, "cut_after": [100_000]}, "another part of the file"),
    "breaks off": ({"cut_after": [70_000] * 4, "knows_ranges": False}, "broke off"),
    "slow": ({"delay": 0.5}, "did not answer within 0.1 s"),
}


@pytest.mark.parametrize(("behaviour", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused_in_one_sentence(site, tmp_path, behaviour, reason):
    for name, value in behaviour.items():
        setattr(site, name, value)
    with pytest.raises(ConnectionError, match=re.escape(reason)) as caught:
        get(site, tmp_path, timeout=0.1 if site.delay else 5.0)
    message = str(caught.value)
    assert f"{site.address}/weights.bin" in message
    assert str(tmp_path / "weights.bin") in message
    assert "\n" not in message
    assert not (tmp_path / "weights.bin").exists()
    partial = tmp_path / "weights.bin.part"
    assert not partial.exists() or partial.stat().st_size <= len(CONTENT)


@pytest.mark.parametrize("silent", [False, True])
def test_bounded_where_no_size_is_known(site, tmp_path, silent):
    site.silent = silent
    with pytest.raises(ConnectionError, match="200000"):
        get(site, tmp_path, site.file(size=None), max_bytes=200_000)
    assert not left(tmp_path)


def test_no_server(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    file = Download("http://127.0.0.1:1/weights.bin", SHA256)
    with pytest.raises(ConnectionError, match="there is no connection to the server"):
        download(file, tmp_path, progress=False, pause=0.0)


def test_wrong_checksum(site, tmp_path):
    site.content = CONTENT[:-1] + b"x"
    with pytest.raises(ArgumentError) as caught:
        get(site, tmp_path)
    assert caught.value.argument == "weights"
    assert not left(tmp_path)
    assert len(site.requests) == 1


def test_two_threads_fetch_once(site, tmp_path):
    site.delay = 0.1
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: get(site, tmp_path), range(4)))
    assert set(paths) == {tmp_path / "weights.bin"}
    assert paths[0].read_bytes() == CONTENT
    assert len(site.requests) == 1


def test_two_processes_fetch_once(site, tmp_path):
    site.delay = 0.5
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=download, args=(site.file(), tmp_path))
    process.start()
    # Only when the other one is at it does this one begin.
    while not site.requests and process.is_alive():
        time.sleep(0.01)
    assert get(site, tmp_path).read_bytes() == CONTENT
    process.join(60)
    assert process.exitcode == 0
    assert len(site.requests) == 1
    assert left(tmp_path) == {"weights.bin"}


def test_waiting_for_another_process_ends(site, tmp_path):
    with (
        filelock.FileLock(tmp_path / ".weights.bin.lock"),
        pytest.raises(TimeoutError, match="another process"),
    ):
        get(site, tmp_path, max_wait=0.05)
    assert not site.requests


def test_folder_that_cannot_be_made(site, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentFileError) as caught:
        get(site, tmp_path / "file" / "cache")
    assert caught.value.argument == "folder"
    assert not site.requests


def test_folder_that_cannot_be_written(site, tmp_path, monkeypatch):
    def refuse(*arguments, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ArgumentFileError) as caught:
        get(site, tmp_path)
    assert caught.value.argument == "folder"
    assert "Permission denied" in caught.value.problem


def test_progress_is_shown(site, tmp_path, capsys):
    site.cut_after = [100_000]
    site.delay = 0.15
    download(site.file(), tmp_path, timeout=5.0, pause=0.2)
    shown = capsys.readouterr().err
    assert "weights.bin: 100%" in shown
    assert "300k/300k" in shown


def test_fetch_by_name_into_the_cache_folder(site, tmp_path, monkeypatch):
    monkeypatch.setenv("PDJAX_CACHE", str(tmp_path / "cache"))
    name = add_toy(monkeypatch, tmp_path, address=f"{site.address}/weights.bin", checksum=SHA256)
    assert fetch(name, progress=False) == tmp_path / "cache" / "weights.bin"
    assert fetch(f"{name}_alias", folder=tmp_path / "b", progress=False).parent == tmp_path / "b"


def test_cache_folder(monkeypatch):
    monkeypatch.setenv("PDJAX_CACHE", "~/weights")
    assert cache_folder() == Path.home() / "weights"
    monkeypatch.delenv("PDJAX_CACHE")
    assert cache_folder().name == "pdjax"


def test_installed_weights_are_not_downloaded():
    assert fetch("efficientnet_lite0").suffix == ".pth"


BAD_NAMES = {
    "unknown": ("vgg61", "name"),
    "without a file": (Network("x", NETWORKS["vgg16"].module, 224), "weights"),
}


@pytest.mark.parametrize(("name", "argument"), BAD_NAMES.values(), ids=BAD_NAMES)
def test_bad_names(name, argument):
    with pytest.raises(ArgumentError) as caught:
        fetch(name)
    assert caught.value.argument == argument
