"""The one road by which files come from the network: whole, right, or not at all.

An address and a checksum enter, a file leaves. What arrives is kept beside the target until it is whole, so that a
download that broke off, was cancelled or outlived the program goes on where it was; it takes the target's place only
when its checksum is the right one. What can go wrong is an `EngineError` that says what to do without a network.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import json
import logging
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from filelock import FileLock, Timeout

from engine import store
from engine.errors import Cancelled, EngineError

_log = logging.getLogger(__name__)

# Told how many bytes are there and how many there will be (0: the server does not say).
Progress: TypeAlias = Callable[[int, int], None]

_BLOCK = 1 << 17
_PATIENCE = 15.0  # seconds that a server may be silent
_TRIES = 3  # in a row without a single new byte
_PAUSE = 1.0  # seconds before the second of them, twice as many before the third
_SPARE = 1 << 24  # bytes that a disk must have left


def fetch(
    url: str,
    target: Path,
    *,
    checksum: str = "",
    size: int = 0,
    otherwise: str = "",
    progress: Progress = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Path:
    """Download `url` to `target`, or go on with it; a file that is there already and right is left as it is.

    Args:
        checksum: "sha256:" or "md5:" and the digest in hexadecimal, or the first digits of it; "": not checked.
        size: of the file in bytes, roughly; a file of another size is not even begun.
        otherwise: for people, how to get the file without a network.
        progress: told after every block; called in this thread.
        cancelled: asked after every block; what has arrived is kept for the next time.

    Raises:
        EngineError: no network, no answer, no such file, no room, or not the file that was expected; `Cancelled`.
    """
    if checksum and target.is_file() and digest_of(target, checksum).startswith(checksum.partition(":")[2]):
        return target
    part = target.with_name(f".{target.name}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(part.with_suffix(".lock"), timeout=0):
            _Download(url, target, part, checksum, size, otherwise, progress, cancelled).run()
    except Timeout:
        raise EngineError(
            f"{target.name} is being downloaded already.", "Wait until the other window has it, then try again."
        ) from None
    except OSError as error:  # from the disk; what the network does wrong is dealt with further in
        raise store.write_error(target, error) from error
    return target


def digest_of(path: Path, checksum: str = "sha256:") -> str:
    """The digest of a file in hexadecimal, of the kind that `checksum` begins with."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, checksum.partition(":")[0]).hexdigest()


def megabytes(size: int) -> str:
    """A size for people: "103 MB"."""
    return f"{size / 1e6:.0f} MB" if size >= 9.95e6 else f"{max(size, 1e5) / 1e6:.1f} MB"


class _BrokenOff(Exception):
    """The connection ended before the file did; it is worth another try."""


