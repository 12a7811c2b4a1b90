"""`python -m local.standins`, as docs/models.md shows it."""

import signal
import subprocess
import sys
from pathlib import Path

from f.agent.loop import Allowance, Message
from f.agent.models import build_model

ROOT = Path(__file__).parents[2]


def test_it_prints_what_env_needs_and_answers_until_it_is_stopped():
    assert "python -m local.standins" in (ROOT / "docs/models.md").read_text()
    command = [sys.executable, "-m", "local.standins"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        values = dict(server.stdout.readline().strip().split("=", 1) for _ in range(4))
        for provider, key, url in (
            ("openai", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
            ("gemini", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
        ):
            model = build_model(provider, "m", {"api_key": values[key], "base_url": values[url]}, 0.3)
            asked = [Message("system", "- hours: from 8 to 6"), Message("user", "hours?")]
            assert model.complete(asked, [], Allowance(5)).text == "from 8 to 6"
        server.send_signal(signal.SIGINT)
        assert server.wait(10) == 0
