# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "psycopg==3.3.9", "psycopg-binary==3.3.9", "typing-extensions==4.16.0",
# ]
# ///
"""Create a chatbot, or change the one of this slug"""

from typing import Any, Literal

from psycopg.types.json import Jsonb

from f.admin import queries
from f.admin.desk import Desk, open_desk
from f.lib import http

#: Where the provider's key is, unless an operator names another resource of f/agent.
RESOURCES = {"demo": None, "openai": "f/agent/openai", "gemini": "f/agent/gemini"}

#: Numbers of a vector that each embedding model may have, the usual one first, and where its key is.
EMBEDDINGS: dict[str, tuple[tuple[int, ...], str | None]] = {
    "multilingual-e5-small": ((384,), None),
    "text-embedding-3-small": ((1536, 512), "f/agent/openai"),
}

#: What a new chatbot has besides what must be given.
DEFAULTS: dict[str, Any] = {
    "instructions": "",
    "facts": [],
    "blocked_text": None,
    "quota_text": None,
    "handoff_minutes": 720,
    "questions": [],
    "model_provider": "demo",
    "model_name": "demo",
    "model_resource_path": None,
    "fallback_models": [],
    "temperature": 0.3,
    "max_steps": 6,
    "max_seconds": 60,
    "max_tokens": 60000,
    "max_cost": 0.25,
    "merge_seconds": 2,
    "embedding_model": "multilingual-e5-small",
    "embedding_dimensions": 384,
    "embedding_resource_path": None,
    "cites_sources": True,
    "knowledge_threshold": None,
    "reranker": "offline",
    "reranker_model": None,
    "reranker_resource_path": None,
    "is_active": True,
}

MAX_FACTS = 200
MAX_QUESTIONS = 20

RESOURCE_FIELDS = ("model_resource_path", "embedding_resource_path", "reranker_resource_path")


