"""A chat's life, by httpx and the models that datamodel-code-generator makes.

    ./generate.sh
    PARLOR_API_KEY=your-tenant-api-key PYTHONPATH=client python3 scenario.py

The server is expected at http://localhost:8000, or where PARLOR_URL says.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
from parlor_models import (
    Chat,
    ChatDeleted,
    ChatDetails,
    ChatList,
    ChatPage,
    ChatStatus,
    CreateChatRequest,
    CreateTicketRequest,
    Message,
    MessageList,
    Problem,
    SenderRole,
    SendMessageRequest,
    Ticket,
    UpdateChatRequest,
    UserId,
)
from pydantic import BaseModel

# A slash and a letter beyond ASCII: the path has to be encoded.
USER = f"zoë/{uuid4()}"
METADATA = {
    "department": "technical",
    "tags": ["Grüße", "世界", "🦊"],
    "order": {"items": [{"sku": None, "count": 2**100}]},
    "nothing": None,
}

Query = Mapping[str, str | int | Sequence[str]]
Model = TypeVar("Model", bound=BaseModel)


def main() -> None:
    url = os.environ.get("PARLOR_URL", "http://localhost:8000")
    key = os.environ.get("PARLOR_API_KEY")
    if not key:
        sys.exit("Set PARLOR_API_KEY to your tenant's API key.")
    with client_of(url, key) as client:
        created = create(client)
        read(client, created)
        list_by_offset(client, created)
        list_by_cursor(client, created)
        list_by_metadata(client, created)
        talk(client, created[0])
        invite(client, created[0])
        update(client, created[0])
        be_refused(client, url, created[0])
        delete(client, created)
    print("done")


def client_of(url: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=f"{url}/api/v1/chats", headers={"X-API-Key": key})


def send(client: httpx.Client, method: str, path: str, body: BaseModel, key: str | None = None) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Idempotency-Key"] = key
    # What was not set is left out; null would say something else in a merge patch.
    return client.request(method, path, headers=headers, content=body.model_dump_json(exclude_unset=True))


def create(client: httpx.Client) -> list[UUID]:
    request = CreateChatRequest(user_id=UserId(root=USER), title="Grüße, 世界 🦊", metadata=METADATA)
    key = str(uuid4())
    chat = given(Chat, send(client, "POST", "/", request, key))
    assert chat.user_id.root == USER
    assert chat.title == "Grüße, 世界 🦊"
    assert chat.config.metadata == METADATA
    assert chat.updated_at == chat.created_at
    assert chat.last_message_at is None
    # The same intent again creates no second chat, and another intent needs another key.
    assert given(Chat, send(client, "POST", "/", request, key)).id == chat.id
    other = CreateChatRequest(user_id=UserId(root=USER))
    problem = problem_of(422, send(client, "POST", "/", other, key))
    assert problem.code == "idempotency_key_reused"

    others = [given(Chat, send(client, "POST", "/", other)) for _ in range(2)]
    print("created", chat.id)
    return [chat.id] + [other.id for other in others]


def read(client: httpx.Client, created: list[UUID]) -> None:
    chat = given(ChatDetails, client.get(f"/{created[0]}"))
    assert chat.config.metadata == METADATA
    assert chat.status == ChatStatus.active and chat.message_count == 0
    print("read", chat.title)


def user_chats(client: httpx.Client, query: Query, user: str = USER) -> httpx.Response:
    return client.get(f"/user/{quote(user, safe='')}", params=query)


def list_by_offset(client: httpx.Client, created: list[UUID]) -> None:
    first = given(ChatList, user_chats(client, {"limit": 2}))
    assert first.total == 3 and first.has_more
    second = given(ChatList, user_chats(client, {"limit": 2, "offset": 2}))
    assert second.offset == 2 and not second.has_more
    assert [chat.id for chat in first.chats + second.chats] == created[::-1]
    print("listed by offset:", first.total)


def list_by_cursor(client: httpx.Client, created: list[UUID]) -> None:
    page = given(ChatList, user_chats(client, {"limit": 2, "order": "asc"}))
    found = [chat.id for chat in page.chats]
    while page.next_cursor is not None:
        page = given(ChatList, user_chats(client, {"limit": 2, "order": "asc", "cursor": page.next_cursor}))
        assert page.total is None and page.offset is None
        found += [chat.id for chat in page.chats]
    assert found == created
    print("listed by cursor:", len(found))


def list_by_metadata(client: httpx.Client, created: list[UUID]) -> None:
    now, day = datetime.now(timezone.utc), timedelta(days=1)
    members = ["department:technical", "nothing:null"]
    query = {"user_id": USER, "status": "active", "created_after": (now - day).isoformat(), "metadata": members}
    page = given(ChatPage, client.get("/", params=query))
    assert [chat.id for chat in page.chats] == created[:1]
    # An offset other than UTC's.
    tomorrow = (now + day).astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()
    earlier = given(ChatPage, client.get("/", params={"user_id": USER, "created_before": tomorrow}))
    assert len(earlier.chats) == len(created)
    assert given(ChatPage, client.get("/", params={"user_id": USER, "created_after": tomorrow})).chats == []
    print("listed by metadata:", len(page.chats))


def talk(client: httpx.Client, chat: UUID) -> None:
    path = f"/{chat}/messages"
    request = SendMessageRequest(content="Hallo 👋\nzweite Zeile", metadata={"seen": None}, client_message_id="1")
    sent = given(Message, send(client, "POST", path, request))
    assert sent.seq == 1 and sent.sender_role == SenderRole.user and sent.sender_id == USER
    assert sent.metadata == {"seen": None} and sent.media_url is None
    reply = SendMessageRequest(content="Hello!", sender_role=SenderRole.assistant)
    given(Message, send(client, "POST", path, reply))
    page = given(MessageList, client.get(path))
    assert [message.content for message in page.messages] == ["Hallo 👋\nzweite Zeile", "Hello!"]
    later = given(MessageList, client.get(path, params={"after_seq": 1}))
    assert [message.sender_role for message in later.messages] == [SenderRole.assistant]
    print("sent and listed messages:", page.total)


def invite(client: httpx.Client, chat: UUID) -> None:
    issued = given(Ticket, send(client, "POST", f"/{chat}/tickets", CreateTicketRequest(user_id=UserId(root="guest"))))
    assert issued.ticket.startswith("plt_")
    print("invited a guest until", issued.expires_at.isoformat())


def update(client: httpx.Client, chat: UUID) -> None:
    # A merge patch: null removes a member, what is not named stays.
    patch = UpdateChatRequest(metadata={"department": None, "resolution": "answered"}, status=ChatStatus.closed)
    updated = given(ChatDetails, send(client, "PATCH", f"/{chat}", patch))
    expected = {**METADATA, "resolution": "answered"}
    del expected["department"]
    assert updated.config.metadata == expected
    assert updated.status == ChatStatus.closed and updated.title == "Grüße, 世界 🦊" and updated.message_count == 2
    print("updated", updated.status.value)


def be_refused(client: httpx.Client, url: str, chat: UUID) -> None:
    problem = problem_of(400, user_chats(client, {"cursor": "nonsense"}))
    assert problem.code == "invalid_request"
    assert problem.errors and problem.errors[0].pointer == "/query/cursor"

    problem = problem_of(404, user_chats(client, {}, user=str(uuid4())))
    assert problem.code == "user_not_found"

    problem = problem_of(409, send(client, "POST", f"/{chat}/messages", SendMessageRequest(content="Late")))
    assert problem.code == "chat_closed"

    large = CreateChatRequest(user_id=UserId(root=USER), metadata={"note": "x" * 300_000})
    problem = problem_of(413, send(client, "POST", "/", large))
    assert problem.code == "payload_too_large"

    with client_of(url, "wrong") as stranger:
        problem = problem_of(401, stranger.get(f"/{chat}"))
    assert problem.code == "unauthorized"


def delete(client: httpx.Client, created: list[UUID]) -> None:
    for chat in created:
        deleted = given(ChatDeleted, client.delete(f"/{chat}"))
        assert deleted.success and deleted.deleted_at.tzinfo is not None
    problem = problem_of(404, client.get(f"/{created[0]}"))
    assert problem.code == "chat_not_found"
    print("deleted", len(created))


def given(model: type[Model], response: httpx.Response) -> Model:
    """What a request was answered with; the model checks it."""
    assert response.is_success, response.text
    return model.model_validate_json(response.content)


def problem_of(status: int, response: httpx.Response) -> Problem:
    """Why the request was refused. Every failure is answered with a problem document."""
    assert response.status_code == status, response.text
    problem = Problem.model_validate_json(response.content)
    assert problem.status == status and problem.request_id
    print("refused:", problem.status, problem.code)
    return problem


main()
