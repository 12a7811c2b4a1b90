"""Looks for secrets in what git tracks or would track."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import transient_settings

#: Made of hashes, and checked by the tools that made them.
GENERATED = ("requirements.lock", "wmill-lock.yaml", "package-lock.json")

#: Where invented values are the rule: (pattern of the path, kind). A single line is marked `pragma: allowlist secret`.
INVENTED = (
    ("tests/*/*", "Secret Keyword"),
    ("tests/fake_windmill.py", "Secret Keyword"),
    ("gateway/config.py", "Secret Keyword"),
    (".env.example", "Basic Auth Credentials"),
)

#: Kinds of secret that this project handles and no detector knows.
OWN_KINDS = {
    "Access token of Meta": re.compile(r"\bEAA[A-Za-z0-9]{40,}"),
    "API key of a tenant": re.compile(r"\bmr_[A-Za-z0-9_-]{32}\b"),
    "API key of an operator": re.compile(r"\bmro_[A-Za-z0-9_-]{32}\b"),
}

#: By form, so that ordinary words, ids and hashes are no finds.
DETECTORS = [
    "AWSKeyDetector",
    "AzureStorageKeyDetector",
    "BasicAuthDetector",
    "DiscordBotTokenDetector",
    "GitHubTokenDetector",
    "GitLabTokenDetector",
    "JwtTokenDetector",
    "KeywordDetector",
    "MailchimpDetector",
    "NpmDetector",
    "OpenAIDetector",
    "PrivateKeyDetector",
    "PypiTokenDetector",
    "SendGridDetector",
    "SlackDetector",
    "StripeDetector",
    "TelegramBotTokenDetector",
    "TwilioKeyDetector",
]
FILTERS = [
    "detect_secrets.filters.allowlist.is_line_allowlisted",
    "detect_secrets.filters.heuristic.is_indirect_reference",
    "detect_secrets.filters.heuristic.is_likely_id_string",
    "detect_secrets.filters.heuristic.is_not_alphanumeric_string",
    "detect_secrets.filters.heuristic.is_potential_uuid",
    "detect_secrets.filters.heuristic.is_prefixed_with_dollar_sign",
    "detect_secrets.filters.heuristic.is_sequential_string",
    "detect_secrets.filters.heuristic.is_templated_secret",
]


def find(root: Path) -> list[str]:
    """A line for each suspicion: file, line, kind. Never the secret itself."""
    settings = {
        "plugins_used": [{"name": name} for name in DETECTORS],
        "filters_used": [{"path": path} for path in FILTERS],
    }
    found = []
    with transient_settings(settings):
        for path in tracked_files(root):
            name = path.relative_to(root)
            if name.name in GENERATED:
                continue
            kinds = [(secret.line_number, secret.type) for secret in scan_file(str(path))]
            kinds += _own_kinds(path)
            found += [f"{name}:{line}: {kind}" for line, kind in kinds if not _is_invented(name, kind)]
    return found


def _own_kinds(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        yield from ((number, kind) for kind, pattern in OWN_KINDS.items() if pattern.search(line))


def _is_invented(name: Path, kind: str) -> bool:
    return any(kind == invented and name.match(pattern) for pattern, invented in INVENTED)


def tracked_files(root: Path) -> list[Path]:
    """Files that git tracks, or would with `git add`."""
    command = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := root / name).is_file()]
