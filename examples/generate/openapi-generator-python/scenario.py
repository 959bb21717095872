"""A chat's life, by the client that openapi-generator makes for Python.

    ./generate.sh
    PARLOR_API_KEY=your-tenant-api-key PYTHONPATH=client python3 scenario.py

The server is expected at http://localhost:8000, or where PARLOR_URL says.
"""

import os
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from uuid import UUID, uuid4

from parlor_client import (
    ApiClient,
    ApiException,
    ChatStatus,
    ChatsApi,
    Configuration,
    CreateChatRequest,
    CreateTicketRequest,
    MessagesApi,
    Problem,
    SenderRole,
    SendMessageRequest,
    TicketsApi,
    UpdateChatRequest,
)
from parlor_client.exceptions import (
    BadRequestException,
    ConflictException,
    NotFoundException,
    UnauthorizedException,
    UnprocessableEntityException,
)

# A slash and a letter beyond ASCII: the client has to encode the path.
USER = f"zoë/{uuid4()}"
METADATA = {
    "department": "technical",
    "tags": ["Grüße", "世界", "🦊"],
    "order": {"items": [{"sku": None, "count": 2**100}]},
    "nothing": None,
}


def main() -> None:
    url = os.environ.get("PARLOR_URL", "http://localhost:8000")
    key = os.environ.get("PARLOR_API_KEY")
    if not key:
        sys.exit("Set PARLOR_API_KEY to your tenant's API key.")
    with ApiClient(Configuration(host=url, api_key={"ApiKey": key})) as client:
        chats, messages = ChatsApi(client), MessagesApi(client)
        created = create(chats)
        read(chats, created)
        list_by_offset(chats, created)
        list_by_cursor(chats, created)
        list_by_metadata(chats, created)
        talk(messages, created[0])
        invite(TicketsApi(client), created[0])
        update(chats, created[0])
        be_refused(chats, messages, url, created[0])
        delete(chats, created)
    print("done")


def create(chats: ChatsApi) -> list[UUID]:
    request = CreateChatRequest(user_id=USER, title="Grüße, 世界 🦊", metadata=METADATA)
    key = str(uuid4())
    chat = chats.create_chat(request, idempotency_key=key)
    assert chat.user_id == USER
    assert chat.title == "Grüße, 世界 🦊"
    assert chat.config.metadata == METADATA
    assert isinstance(chat.created_at, datetime) and chat.updated_at == chat.created_at
    assert chat.last_message_at is None
    # The same intent again creates no second chat, and another intent needs another key.
    assert chats.create_chat(request, idempotency_key=key).id == chat.id
    other = CreateChatRequest(user_id=USER)
    problem = problem_of(UnprocessableEntityException, lambda: chats.create_chat(other, idempotency_key=key))
    assert problem.code == "idempotency_key_reused"

    others = [chats.create_chat(other) for _ in range(2)]
    print("created", chat.id)
    return [chat.id] + [other.id for other in others]


def read(chats: ChatsApi, created: list[UUID]) -> None:
    chat = chats.get_chat(created[0])
    assert chat.config.metadata == METADATA
    assert chat.status == "active" and chat.message_count == 0
    print("read", chat.title)


def list_by_offset(chats: ChatsApi, created: list[UUID]) -> None:
    first = chats.list_user_chats(USER, limit=2)
    assert first.total == 3 and first.has_more
    second = chats.list_user_chats(USER, limit=2, offset=2)
    assert second.offset == 2 and not second.has_more
    assert [chat.id for chat in first.chats + second.chats] == created[::-1]
    print("listed by offset:", first.total)


def list_by_cursor(chats: ChatsApi, created: list[UUID]) -> None:
    page = chats.list_user_chats(USER, limit=2, order="asc")
    found = [chat.id for chat in page.chats]
    while page.next_cursor is not None:
        page = chats.list_user_chats(USER, limit=2, order="asc", cursor=page.next_cursor)
        assert page.total is None and page.offset is None
        found += [chat.id for chat in page.chats]
    assert found == created
    print("listed by cursor:", len(found))


