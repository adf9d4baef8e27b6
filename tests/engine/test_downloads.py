"""Downloads: whole, broken off and resumed, wrong, refused, cancelled; against a server on this machine."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import downloads
from engine.downloads import fetch, megabytes
from engine.errors import Cancelled, EngineError
from tests.engine.server import FileServer, serving

DATA = os.urandom(700_000)
CHECKSUM = "sha256:" + hashlib.sha256(DATA).hexdigest()[:8]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloads, "_PAUSE", 0.0)
    with serving() as server:
        server.files["file.bin"] = DATA
        yield server


def get(server: FileServer, folder: Path, **more: Any) -> Path:
    return fetch(f"{server.address}/file.bin", folder / "file.bin", **{"checksum": CHECKSUM, **more})


def left_over(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def broken_off(server: FileServer, folder: Path, after: int = 300_000) -> None:
    """A download of which only the beginning came, and nothing more at the next tries."""
    server.break_after = [after, 0, 0, 0]
    with pytest.raises(EngineError, match="broke off after") as failure:
        get(server, folder)
    assert "kept" in failure.value.hint
    server.break_after, server.asked = [], []


def test_whole_file_with_progress_and_nothing_left_over(server: FileServer, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = get(server, tmp_path, size=len(DATA), progress=lambda done, total: told.append((done, total)))
    assert path.read_bytes() == DATA
    assert told[0] == (0, len(DATA)) and told[-1] == (len(DATA), len(DATA))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert left_over(tmp_path) == {"file.bin"}


def test_what_is_there_and_right_is_not_fetched_again(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(DATA)
    get(server, tmp_path)
    assert not server.asked
    (tmp_path / "file.bin").write_bytes(DATA[:-1])
    assert get(server, tmp_path).read_bytes() == DATA


def test_broken_connections_are_taken_up_again_by_themselves(server: FileServer, tmp_path: Path) -> None:
    server.break_after = [100_000, 200_000, 0, 150_000]
    assert get(server, tmp_path).read_bytes() == DATA
    assert [wanted for _, wanted, _ in server.asked] == [
        None,
        "bytes=100000-",
        "bytes=300000-",
        "bytes=300000-",
        "bytes=450000-",
    ]


def test_broken_off_and_resumed_later(server: FileServer, tmp_path: Path) -> None:
    broken_off(server, tmp_path)
    assert not (tmp_path / "file.bin").exists()
    told: list[int] = []
    assert get(server, tmp_path, progress=lambda done, _: told.append(done)).read_bytes() == DATA
    assert server.asked == [("/file.bin", "bytes=300000-", '"one"')]
    assert told[0] == 300_000
    assert left_over(tmp_path) == {"file.bin"}


def test_another_file_at_the_address_starts_over(server: FileServer, tmp_path: Path) -> None:
    broken_off(server, tmp_path)
    newer = os.urandom(500_000)
    server.files["file.bin"], server.tag = newer, '"two"'
    path = get(server, tmp_path, checksum="sha256:" + hashlib.sha256(newer).hexdigest())
    assert path.read_bytes() == newer
    assert len(server.asked) == 1


def test_a_server_that_ignores_ranges_starts_over(server: FileServer, tmp_path: Path) -> None:
    broken_off(server, tmp_path)
    server.ranges = False
    assert get(server, tmp_path).read_bytes() == DATA
    assert len(server.asked) == 1


def test_without_a_tag_the_checksum_decides_whether_the_beginning_was_right(server: FileServer, tmp_path: Path) -> None:
    server.tag = ""
    broken_off(server, tmp_path)
    part = tmp_path / ".file.bin.part"
    part.write_bytes(b"x" * part.stat().st_size)
    assert get(server, tmp_path).read_bytes() == DATA
    assert [wanted for _, wanted, _ in server.asked] == ["bytes=300000-", None]


def test_a_part_of_another_address_is_not_continued(server: FileServer, tmp_path: Path) -> None:
    broken_off(server, tmp_path)
    server.files["other.bin"] = DATA
    fetch(f"{server.address}/other.bin", tmp_path / "file.bin", checksum=CHECKSUM)
    assert server.asked == [("/other.bin", None, None)]


def test_a_part_that_is_whole_already_is_taken(server: FileServer, tmp_path: Path) -> None:
    broken_off(server, tmp_path)
    (tmp_path / ".file.bin.part").write_bytes(DATA)
    assert get(server, tmp_path).read_bytes() == DATA
    assert server.asked[0][1] == f"bytes={len(DATA)}-"


def test_wrong_checksum_leaves_nothing(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="not the file that was expected"):
        get(server, tmp_path, checksum="sha256:00000000")
    assert left_over(tmp_path) == set()
    assert len(server.asked) == 1


def test_cancelled_in_the_middle_and_taken_up_again(server: FileServer, tmp_path: Path) -> None:
    seen: list[int] = []
    with pytest.raises(Cancelled):
        get(server, tmp_path, progress=lambda done, _: seen.append(done), cancelled=lambda: seen[-1:] > [100_000])
    kept = (tmp_path / ".file.bin.part").stat().st_size
    assert 100_000 < kept < len(DATA)
    server.asked.clear()
    assert get(server, tmp_path).read_bytes() == DATA
    assert server.asked[0][1] == f"bytes={kept}-"


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "does not have file.bin"), (403, "does not give"), (503, "does not answer as it should")],
)
def test_a_server_that_refuses_is_said_in_words(server: FileServer, tmp_path: Path, status: int, words: str) -> None:
    server.status = status
    with pytest.raises(EngineError, match=words) as failure:
        get(server, tmp_path, otherwise="Get it elsewhere.")
    assert "Get it elsewhere." in failure.value.hint
    assert len(server.asked) == (3 if status == 503 else 1)


def test_offline_says_the_size_and_what_to_do(server: FileServer, tmp_path: Path) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(EngineError, match=r"file.bin \(103 MB\).* no connection to 127.0.0.1") as failure:
        get(server, tmp_path, size=102_538_543, otherwise="Choose “Import a file…”.")
    assert failure.value.hint == "Choose “Import a file…”."
    assert left_over(tmp_path) == set()


def test_a_page_instead_of_the_file_is_noticed_before_it_is_loaded(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="its size is another") as failure:
        get(server, tmp_path, size=50_000_000)
    assert "sign in" in failure.value.hint
    assert left_over(tmp_path) == set()


def test_redirects_are_followed_but_not_out_of_encryption(server: FileServer, tmp_path: Path) -> None:
    with serving() as front:
        front.location = f"{server.address}/file.bin"
        assert fetch(f"{front.address}/any", tmp_path / "file.bin", checksum=CHECKSUM).read_bytes() == DATA
        front.location = "file:///etc/passwd"
        with pytest.raises(EngineError):
            fetch(f"{front.address}/any", tmp_path / "other.bin")
    request = downloads.urllib.request.Request("https://example.org/a")
    with pytest.raises(downloads.urllib.error.URLError) as failure:
        downloads._Redirects().redirect_request(request, None, 302, "", {}, "http://example.org/a")
    assert isinstance(failure.value.reason, EngineError)


def test_no_room_is_known_beforehand(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 10_000_000})
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(EngineError, match="the disk has 10 MB left"):
        get(server, tmp_path)
    assert left_over(tmp_path) == set()


def test_a_disk_that_fills_up_is_not_left_full(server: FileServer, tmp_path: Path, monkeypatch: Any) -> None:
    opened = Path.open

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *error: object) -> None:
            self.file.close()

        def write(self, block: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        Path,
        "open",
        lambda self, *a, **k: Full(opened(self, *a, **k)) if self.suffix == ".part" else opened(self, *a, **k),
    )
    with pytest.raises(EngineError, match="disk is full"):
        get(server, tmp_path)
    assert left_over(tmp_path) == set()


def test_a_second_download_of_the_same_file_waits_for_the_first(server: FileServer, tmp_path: Path) -> None:
    failures: list[EngineError] = []

    def second(done: int, total: int) -> None:
        if not failures:
            with pytest.raises(EngineError, match="already") as failure:
                get(server, tmp_path)
            failures.append(failure.value)

    assert get(server, tmp_path, progress=second).read_bytes() == DATA
    assert len(failures) == 1


@pytest.mark.parametrize(("text", "count"), [("700000", 700_000), ("", -1), ("9" * 5000, -1), ("1e9", -1)])
def test_no_header_is_believed_to_be_a_number_that_is_none(text: str, count: int) -> None:
    assert downloads._number(text) == downloads._start(f"bytes {text}-9/10") == count


def test_sizes_are_for_people() -> None:
    assert [megabytes(size) for size in (102_538_543, 14_069_793, 1_400_000, 9_000, 0)] == [
        "103 MB",
        "14 MB",
        "1.4 MB",
        "0.1 MB",
        "0.1 MB",
    ]
