"""f/lib/logs.py: one JSON object a line, and no text of exceptions."""

import json
import subprocess
import sys
import traceback

import pytest

from f.lib.logs import log, logged, note

TURN = {"organization_id": "o", "conversation_id": "c", "turn_id": "t", "fence": 3}


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_names_its_job(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WM_JOB_ID", "j")
    monkeypatch.setenv("WM_FLOW_JOB_ID", "f")
    log("part", level="warning", wamid="w", attempts=2, nothing=None, long="x" * 500)
    [line] = lines(capsys)
    assert line.pop("at").endswith("+00:00")
    wanted = {"level": "warning", "event": "part", "job_id": "j", "flow_job_id": "f", "wamid": "w", "attempts": 2}
    assert wanted.items() <= line.items()
    assert len(line["long"]) == 200 and "nothing" not in line


def test_a_step_says_for_whom_it_decided_what(capsys: pytest.CaptureFixture[str]) -> None:
    @logged
    def main(database: dict, turn: dict, word: str = "") -> dict:
        note(model="m")
        return {"state": "generated", "body": ["not a decision"], "turn": TURN}

    main({"password": "secret-word"}, TURN, word="hola")
    [line] = lines(capsys)
    assert line["event"] == "test_logs" and line["state"] == "generated" and line["model"] == "m"
    assert TURN.items() <= line.items() and line["ms"] >= 0
    assert "secret-word" not in str(line) and "hola" not in str(line) and "body" not in line


class OwnText(Exception):
    def __str__(self) -> str:
        return "hola"


class MadeOfAttributes(Exception):
    def __init__(self, word: str) -> None:
        self.word = word

    def __str__(self) -> str:
        return self.word


@pytest.mark.parametrize(
    "error",
    [ValueError("hola"), OSError(2, "hola"), KeyError("hola"), OwnText(), SystemExit("hola"), MadeOfAttributes("hola")],
)
def test_an_error_goes_on_without_its_text(capsys: pytest.CaptureFixture[str], error: BaseException) -> None:
    @logged
    def main(turn: dict) -> None:
        try:
            raise RuntimeError("hola, the cause")
        except RuntimeError as cause:
            error.add_note("hola, a note")
            raise error from cause

    with pytest.raises(BaseException) as caught:
        main(TURN)
    assert caught.type.__name__ == type(error).__name__
    assert not vars(caught.value), "Windmill shows them with the run"
    shown = "".join(traceback.format_exception(caught.value)).replace('raise RuntimeError("hola, the cause")', "")
    assert "hola" not in shown.replace('error.add_note("hola, a note")', "")
    [line] = lines(capsys)
    assert line["level"] == "error" and line["error"] == type(error).__name__ and line["turn_id"] == "t"
    assert "test_logs.py" in line["stack"][-1] and "hola" not in str(line)


def test_it_is_cheap_to_import() -> None:
    code = "import sys; import f.lib.logs; print(any(m in sys.modules for m in ('logging', 'asyncio', 'traceback')))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