def list_by_metadata(chats: ChatsApi, created: list[UUID]) -> None:
    now, day = datetime.now(timezone.utc), timedelta(days=1)
    members = ["department:technical", "nothing:null"]
    page = chats.list_chats(user_id=USER, status=ChatStatus.ACTIVE, created_after=now - day, metadata=members)
    assert [chat.id for chat in page.chats] == created[:1]
    # An offset other than UTC's.
    tomorrow = (now + day).astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert len(chats.list_chats(user_id=USER, created_before=tomorrow).chats) == len(created)
    assert chats.list_chats(user_id=USER, created_after=tomorrow).chats == []
    print("listed by metadata:", len(page.chats))


def talk(messages: MessagesApi, chat: UUID) -> None:
    request = SendMessageRequest(content="Hallo 👋\nzweite Zeile", metadata={"seen": None}, client_message_id="1")
    sent = messages.send_message(chat, request)
    assert sent.seq == 1 and sent.sender_role == "user" and sent.sender_id == USER
    assert sent.metadata == {"seen": None} and sent.media_url is None
    messages.send_message(chat, SendMessageRequest(content="Hello!", sender_role=SenderRole.ASSISTANT))
    page = messages.list_messages(chat)
    assert [message.content for message in page.messages] == ["Hallo 👋\nzweite Zeile", "Hello!"]
    later = messages.list_messages(chat, after_seq=1)
    assert [message.sender_role for message in later.messages] == ["assistant"]
    print("sent and listed messages:", page.total)


def invite(tickets: TicketsApi, chat: UUID) -> None:
    issued = tickets.create_ticket(chat, CreateTicketRequest(user_id="guest"))
    assert issued.ticket.startswith("plt_") and isinstance(issued.expires_at, datetime)
    print("invited a guest until", issued.expires_at.isoformat())


def update(chats: ChatsApi, chat: UUID) -> None:
    # A merge patch: null removes a member, what is not named stays.
    patch = UpdateChatRequest(metadata={"department": None, "resolution": "answered"}, status=ChatStatus.CLOSED)
    updated = chats.update_chat(chat, patch)
    expected = {**METADATA, "resolution": "answered"}
    del expected["department"]
    assert updated.config.metadata == expected
    assert updated.status == "closed" and updated.title == "Grüße, 世界 🦊" and updated.message_count == 2
    print("updated", updated.status)


def be_refused(chats: ChatsApi, messages: MessagesApi, url: str, chat: UUID) -> None:
    problem = problem_of(BadRequestException, lambda: chats.list_user_chats(USER, cursor="nonsense"))
    assert problem.code == "invalid_request"
    assert problem.errors and problem.errors[0].pointer == "/query/cursor"

    problem = problem_of(NotFoundException, lambda: chats.list_user_chats(str(uuid4())))
    assert problem.code == "user_not_found"

    problem = problem_of(ConflictException, lambda: messages.send_message(chat, SendMessageRequest(content="Late")))
    assert problem.code == "chat_closed"

    # The client has no exception of its own for this status.
    large = CreateChatRequest(user_id=USER, metadata={"note": "x" * 300_000})
    problem = problem_of(ApiException, lambda: chats.create_chat(large))
    assert problem.status == 413 and problem.code == "payload_too_large"

    with ApiClient(Configuration(host=url, api_key={"ApiKey": "wrong"})) as stranger:
        problem = problem_of(UnauthorizedException, lambda: ChatsApi(stranger).get_chat(chat))
    assert problem.code == "unauthorized"


def delete(chats: ChatsApi, created: list[UUID]) -> None:
    for chat in created:
        deleted = chats.delete_chat(chat)
        assert deleted.success and isinstance(deleted.deleted_at, datetime)
    problem = problem_of(NotFoundException, lambda: chats.get_chat(created[0]))
    assert problem.code == "chat_not_found"
    print("deleted", len(created))


def problem_of(expected: type[ApiException], call: Callable[[], object]) -> Problem:
    """Why the call is refused. Every failure carries a problem document, as an object."""
    try:
        call()
    except expected as refused:
        assert isinstance(refused.data, Problem)
        assert refused.data.status == refused.status and refused.data.request_id
        print("refused:", refused.status, refused.data.code)
        return refused.data
    raise AssertionError("was not refused")


main()
