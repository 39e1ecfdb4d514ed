"""Files whose contents nobody reads without a key, and archives that are not opened here: named, not opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from datasets_app.previews.base import Ask, Kind, Preview

if TYPE_CHECKING:
    from datasets_app.previews.base import Reader

MAGIC: Final = (
    (b"Salted__", "openssl enc", "Encrypted by openssl with a salted password."),
    (b"age-encryption.org/", "age", "Encrypted by age."),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "age, in text", "Encrypted by age."),
    (b"-----BEGIN PGP MESSAGE-----", "OpenPGP, in text", "Encrypted (or signed) by OpenPGP."),
    (b"7z\xbc\xaf\x27\x1c", "7z", "A 7z archive, which may be encrypted, is not opened here."),
    (b"Rar!\x1a\x07", "RAR", "A RAR archive, which may be encrypted, is not opened here."),
    (b"LUKS\xba\xbe", "LUKS", "An encrypted disk image."),
)
# Packets that a binary OpenPGP message begins with: a session key for a public key, or for a password.
PGP: Final = (b"\x84", b"\x85", b"\x8c", b"\xc1", b"\xc3")


class EncryptedKind(Kind):
    """Encrypted files."""

    name: ClassVar[str] = "encrypted"
    label: ClassVar[str] = "Encrypted"

    def recognises(self, head: bytes, name: str) -> bool:
        """Ask the magic; OpenPGP's is too short to be believed without the name."""
        return head.startswith(tuple(magic for magic, _, _ in MAGIC)) or _is_pgp(head, name)

    def show(self, reader: Reader, ask: Ask) -> Preview:
        """Name the format."""
        head = reader.read(0, 64)
        form, words = next(
            ((form, words) for magic, form, words in MAGIC if head.startswith(magic)),
            ("OpenPGP", "Encrypted by OpenPGP." if _is_pgp(head, ask.name) else "Encrypted."),
        )
        return Preview("application/octet-stream", [("Format", form)], {"words": words})


def _is_pgp(head: bytes, name: str) -> bool:
    return name.endswith((".gpg", ".pgp")) and head.startswith(PGP)
