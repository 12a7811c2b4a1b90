"""A real Windmill in the place of the local engine: one of its workspaces becomes that of this installation."""

from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from local import bootstrap
from local.install import ROOT, wmill
from local.push import Options, Push
from local.running import StackError
from local.windmill import Windmill

#: Says of a workspace that it belongs to a local installation: what has customers has `false` there.
MARK = "f/lib/local_addresses"


def check(windmill: Windmill) -> None:
    """Raises StackError where the workspace is there and no local installation's, and WindmillError.

    Nothing is changed by it.
    """
    windmill.version()
    if not _is_there(windmill) or windmill.get(windmill.path(f"/variables/exists/{MARK}")) is not True:
        return
    if windmill.get(windmill.path(f"/variables/get/{MARK}"))["value"] != "true":
        raise StackError(
            f"the workspace {windmill.workspace} at {windmill.url} is no local installation's ({MARK} is not true"
            " there), and ./dev up would make it one: name another in WINDMILL_WORKSPACE, a new one is made"
        )


def take_over(windmill: Windmill, values: Mapping[str, str], token_file: Path, say: Callable[[str], None]) -> None:
    """Push the files, make variables and resources lead to this installation, and write the gateway a new token.

    Raises what `Push.run` does.
    """
    say(f"windmill: {windmill.version()} at {windmill.url}, workspace {windmill.workspace}")
    _switch_schedules(windmill, on=True)
    # A token is shown once, and whichever installation had the last one is replaced by this.
    options = Options(replace_values=True, token_file=token_file, new_token=True)
    Push(
        ROOT, windmill, bootstrap.read_catalogue(values), wmill(), options, lambda line: say(f"windmill: {line}")
    ).run()


def leave(windmill: Windmill) -> None:
    """Switch the schedules off: where they lead, nothing answers any more. Raises WindmillError."""
    _switch_schedules(windmill, on=False)


def _is_there(windmill: Windmill) -> bool:
    return windmill.post("/workspaces/exists", {"id": windmill.workspace}).strip() == "true"


def _switch_schedules(windmill: Windmill, *, on: bool) -> None:
    """Of those that the files switch on, as far as they are there and are otherwise."""
    if not _is_there(windmill):
        return
    for file in sorted(ROOT.glob("[fu]/**/*.schedule.yaml")):
        path = file.relative_to(ROOT).as_posix().removesuffix(".schedule.yaml")
        if not yaml.safe_load(file.read_text()).get("enabled"):
            continue
        if windmill.get(windmill.path(f"/schedules/exists/{path}")) is not True:
            continue
        if windmill.get(windmill.path(f"/schedules/get/{path}"))["enabled"] is not on:
            windmill.post(windmill.path(f"/schedules/setenabled/{path}"), {"enabled": on})
