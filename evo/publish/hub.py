"""A folder as one commit on the Hugging Face hub.

Invariant: the token comes from HF_TOKEN and from nowhere else, and is in no message. The commit is one: a push that is
cut off leaves the repository as it was. HF_ENDPOINT names another hub.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from evo.errors import MissingExtra, Refused, RunFailed, UsageError

_REPO = re.compile(r"[\w][\w.-]{0,94}[\w]/[\w](?:[\w.-]{0,94}[\w])?", re.ASCII)
_STALE = ("*.safetensors", "*.safetensors.index.json", "adapter_config.json", "chat_template.jinja")
"""What an earlier push may have left and this one does not bring is taken away, or a loader would mix the two."""


class Account(NamedTuple):
    repo: str
    token: str


class Pushed(NamedTuple):
    url: str
    commit: str


def account_of(repo: str, environment: Mapping[str, str]) -> Account:
    """Whose repository is pushed to. UsageError, Refused or MissingExtra before anything is made ready."""
    if _REPO.fullmatch(repo) is None or ".." in repo or "--" in repo:
        raise UsageError(f"{repo!r} is no repository", hint="--repo OWNER/NAME")
    if environment.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise Refused("HF_HUB_OFFLINE is set: nothing can be pushed", hint=f"HF_HUB_OFFLINE=0 evo push … --repo {repo}")
    token = environment.get("HF_TOKEN", "").strip()
    if not token:
        raise Refused("HF_TOKEN is not set", hint="export HF_TOKEN: a token that may write, from the hub's settings")
    if find_spec("huggingface_hub") is None:
        raise MissingExtra("huggingface_hub", "train")
    return Account(repo, token)


def push(folder: Path, account: Account, *, is_private: bool, message: str) -> Pushed:
    """Upload `folder`, making the repository where there is none. RunFailed with the hub's own words."""
    hub: Any = import_module("huggingface_hub")
    utils: Any = import_module("huggingface_hub.utils")
    faults: Any = import_module("huggingface_hub.errors")
    utils.disable_progress_bars()
    api = hub.HfApi(token=account.token, library_name="evo")
    try:
        api.create_repo(account.repo, private=is_private, exist_ok=True)
        done = api.upload_folder(
            repo_id=account.repo, folder_path=folder, commit_message=message, delete_patterns=list(_STALE)
        )
    except (faults.HTTPError, ValueError, OSError, RuntimeError) as error:
        raise RunFailed(f"the hub did not take {account.repo}: {_words(error, account)}", hint=_hint(error)) from None
    return Pushed(str(done.repo_url), str(done.oid))


def _words(error: BaseException, account: Account) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    return said.replace(account.token, "…")[:300]


def _hint(error: BaseException) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return "HF_TOKEN must be allowed to write to that repository"
    return f"nothing was committed; see {os.environ.get('HF_ENDPOINT', 'https://huggingface.co')}"
