"""Choosing a chatbot's models: the first, and those that stand in for it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from f.agent.chain import Link, Price
from f.agent.loop import Model, ModelError


def model_list(chatbot: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The chatbot's models in order: [{"provider", "name", "resource_path"}]."""
    first = {
        "provider": chatbot["model_provider"],
        "name": chatbot["model_name"],
        "resource_path": chatbot["model_resource_path"],
    }
    return [first, *chatbot["fallback_models"]]


def build_links(
    chatbot: Mapping[str, Any], resources: Mapping[str, Any], prices: Sequence[Mapping[str, Any]]
) -> list[Link]:
    """The chatbot's chain; `resources` are the providers', by path, as Windmill resolved them."""
    known = {(row["provider"], row["name"]): _price(row) for row in prices}
    links = []
    for model in model_list(chatbot):
        provider, name, path = model["provider"], model.get("name") or "demo", model.get("resource_path")
        resource = resources.get(path) if path else None
        build = partial(build_model, provider, name, resource, float(chatbot["temperature"]))
        links.append(Link(provider, name, path, build, known.get((provider, name))))
    return links


def build_model(provider: str, name: str, resource: Mapping[str, Any] | None, temperature: float) -> Model:
    """The adapter to a model. Imported when it is needed: a provider's SDK costs about a second."""
    if provider == "demo":
        from f.agent.demo_model import DemoModel

        return DemoModel()
    if not resource or not resource.get("api_key"):
        raise ModelError("the model's resource has no api_key", "denied")
    base_url = resource.get("base_url") or None
    match provider:
        case "openai":
            from f.agent.openai_model import OpenAIModel

            return OpenAIModel(name, resource["api_key"], base_url, temperature)
        case "gemini":
            from f.agent.gemini_model import GeminiModel

            version = {"api_version": resource["api_version"]} if resource.get("api_version") else {}
            return GeminiModel(name, resource["api_key"], base_url, temperature, **version)
    raise ModelError(f"unknown model provider {provider!r}")


def _price(row: Mapping[str, Any]) -> Price:
    return Price(Decimal(row["prompt_price"]), Decimal(row["completion_price"]))