@http.answering()
def main(
    slug: str,
    organization: str | None = None,
    name: str | None = None,
    language: str | None = None,
    persona: str | None = None,
    instructions: str | None = None,
    fallback_text: str | None = None,
    blocked_text: str | None = None,
    quota_text: str | None = None,
    handoff_minutes: int | None = None,
    questions: list[dict] | None = None,
    facts: list[dict] | None = None,
    model_provider: Literal["demo", "openai", "gemini"] | None = None,
    model_name: str | None = None,
    model_resource_path: str | None = None,
    fallback_models: list[dict] | None = None,
    temperature: float | None = None,
    max_steps: int | None = None,
    max_seconds: int | None = None,
    max_tokens: int | None = None,
    max_cost: float | None = None,
    merge_seconds: float | None = None,
    embedding_model: Literal["multilingual-e5-small", "text-embedding-3-small"] | None = None,
    embedding_dimensions: int | None = None,
    embedding_resource_path: str | None = None,
    cites_sources: bool | None = None,
    knowledge_threshold: float | None = None,
    reranker: Literal["none", "offline", "api", "model"] | None = None,
    reranker_model: str | None = None,
    reranker_resource_path: str | None = None,
    is_active: bool | None = None,
    request: dict | None = None,
) -> dict:
    """Purpose: who the bot is and what it knows without documents. What is left out stays as it is.

    slug: short name in small letters, digits and hyphens; the chatbot of this name is changed, else created
    organization: slug or id; a tenant's key may leave it out
    name: as customers know it; needed for a new chatbot, like language, persona and fallback_text
    language: code of the language it speaks, such as es or pt-BR
    persona: who it is and how it speaks
    instructions: what the model is told besides the persona
    fallback_text: what it says when it cannot answer
    blocked_text: what it says when the provider refuses the content, if not the fallback text
    quota_text: what it says, once, when a quota is used up, if not the fallback text
    handoff_minutes: how long it stays silent after a person of the business wrote, 1 to 43200; 720 is usual
    questions: what it is to find out of a lead, in order; a list of {"key", "question"} that replaces the former
    facts: what it knows, a list of {"topic", "text"}
    model_provider: demo needs no account
    model_name: the provider's name of the model
    model_resource_path: for operators, another resource f/agent/... with the provider's key
    fallback_models: models that stand in, in order, 4 at most; a list of {"provider", "name"}
    temperature: 0 to 2
    max_steps: answers of the model in one turn, 1 to 20
    max_seconds: of one turn, 5 to 70
    max_tokens: of one turn, 500 or more
    max_cost: of one turn, in US dollars
    merge_seconds: how long a turn waits for the rest of a burst of messages, 0 to 20
    embedding_model: what finds passages of documents by meaning; after a change they are embedded again
    embedding_dimensions: numbers of a vector: 384, or 1536 (usual) or 512 with text-embedding-3-small
    embedding_resource_path: for operators, another resource f/agent/... with the key of the embedding model
    cites_sources: false, and an answer from documents does not end with their names
    knowledge_threshold: how near to a question a passage must be, 0 to 1, if not as its embedding model needs
    reranker: what orders the passages that were found: offline is usual; api; model, the chatbot's own
    reranker_model: what the API calls its model
    reranker_resource_path: for operators, the resource with the API's base_url and api_key
    is_active: false, and it refuses messages
    request: filled in by the HTTP route; leave it empty

    Returns the chatbot's id, whether it is new, and the names of the fields that changed.
    """
    given: dict[str, Any] = {
        "name": name,
        "language": language,
        "persona": persona,
        "instructions": instructions,
        "fallback_text": fallback_text,
        "blocked_text": blocked_text,
        "quota_text": quota_text,
        "handoff_minutes": handoff_minutes,
        "questions": questions,
        "facts": facts,
        "model_provider": model_provider,
        "model_name": model_name,
        "model_resource_path": model_resource_path,
        "fallback_models": fallback_models,
        "temperature": temperature,
        "max_steps": max_steps,
        "max_seconds": max_seconds,
        "max_tokens": max_tokens,
        "max_cost": max_cost,
        "merge_seconds": merge_seconds,
        "embedding_model": embedding_model,
        "embedding_dimensions": embedding_dimensions,
        "embedding_resource_path": embedding_resource_path,
        "cites_sources": cites_sources,
        "knowledge_threshold": knowledge_threshold,
        "reranker": reranker,
        "reranker_model": reranker_model,
        "reranker_resource_path": reranker_resource_path,
        "is_active": is_active,
    }
    with open_desk("save_chatbot", request) as desk:
        organization_id = desk.organization(organization)
        given = {field: checked(field, value) for field, value in given.items() if value is not None}
        stand_ins = given.get("fallback_models", [])
        named = [model["resource_path"] for model in stand_ins if model.get("resource_path") not in RESOURCES.values()]
        named += [field for field in RESOURCE_FIELDS if field in given]
        if named and not desk.is_operator:
            raise http.ApiError(403, "operators_only", "only operators may name a model's resource")
        return save(desk, {"organization_id": organization_id, "slug": http.slug("slug", slug)}, given)


