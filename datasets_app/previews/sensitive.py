"""Patterns of what should not lie in a dataset: keys and passwords, and data about people.

What is found is named and counted, never repeated: a report of secrets must not be another place where they lie.
"""

from __future__ import annotations

import re
from typing import Final

# What it is, texts of which it has one (finding those is fifty times as fast as a pattern), and how it looks.
SECRETS: Final[tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...]] = (
    ("private key", ("PRIVATE KEY",), re.compile(r"-----BEGIN (?:[A-Z]{2,9} ){0,2}PRIVATE KEY(?: BLOCK)?-----")),
    ("AWS access key", ("AKIA", "ASIA"), re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    (
        "GitHub token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9_]{60,})\b"),
    ),
    ("GitLab token", ("glpat-",), re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("Slack token", ("xox",), re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}")),
    ("Google API key", ("AIza",), re.compile(r"\bAIza[0-9A-Za-z_-]{35}")),
    ("Hugging Face token", ("hf_",), re.compile(r"\bhf_[A-Za-z0-9]{34,}\b")),
    ("OpenAI key", ("sk-",), re.compile(r"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{40,}")),
    ("Stripe key", ("k_live_",), re.compile(r"\b[rs]k_live_[A-Za-z0-9]{16,}\b")),
    ("PyPI token", ("pypi-AgEI",), re.compile(r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{40,}")),
    ("npm token", ("npm_",), re.compile(r"\bnpm_[A-Za-z0-9]{36}\b")),
    ("Azure storage key", ("AccountKey=",), re.compile(r"\bAccountKey=[A-Za-z0-9+/]{60,}={0,2}")),
    (
        "JSON web token",
        (".eyJ",),
        re.compile(r"\beyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    ),
    (
        "address with a password",
        ("://",),
        re.compile(r"://[^\s:/@'\"]{1,64}:[^\s:/@'\"$<{*]{6,64}@[\w.-]+"),
    ),
)
_PASSWORD_WORDS: Final = ("secret", "passw", "api_key", "apikey", "auth_token", "access_token")
# Letters and digits, of some length: neither a word nor a reference to what is elsewhere.
_PASSWORD: Final = re.compile(
    r"(?i)(?:secret|passw(?:or)?d|api_?key|auth_token|access_token)\w{0,20}[\"']?\s{0,3}[:=]\s{0,3}[\"']?"
    r"(?=[^\s\"']{0,200}\d)(?=[^\s\"']{0,200}[A-Za-z])[A-Za-z0-9+/=_~.-]{16,200}(?=[\"'\s,;]|$)"
)
# Names of files that usually hold secrets, in lower case.
SECRET_NAMES: Final = re.compile(
    r"(?:^|/)(?:\.env(?:\.(?!example|sample|template|dist)[\w-]+)?|id_(?:rsa|dsa|ecdsa|ed25519)|\.netrc|\.pgpass|\.pypirc"
    r"|\.git-credentials|\.htpasswd|\.aws/credentials|\.docker/config\.json|\.kube/config|[^/]+\.(?:p12|pfx|jks|kdbx|ppk))$"
)
_MAIL: Final = re.compile(r"(?<=[\w.%+-])@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24})\b")
# Reserved for examples, and mailboxes of nobody.
_NOBODY: Final = ("example.com", "example.org", "example.net", "localhost.localdomain", "users.noreply.github.com")
_PHONE: Final = re.compile(
    r"(?<![\w.+-])\+[1-9]\d{0,2}[ ./-]?(?:\(\d{1,5}\)[ ./-]?)?(?:\d[ ./-]?){6,11}\d(?![\w.]\d|\d)"
)
_IBAN: Final = re.compile(r"[A-Z][A-Z]\d\d(?<!\w\w{4})(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
_CARD: Final = re.compile(r"[2-6]\d{3}(?<![\w.+-]\d{4})([ -]?)\d{4,6}\1\d{4,5}(?:\1\d{4})?(?!\.\d|[\w-])")
_SOCIAL: Final = re.compile(r"[0-8]\d\d-\d\d-\d{4}(?<![\w.-]\d{3}-\d\d-\d{4})(?![\w-])")
MOST_HITS: Final = 5


def find_secrets(text: str) -> list[tuple[str, int]]:
    """Name what looks like keys and passwords, each with its line from 1; at most five kinds, the first of each."""
    found: list[tuple[str, int]] = []
    for label, marks, pattern in (*SECRETS, ("password or key", _PASSWORD_WORDS, _PASSWORD)):
        if len(found) == MOST_HITS:
            break
        searched = text.lower() if pattern is _PASSWORD else text
        match = pattern.search(text) if any(mark in searched for mark in marks) else None
        if match is not None:
            found.append((label, text.count("\n", 0, match.start()) + 1))
    return found


def count_personal(text: str) -> dict[str, int]:
    """Count what looks like data about people, by its kind; numbers with check digits only where these fit."""
    cards = [_is_card(match[0]) for match in _CARD.finditer(text)]
    counts = {
        "e-mail address": sum(match[1].lower() not in _NOBODY for match in _MAIL.finditer(text)) if "@" in text else 0,
        "phone number": sum(1 for _ in _PHONE.finditer(text)) if "+" in text else 0,
        "bank account (IBAN)": sum(_is_iban(match[0]) for match in _IBAN.finditer(text)),
        # One in ten of any numbers has fitting digits: a column of those is no column of cards.
        "payment card": sum(cards) if sum(cards) * 2 >= len(cards) else 0,
        "social security number": sum(match[0][:3] not in {"000", "666"} for match in _SOCIAL.finditer(text)),
    }
    return {label: count for label, count in counts.items() if count}


def _is_iban(text: str) -> bool:
    """Check the two digits of ISO 13616."""
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:  # noqa: PLR2004 - the shortest and the longest there are
        return False
    turned = plain[4:] + plain[:4]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1


def _is_card(text: str) -> bool:
    """Check by Luhn's formula; a row of equal digits is no number of a card."""
    digits = [int(sign) for sign in text if sign.isdigit()]
    # American Express has 15, and begins with 34 or 37.
    if len(digits) != (15 if digits[0] == 3 else 16) or len(set(digits)) < 2:  # noqa: PLR2004
        return False
    doubled = [2 * digit - 9 * (digit > 4) for digit in digits[-2::-2]]  # noqa: PLR2004
    return (sum(doubled) + sum(digits[-1::-2])) % 10 == 0
