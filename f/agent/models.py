# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "annotated-types==0.8.0", "anyio==4.16.0", "attrs==26.1.0", "certifi==2026.10.19.post1", "cffi==2.1.1",
#   "charset-normalizer==3.5.3", "cryptography==50.0.2", "distro==1.9.0", "google-auth==2.63.0", "google-genai==3.6.1",
#   "h11==0.16.0", "httpcore==1.0.9", "httpcore2==2.16.2", "httpx==0.28.1", "httpx2==2.16.2", "idna==3.20",
#   "jiter==0.19.0", "jsonschema==4.26.0", "jsonschema-specifications==2025.9.1", "openai==3.57.0", "pyasn1==0.6.5",
#   "pyasn1-modules==0.4.2", "pycparser==3.12", "pydantic==2.14.4", "pydantic-core==2.50.5", "referencing==0.37.0",
#   "requests==2.34.2", "rpds-py==2026.9.1", "sniffio==1.3.1", "tenacity==9.1.4", "truststore==0.10.5",
#   "typing-extensions==4.16.0", "typing-inspection==0.4.5", "urllib3==2.8.0", "websockets==17.4",
# ]
# ///
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
