"""Choosing a chatbot's model."""

from typing import Any

from f.agent.loop import Model, ModelError


def build_model(chatbot: dict[str, Any], resource: dict[str, Any] | None) -> Model:
    """The model of a chatbot's settings; `resource` is the provider's, resolved by Windmill.

    Adapters are imported when they are needed: a provider's SDK costs more than a second.
    """
    match chatbot["model_provider"]:
        case "demo":
            from f.agent.demo_model import DemoModel

            return DemoModel()
        case "openai":
            from f.agent.openai_model import OpenAIModel

            return OpenAIModel(chatbot["model_name"], resource or {}, float(chatbot["temperature"]))
        case provider:
            raise ModelError(f"unknown model provider {provider!r}")