def save(desk: Desk, keys: dict[str, Any], given: dict[str, Any]) -> dict:
    with desk.work(keys["organization_id"]) as record:
        known = desk.connection.execute(queries.LOCK_CHATBOT, keys).fetchone()
        old = http.plain(known or DEFAULTS)
        if known:
            old["questions"] = desk.connection.execute(queries.LIST_QUESTIONS, keys | {"id": old["id"]}).fetchall()
        new = old | given | model_of(old, given) | embedding_of(old, given)
        for field in ("name", "language", "persona", "fallback_text"):
            if field not in new:
                raise http.invalid(field, "is missing: a new chatbot needs it")
        check_reranker(keys["organization_id"], new)
        values = {**keys, **new, "facts": Jsonb(new["facts"]), "fallback_models": Jsonb(new["fallback_models"])}
        taken = http.ApiError(409, "conflict", "somebody else created this chatbot just now: try again")
        kept = desk.keep(known, queries.CHANGE_CHATBOT, queries.ADD_CHATBOT, values, taken)
        new["id"] = str(kept["id"])
        if new["questions"] != old["questions"]:
            ask(desk, {**keys, "id": new["id"]}, new["questions"])
        changed = [field for field in new if field != "id" and (not known or new[field] != old[field])]
        record(
            "chatbot",
            new["id"],
            old={field: old[field] for field in changed} if known else None,
            new={field: new[field] for field in changed},
        )
    return {"id": new["id"], "slug": keys["slug"], "is_new": not known, "changed": changed}


def ask(desk: Desk, keys: dict[str, Any], questions: list[dict[str, str]]) -> None:
    """Replace the chatbot's questions for leads."""
    desk.connection.execute(queries.DELETE_QUESTIONS, keys)
    lists = {"keys": [q["key"] for q in questions], "texts": [q["question"] for q in questions]}
    desk.connection.execute(queries.ADD_QUESTIONS, keys | lists)


