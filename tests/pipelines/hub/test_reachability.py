"""The hub asked from a child process: every answer by its name, and none after the time limit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from gpts_data.pipelines.hub.reachability import (
    BAD_NAME,
    FORBIDDEN,
    GATED,
    MISSING,
    NO_REVISION,
    REFUSED,
    SILENT,
    DatasetStatus,
    check_reachable,
)
from tests.support.hub import Handler, Hub

CANARY = "hf_" + "QXJZVKWQZJXVKQWZXJVKQZWXJVKQZW"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one open dataset, `acme/open`, that a child of this process would ask; nobody is logged in."""
    with Hub(tmp_path / "hub") as hub:
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in hub.env(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        (hub.folder("acme/open") / "train.jsonl").write_text("{}\n", encoding="utf-8")
        yield hub


def misbehave(handler: Handler, path: str) -> bool:
    if path.endswith("/auth-check"):
        handler.send(403, X_Error_Code="GatedRepo")
    elif "acme/gated" in path:
        body = json.dumps({"id": "acme/gated", "sha": "0" * 40, "gated": "manual"}).encode()
        handler.send(200, body, Content_Type="application/json")
    elif "acme/refused" in path:
        handler.send(401, X_Error_Message="Invalid credentials in Authorization header")
    elif "acme/forbidden" in path:
        handler.send(403)
    elif "acme/broken" in path:
        handler.send(503)
    else:
        return False
    return True


def test_every_answer_has_its_name(hub: Hub) -> None:
    hub.fault = misbehave
    wanted = {
        ("acme/open", None): DatasetStatus("acme/open"),
        ("acme/open", "main"): DatasetStatus("acme/open"),
        ("acme/open", "v9"): DatasetStatus("acme/open", NO_REVISION, "v9"),
        ("acme/none", None): DatasetStatus("acme/none", MISSING, "HTTP 404"),
        ("acme/gated", None): DatasetStatus("acme/gated", GATED, "HTTP 403"),
        ("acme/refused", None): DatasetStatus("acme/refused", REFUSED, "HTTP 401"),
        ("acme/forbidden", None): DatasetStatus("acme/forbidden", FORBIDDEN, "HTTP 403"),
        ("acme/broken", None): DatasetStatus("acme/broken", SILENT, "HTTP 503"),
        ("a/b/c", None): DatasetStatus("a/b/c", BAD_NAME),
    }
    found = check_reachable(list(wanted))
    assert found.seen == tuple(wanted.values())
    assert found.token_from == ""


def test_one_request_a_dataset_with_the_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    hub.fault = lambda handler, path: bool(said.append(handler.headers.get("Authorization")))
    monkeypatch.setenv("HF_TOKEN", CANARY)
    found = check_reachable([("acme/open", None)])
    assert said == [f"Bearer {CANARY}"]
    assert found.token_from == "HF_TOKEN"


def test_the_token_of_the_client_s_file(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home/token").write_text(CANARY, encoding="utf-8")
    assert check_reachable([("acme/open", None)]).token_from == "the client's token file"


def test_a_dataset_that_hangs_ends_with_the_time_and_holds_up_no_other(hub: Hub) -> None:
    ended, answered = Event(), []

    def hang(handler: Handler, path: str) -> bool:
        if "acme/slow" in path:
            ended.wait(240)
            answered.append(path)
        return False

    hub.fault = hang
    found = check_reachable([("acme/slow", None), ("acme/open", None)], seconds=5)
    assert not answered
    ended.set()
    assert found.seen == (DatasetStatus("acme/slow", SILENT, "within 5 s"), DatasetStatus("acme/open"))


def test_a_hub_that_is_down(hub: Hub) -> None:
    hub.stop()
    assert check_reachable([("acme/open", None)]).seen == (DatasetStatus("acme/open", SILENT, "ConnectError"),)


def test_offline_by_choice(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert check_reachable([("acme/open", None)]).seen == (DatasetStatus("acme/open", SILENT, "OfflineModeIsEnabled"),)


def test_a_client_that_cannot_start(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "huggingface_hub.py").write_text("raise SystemExit(7)", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    found = check_reachable([("acme/open", None)])
    assert found.seen == (DatasetStatus("acme/open", SILENT, "its client ended with status 7"),)
    assert found.token_from is None