class _Download:
    def __init__(
        self,
        url: str,
        target: Path,
        part: Path,
        checksum: str,
        size: int,
        otherwise: str,
        progress: Progress,
        cancelled: Callable[[], bool],
    ) -> None:
        self._url, self._target, self._part = url, target, part
        self._about = part.with_suffix(".json")  # what the part is a part of
        self._checksum, self._size, self._otherwise = checksum, size, otherwise
        self._progress, self._cancelled = progress, cancelled
        self._host = urllib.parse.urlsplit(url).netloc
        self._opener = urllib.request.build_opener(_Redirects())

    def run(self) -> None:
        resumed = self._kept() > 0
        while True:
            self._get_all()
            if self._right():
                break
            self._forget()
            if not resumed:
                raise self._error(
                    f"{self._target.name} arrived, but it is not the file that was expected: its checksum is another.",
                    "Try again later.",
                )
            resumed = False  # the beginning may have been another file's: once more, from there
        self._part.replace(self._target)
        self._about.unlink(missing_ok=True)

    # ----------------------------------------------------------------------------------------------- inside

    def _get_all(self) -> None:
        """Receive until the file is whole, with several connections if they break."""
        tries = 0
        while True:
            before = self._kept()
            try:
                self._receive(before)
                return
            except _BrokenOff as broken:
                tries = 1 if self._kept() > before else tries + 1
                _log.info("%s: %s (try %d)", self._url, broken, tries)
                if tries >= _TRIES:
                    raise self._gave_up(broken) from broken
                self._wait(_PAUSE * 2 ** (tries - 1))

    def _receive(self, have: int) -> None:
        """One connection: append what it brings to the part; returns when the file is whole."""
        self._ask()
        headers = {"User-Agent": "ConvScope", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if validator := self._validator():
                headers["If-Range"] = validator
        try:
            answer = self._opener.open(urllib.request.Request(self._url, headers=headers), timeout=_PATIENCE)
        except urllib.error.HTTPError as error:
            with error:
                self._refused(error, have)
            return
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._unreachable(error) from error
        with answer:
            goes_on = answer.status == 206 and _start(answer.headers.get("Content-Range")) == have
            if answer.status not in (200, 206) or (answer.status == 206 and not goes_on):
                self._forget()
                raise _BrokenOff(f"an answer of the kind {answer.status}, from another place than asked for")
            if not goes_on:  # the whole file from its beginning, whatever was asked for
                have = 0
            length = _number(answer.headers.get("Content-Length", ""))
            total = have + length if length >= 0 else 0
            self._check_size(total, have)
            if not have:
                validator = _validator_of(answer.headers)
                self._about.write_text(json.dumps({"url": self._url, "validator": validator}), encoding="utf-8")
            self._copy(answer, have, total)

    def _copy(self, answer: Any, have: int, total: int) -> None:
        with self._part.open("ab" if have else "wb") as file:
            while True:
                self._progress(have, total)
                self._ask()
                try:
                    block = answer.read1(_BLOCK)  # what is there, without waiting for a full block
                except (OSError, http.client.HTTPException) as error:
                    raise _BrokenOff(f"after {have} bytes: {error}") from error
                if not block:
                    break
                try:
                    file.write(block)
                    file.flush()
                except OSError as error:
                    if error.errno in (errno.ENOSPC, errno.EDQUOT):
                        file.close()
                        self._forget()  # a full disk is not left full
                    raise
                have += len(block)
                if self._size and have > self._most():
                    self._forget_open(file)
                    raise self._another_size()
        if total and have < total:
            raise _BrokenOff(f"after {have} of {total} bytes")

    def _refused(self, error: urllib.error.HTTPError, have: int) -> None:
        """What an answer that is no file means; returns where the file is whole already."""
        if error.code == 416:  # the part is as long as the file, or longer
            if (error.headers.get("Content-Range") or "").endswith(f"/{have}"):
                return
            self._forget()
            raise _BrokenOff("what is here is longer than the file")
        if error.code in (408, 425, 429) or error.code >= 500:
            raise _BrokenOff(f"{error.code} {error.reason}")
        if error.code in (404, 410):
            raise self._error(f"{self._host} does not have {self._name} any more ({error.code}).") from error
        raise self._error(f"{self._host} does not give {self._name} ({error.code} {error.reason}).") from error

    def _unreachable(self, error: Exception) -> EngineError | _BrokenOff:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, EngineError):
            return reason
        if isinstance(reason, ssl.SSLCertVerificationError):
            return self._error(
                f"{self._host} cannot prove that it is {self._host}.",
                "Check this computer's date, and whether a programme or a network here reads what is encrypted.",
            )
        if isinstance(reason, TimeoutError | ssl.SSLError | http.client.HTTPException):
            return _BrokenOff(f"no answer: {reason}")
        if isinstance(reason, ConnectionError) and not isinstance(reason, ConnectionRefusedError):
            return _BrokenOff(str(reason))
        _log.info("%s: %s", self._url, error)
        return self._error(f"{self._name} could not be downloaded: there is no connection to {self._host}.")

    def _gave_up(self, broken: _BrokenOff) -> EngineError:
        have = self._kept()
        if have:
            return self._error(
                f"The download of {self._name} broke off after {megabytes(have)}.",
                "What has arrived is kept: start it again later and it goes on from there.",
            )
        return self._error(f"{self._host} does not answer as it should ({broken}).", "Try again later.")

    def _check_size(self, total: int, have: int) -> None:
        if self._size and total and not self._least() <= total <= self._most():
            raise self._another_size()
        needed = (total or self._size) - have
        free = shutil.disk_usage(self._part.parent).free
        if needed + _SPARE > free:
            raise EngineError(
                f"{self._target.name} needs {megabytes(needed)} more, and the disk has {megabytes(free)} left.",
                f"Free some space in {self._part.parent} and try again.",
            )

    def _another_size(self) -> EngineError:
        return self._error(
            f"{self._host} sends something else than {self._name}: its size is another.",
            "Perhaps this network wants you to sign in first: open any page in a browser.",
        )

    def _least(self) -> float:
        return self._size * 0.98 - 65536

    def _most(self) -> float:
        return self._size * 1.02 + 65536

    @property
    def _name(self) -> str:
        return f"{self._target.name} ({megabytes(self._size)})" if self._size else self._target.name

    def _error(self, message: str, hint: str = "") -> EngineError:
        advice = self._otherwise or "Check the connection and try again."
        return EngineError(message, f"{hint} {advice}".strip())

    # what is there already

    def _kept(self) -> int:
        """How many bytes of this very file are there; what belongs to another one is removed."""
        try:
            have = self._part.stat().st_size
        except FileNotFoundError:
            return 0
        about = self._said()
        sure = bool(self._checksum or about.get("validator"))  # that a wrong end would be noticed
        if have and about.get("url") == self._url and sure:
            return have
        self._forget()
        return 0

    def _said(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            about = json.loads(self._about.read_text(encoding="utf-8"))
            if isinstance(about, dict):
                return about
        return {}

    def _validator(self) -> str:
        validator = self._said().get("validator")
        return validator if isinstance(validator, str) and validator.isprintable() else ""

    def _right(self) -> bool:
        return not self._checksum or digest_of(self._part, self._checksum).startswith(self._checksum.partition(":")[2])

    def _forget(self) -> None:
        for path in (self._part, self._about):
            path.unlink(missing_ok=True)

    def _forget_open(self, file: Any) -> None:
        file.close()
        self._forget()

    # time

    def _ask(self) -> None:
        if self._cancelled():
            raise Cancelled(f"The download of {self._target.name}")

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._ask()
            time.sleep(0.05)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to other addresses, but never from an encrypted one to one that is not."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            host = urllib.parse.urlsplit(newurl).netloc
            raise urllib.error.URLError(
                EngineError(
                    f"The download was sent on to {host} without encryption, and not followed.",
                    "Perhaps this network wants you to sign in first: open any page in a browser.",
                )
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _start(content_range: str | None) -> int:
    """The first byte of a partial answer ("bytes 100-199/200"); -1 if it does not say."""
    return _number((content_range or "").removeprefix("bytes ").partition("-")[0])


def _number(text: str) -> int:
    """What a server counts in a header; -1 where that is no number, or none that any file could have."""
    return int(text) if text.isdecimal() and len(text) < 19 else -1


def _validator_of(headers: Any) -> str:
    """By what to recognise the same file later: its tag, unless that is a weak one, or its date."""
    tag = str(headers.get("ETag") or "")
    return tag if tag and not tag.startswith("W/") else str(headers.get("Last-Modified") or "")
