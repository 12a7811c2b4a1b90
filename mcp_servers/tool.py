"""What a tool is: a name, arguments that are checked strictly, and a function that runs in a transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from f.lib.caller_tokens import Caller
from f.lib.database import Connection
from mcp_servers.errors import InvalidArguments


class Arguments(BaseModel):
    """Arguments of a tool: unknown ones and those of another type are refused, never converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL")
    return text


#: Texts as PostgreSQL can keep them, of a sentence or two and of a paragraph.
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_storable)]
Paragraph = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000), AfterValidator(_storable)
]


@dataclass(frozen=True)
class Call:
    """One call: a transaction bound to the caller's organisation, and who calls."""

    connection: Connection
    caller: Caller

    @property
    def parameters(self) -> dict[str, Any]:
        return dict(vars(self.caller))


@dataclass(frozen=True)
class Tool:
    """`run` gets the call and an instance of `arguments`. With an effect, a repeated key gets the first result."""

    name: str
    description: str
    arguments: type[Arguments]
    run: Callable[[Call, Any], BaseModel]
    has_effect: bool

    @property
    def schema(self) -> dict[str, Any]:
        return self.arguments.model_json_schema()

    def parse(self, arguments: dict[str, Any]) -> Arguments:
        """The arguments as `run` takes them. Raises InvalidArguments with every problem there is."""
        try:
            return self.arguments.model_validate(arguments)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            lines = [f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg']}" for problem in problems]
            raise InvalidArguments("; ".join(lines[:10])) from error