def model_of(old: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Another provider has another resource, and models of other names."""
    provider = given.get("model_provider", old["model_provider"])
    if provider == old["model_provider"]:
        return {}
    if provider != "demo" and "model_name" not in given:
        raise http.invalid("model_name", "is missing: another provider has other models")
    return {
        "model_name": given.get("model_name", "demo"),
        "model_resource_path": given.get("model_resource_path", RESOURCES[provider]),
    }


def embedding_of(old: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Another embedding model has another resource, vectors of other lengths, and other cosines."""
    model = given.get("embedding_model", old["embedding_model"])
    lengths, path = EMBEDDINGS[model]
    is_other = model != old["embedding_model"]
    length = given.get("embedding_dimensions", lengths[0] if is_other else old["embedding_dimensions"])
    if length not in lengths:
        known = " or ".join(map(str, lengths))
        raise http.invalid("embedding_dimensions", f"must be {known} with {model}")
    if path is None:
        if "embedding_resource_path" in given:
            raise http.invalid("embedding_resource_path", f"{model} needs no key")
    elif "embedding_resource_path" in given or not is_other:
        path = given.get("embedding_resource_path", old["embedding_resource_path"])
    changed = {"embedding_model": model, "embedding_dimensions": length, "embedding_resource_path": path}
    return changed | ({"knowledge_threshold": given.get("knowledge_threshold")} if is_other else {})


def check_reranker(organization_id: str, new: dict[str, Any]) -> None:
    """Whether there is what it needs. An API's key may also be in the tenant's own folder."""
    path = new["reranker_resource_path"]
    if path and not path.startswith(("f/agent/", f"f/integrations/{organization_id}/")):
        raise http.invalid("reranker_resource_path", "must be a resource of f/agent or of the tenant's own folder")
    if new["reranker"] == "api":
        for field in ("reranker_model", "reranker_resource_path"):
            if not new[field]:
                raise http.invalid(field, "is missing: the reranker api needs it")
    if new["reranker"] == "model" and new["model_provider"] == "demo":
        raise http.invalid("reranker", "the demo model cannot order passages")


def checked(field: str, value: Any) -> Any:
    match field:
        case "name" | "model_name" | "reranker_model":
            return http.text(field, value)
        case "language":
            pattern = r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*"
            return http.text(field, value, most=20, pattern=pattern, what="a language's code, such as es or pt-BR")
        case "persona":
            return http.text(field, value, most=8000)
        case "instructions":
            return http.text(field, value, most=8000)
        case "fallback_models":
            return models_of(value)
        case "max_seconds":
            return http.integer(field, value, 5, 70)
        case "max_tokens":
            return http.integer(field, value, 500, 2_000_000)
        case "max_cost":
            return http.number(field, value, 0.0001, 100)
        case "handoff_minutes":
            return http.integer(field, value, 1, 43200)
        case "questions":
            return questions_of(value)
        case "fallback_text" | "blocked_text" | "quota_text":
            return http.text(field, value, most=1000)
        case "facts":
            return facts_of(value)
        case "model_provider":
            return http.choice(field, value, RESOURCES)
        case "embedding_model":
            return http.choice(field, value, EMBEDDINGS)
        case "reranker":
            return http.choice(field, value, ("none", "offline", "api", "model"))
        case "reranker_resource_path":
            pattern = r"f/(agent|integrations/[0-9a-f-]{36})/[A-Za-z0-9_]+"
            return http.text(field, value, pattern=pattern, what="a resource of f/agent or of the tenant's own folder")
        case "embedding_dimensions":
            return http.integer(field, value, 1, 4000)
        case "model_resource_path" | "embedding_resource_path":
            return resource_of(field, value)
        case "knowledge_threshold":
            return http.number(field, value, 0, 1)
        case "temperature":
            return http.number(field, value, 0, 2)
        case "max_steps":
            return http.integer(field, value, 1, 20)
        case "merge_seconds":
            return http.number(field, value, 0, 20)
        case _:
            return http.flag(field, value)


def resource_of(field: str, value: Any) -> str:
    """Of one folder: a chatbot must not be given the installation's other secrets as its model's."""
    return http.text(field, value, pattern=r"f/agent/[A-Za-z0-9_]+", what="a resource of f/agent")


def facts_of(value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list) or len(value) > MAX_FACTS:
        raise http.invalid("facts", f"must be a list of {MAX_FACTS} at most")
    facts = []
    for place, fact in enumerate(value):
        if not isinstance(fact, dict) or set(fact) != {"topic", "text"}:
            raise http.invalid(f"facts[{place}]", 'must be {"topic": …, "text": …}')
        topic = http.text(f"facts[{place}].topic", fact["topic"])
        facts.append({"topic": topic, "text": http.text(f"facts[{place}].text", fact["text"], most=4000)})
    return facts


def questions_of(value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list) or len(value) > MAX_QUESTIONS:
        raise http.invalid("questions", f"must be a list of {MAX_QUESTIONS} at most")
    questions: list[dict[str, str]] = []
    for place, given in enumerate(value):
        field = f"questions[{place}]"
        if not isinstance(given, dict) or set(given) != {"key", "question"}:
            raise http.invalid(field, 'must be {"key": …, "question": …}')
        key = http.text(f"{field}.key", given["key"], most=60, pattern="[a-z][a-z0-9_]*", what="a word like bike_type")
        if key in [question["key"] for question in questions]:
            raise http.invalid(f"{field}.key", "is there twice")
        questions.append({"key": key, "question": http.text(f"{field}.question", given["question"], most=500)})
    return questions


def models_of(value: Any) -> list[dict[str, str]]:
    """Each with the resource of its provider, unless it names one."""
    if not isinstance(value, list) or len(value) > 4:
        raise http.invalid("fallback_models", "must be a list of 4 at most")
    models = []
    for place, model in enumerate(value):
        field = f"fallback_models[{place}]"
        if not isinstance(model, dict) or not {"provider", "name"} <= set(model) <= {
            "provider",
            "name",
            "resource_path",
        }:
            raise http.invalid(field, 'must be {"provider": …, "name": …}')
        provider = http.choice(f"{field}.provider", model["provider"], RESOURCES)
        path = model.get("resource_path") or RESOURCES[provider]
        resource = {} if path is None else {"resource_path": resource_of(field, path)}
        models.append({"provider": provider, "name": http.text(f"{field}.name", model["name"]), **resource})
    return models


def preprocessor(event: dict) -> dict:
    return {"request": http.request_of(event, http.accepted_by(main))}
