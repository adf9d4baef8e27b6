"""Sealing: bytes that only who knows a passphrase can read or change, by the library `cryptography`.

A passphrase becomes a `Key` by scrypt (RFC 7914); what a key seals, by AES-256-GCM (NIST SP 800-38D), is bound to
something that is known elsewhere, such as the place where it is kept, and cannot be opened bound to anything else.
`write_records` and `read_records` make a file of many sealed records that is whole or none.
"""

from __future__ import annotations

import secrets
import struct
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from engine.errors import EngineError

COST = 17
"""Log2 of scrypt's N; with r = 8 it takes 128 MiB, as OWASP advises, and about half a second."""

_COSTS = range(8, 21)  # that are believed of a file: more would be an attack on this computer's memory
_SALT = 16
_NONCE = 12
_TAG = 16
_LOCK = 1 + _SALT + _NONCE + _TAG  # the cost, the salt, and an empty text that is sealed
_LARGEST = 64 << 20  # bytes of one record


class BrokenSeal(Exception):
    """This was not sealed with this key, or has been changed since. Whoever opens something says what it was."""


class WrongPassphrase(EngineError):
    """A key was made of another passphrase."""

    def __init__(self) -> None:
        super().__init__("The passphrase is wrong.", "Try again.")


@dataclass(frozen=True)
class Key:
    """A passphrase made into a key.

    Attributes:
        lock: what is kept in the open to know the key again; says nothing about the passphrase.
    """

    lock: bytes = field(repr=False)
    _cipher: AESGCM = field(repr=False)

    @classmethod
    def made(cls, passphrase: str) -> Key:
        """A new key, another one each time; takes about half a second.

        Raises:
            EngineError: the passphrase is empty.
        """
        if not passphrase.strip():
            raise EngineError("A passphrase cannot be empty.", "Choose several words that only you would put together.")
        salt = secrets.token_bytes(_SALT)
        key = cls(b"", _derived(passphrase, salt, COST))
        return cls(bytes([COST]) + salt + key.seal(b"", b"lock"), key._cipher)

    @classmethod
    def opened(cls, lock: bytes, passphrase: str) -> Key:
        """The key of a lock; takes about half a second.

        Raises:
            WrongPassphrase: it is another one.
            BrokenSeal: this is no lock.
        """
        if len(lock) != _LOCK or lock[0] not in _COSTS:
            raise BrokenSeal
        key = cls(lock, _derived(passphrase, lock[1 : 1 + _SALT], lock[0]))
        try:
            key.open(lock[1 + _SALT :], b"lock")
        except BrokenSeal:
            raise WrongPassphrase from None
        return key

    def seal(self, data: bytes, bound: bytes) -> bytes:
        """`data` so that only `open` with the same `bound` gives it back; 28 bytes longer."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, data, bound)

    def open(self, sealed: bytes, bound: bytes) -> bytes:
        """What was sealed.

        Raises:
            BrokenSeal: it was changed, or is bound to something else.
        """
        return self._opened(sealed[:_NONCE], sealed[_NONCE:], bound)

    def _opened(self, nonce: bytes, sealed: bytes, bound: bytes) -> bytes:
        try:
            return self._cipher.decrypt(nonce, sealed, bound)
        except (InvalidTag, ValueError):  # ValueError: too short to be anything
            raise BrokenSeal from None


def _derived(passphrase: str, salt: bytes, cost: int) -> AESGCM:
    # The same letters may be typed in several ways (é as one sign or as two); all of them are the same passphrase.
    text = unicodedata.normalize("NFKC", passphrase).encode("utf-8", "surrogatepass")
    return AESGCM(Scrypt(salt=salt, length=32, n=1 << cost, r=8, p=1).derive(text))


# A file is a head (a magic word, the lock, the beginning of all nonces), then records, each sealed by itself: its place
# is part of its nonce, and so is whether it is the last one, so that none can be left out, swapped or cut off (the
# STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár 2015). Every record is bound to the head.

_PREFIX = 7  # bytes of a nonce that all records of a file share


def write_records(file: BinaryIO, key: Key, magic: bytes, records: Iterable[bytes]) -> None:
    """Write records, none of them empty, so that `read_records` gives all of them or nothing."""
    head = magic + key.lock + secrets.token_bytes(_PREFIX)
    file.write(head)
    place = 0
    for record in records:
        _write_one(file, key._cipher.encrypt(_nonce(head, place, last=False), record, head))
        place += 1
    _write_one(file, key._cipher.encrypt(_nonce(head, place, last=True), b"", head))


def unlock_records(file: BinaryIO, magic: bytes, passphrase: str) -> tuple[Key, bytes]:
    """The key and the head of a file that `write_records` made, at whose beginning it stands.

    Raises:
        WrongPassphrase, BrokenSeal: as `Key.opened`.
    """
    head = file.read(head_size(magic))
    if len(head) < head_size(magic) or not head.startswith(magic):
        raise BrokenSeal
    return Key.opened(head[len(magic) : -_PREFIX], passphrase), head


def head_size(magic: bytes) -> int:
    """Bytes before the first record."""
    return len(magic) + _LOCK + _PREFIX


def read_records(file: BinaryIO, key: Key, head: bytes) -> Iterator[bytes]:
    """The records behind the head, one after the other. What they say holds only once all of them have come.

    Raises:
        BrokenSeal: at the first byte that is not as it was.
    """
    file.seek(len(head))
    place = 0
    while True:
        size = file.read(4)
        length = struct.unpack("<I", size)[0] if len(size) == 4 else 0
        if not _TAG <= length <= _LARGEST or len(sealed := file.read(length)) != length:
            raise BrokenSeal
        last = length == _TAG
        record = key._opened(_nonce(head, place, last=last), sealed, head)
        if last:
            if file.read(1):
                raise BrokenSeal
            return
        yield record
        place += 1


def _write_one(file: BinaryIO, sealed: bytes) -> None:
    file.write(struct.pack("<I", len(sealed)) + sealed)


def _nonce(head: bytes, place: int, *, last: bool) -> bytes:
    return head[-_PREFIX:] + struct.pack(">IB", place, last)
