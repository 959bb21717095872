"""A chat's life, by the client that openapi-python-client makes.

    ./generate.sh
    PARLOR_API_KEY=your-tenant-api-key PYTHONPATH=client python3 scenario.py

The server is expected at http://localhost:8000, or where PARLOR_URL says.
"""

import os
import sys
from datetime import datetime, timedelta, timezone
from uuid import UUID, uuid4

from parlor_client import AuthenticatedClient
from parlor_client.api.chats import create_chat, delete_chat, get_chat, list_chats, list_user_chats, update_chat
from parlor_client.api.messages import list_messages, send_message
from parlor_client.api.tickets import create_ticket
from parlor_client.models import (
    Chat,
    ChatDeleted,
    ChatDetails,
    ChatList,
    ChatPage,
    CreateChatRequest,
    CreateChatRequestMetadataType0,
    CreateTicketRequest,
    Message,
    MessageList,
    Problem,
    SendMessageRequest,
    SendMessageRequestMetadataType0,
    Ticket,
    UpdateChatRequest,
    UpdateChatRequestMetadataType0,
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


def client_of(url: str, key: str) -> AuthenticatedClient:
    return AuthenticatedClient(base_url=url, token=key, auth_header_name="X-API-Key", prefix="")


def create(client: AuthenticatedClient) -> list[UUID]:
    metadata = CreateChatRequestMetadataType0.from_dict(METADATA)
    request = CreateChatRequest(user_id=USER, title="Grüße, 世界 🦊", metadata=metadata)
    key = str(uuid4())
    chat = create_chat.sync(client=client, body=request, idempotency_key=key)
    assert isinstance(chat, Chat)
    assert chat.user_id == USER
    assert chat.title == "Grüße, 世界 🦊"
    assert chat.config.metadata.to_dict() == METADATA
    assert isinstance(chat.created_at, datetime) and chat.updated_at == chat.created_at
    assert chat.last_message_at is None
    # The same intent again creates no second chat, and another intent needs another key.
    again = create_chat.sync(client=client, body=request, idempotency_key=key)
    assert isinstance(again, Chat) and again.id == chat.id
    request = CreateChatRequest(user_id=USER)
    problem = problem_of(422, create_chat.sync(client=client, body=request, idempotency_key=key))
    assert problem.code == "idempotency_key_reused"

    created = [chat.id]
    for _ in range(2):
        other = create_chat.sync(client=client, body=request)
        assert isinstance(other, Chat)
        created.append(other.id)
    print("created", chat.id)
    return created


def read(client: AuthenticatedClient, created: list[UUID]) -> None:
    chat = get_chat.sync(created[0], client=client)
    assert isinstance(chat, ChatDetails)
    assert chat.config.metadata.to_dict() == METADATA
    assert chat.status == "active" and chat.message_count == 0
    print("read", chat.title)


def list_by_offset(client: AuthenticatedClient, created: list[UUID]) -> None:
    first = list_user_chats.sync(USER, client=client, limit=2)
    assert isinstance(first, ChatList)
    assert first.total == 3 and first.has_more
    second = list_user_chats.sync(USER, client=client, limit=2, offset=2)
    assert isinstance(second, ChatList)
    assert second.offset == 2 and not second.has_more
    assert [chat.id for chat in first.chats + second.chats] == created[::-1]
    print("listed by offset:", first.total)


def list_by_cursor(client: AuthenticatedClient, created: list[UUID]) -> None:
    page = list_user_chats.sync(USER, client=client, limit=2, order="asc")
    assert isinstance(page, ChatList)
    found = [chat.id for chat in page.chats]
    while page.next_cursor is not None:
        page = list_user_chats.sync(USER, client=client, limit=2, order="asc", cursor=page.next_cursor)
        assert isinstance(page, ChatList)
        assert page.total is None and page.offset is None
        found += [chat.id for chat in page.chats]
    assert found == created
    print("listed by cursor:", len(found))


def list_by_metadata(client: AuthenticatedClient, created: list[UUID]) -> None:
    members = ["department:technical", "nothing:null"]
    now, day = datetime.now(timezone.utc), timedelta(days=1)
    page = list_chats.sync(client=client, user_id=USER, status="active", created_after=now - day, metadata=members)
    assert isinstance(page, ChatPage)
    assert [chat.id for chat in page.chats] == created[:1]
    # An offset other than UTC's.
    tomorrow = (now + day).astimezone(timezone(timedelta(hours=5, minutes=30)))
    earlier = list_chats.sync(client=client, user_id=USER, created_before=tomorrow)
    assert isinstance(earlier, ChatPage) and len(earlier.chats) == len(created)
    later = list_chats.sync(client=client, user_id=USER, created_after=tomorrow)
    assert isinstance(later, ChatPage) and later.chats == []
    print("listed by metadata:", len(page.chats))


def talk(client: AuthenticatedClient, chat: UUID) -> None:
    metadata = SendMessageRequestMetadataType0.from_dict({"seen": None})
    request = SendMessageRequest(content="Hallo 👋\nzweite Zeile", metadata=metadata, client_message_id="1")
    sent = send_message.sync(chat, client=client, body=request)
    assert isinstance(sent, Message)
    assert sent.seq == 1 and sent.sender_role == "user" and sent.sender_id == USER
    assert sent.metadata.to_dict() == {"seen": None} and sent.media_url is None
    send_message.sync(chat, client=client, body=SendMessageRequest(content="Hello!", sender_role="assistant"))
    page = list_messages.sync(chat, client=client)
    assert isinstance(page, MessageList)
    assert [message.content for message in page.messages] == ["Hallo 👋\nzweite Zeile", "Hello!"]
    later = list_messages.sync(chat, client=client, after_seq=1)
    assert isinstance(later, MessageList)
    assert [message.sender_role for message in later.messages] == ["assistant"]
    print("sent and listed messages:", page.total)


def invite(client: AuthenticatedClient, chat: UUID) -> None:
    issued = create_ticket.sync(chat, client=client, body=CreateTicketRequest(user_id="guest"))
    assert isinstance(issued, Ticket)
    assert issued.ticket.startswith("plt_") and isinstance(issued.expires_at, datetime)
    print("invited a guest until", issued.expires_at.isoformat())


def update(client: AuthenticatedClient, chat: UUID) -> None:
    # A merge patch: null removes a member, what is not named stays.
    metadata = UpdateChatRequestMetadataType0.from_dict({"department": None, "resolution": "answered"})
    patch = UpdateChatRequest(metadata=metadata, status="closed")
    updated = update_chat.sync(chat, client=client, body=patch)
    assert isinstance(updated, ChatDetails)
    expected = {**METADATA, "resolution": "answered"}
    del expected["department"]
    assert updated.config.metadata.to_dict() == expected
    assert updated.status == "closed" and updated.title == "Grüße, 世界 🦊" and updated.message_count == 2
    print("updated", updated.status)


def be_refused(client: AuthenticatedClient, url: str, chat: UUID) -> None:
    problem = problem_of(400, list_user_chats.sync(USER, client=client, cursor="nonsense"))
    assert problem.code == "invalid_request"
    assert problem.errors and problem.errors[0].pointer == "/query/cursor"

    problem = problem_of(404, list_user_chats.sync(str(uuid4()), client=client))
    assert problem.code == "user_not_found"

    problem = problem_of(409, send_message.sync(chat, client=client, body=SendMessageRequest(content="Late")))
    assert problem.code == "chat_closed"

    metadata = CreateChatRequestMetadataType0.from_dict({"note": "x" * 300_000})
    large = CreateChatRequest(user_id=USER, metadata=metadata)
    problem = problem_of(413, create_chat.sync(client=client, body=large))
    assert problem.code == "payload_too_large"

    with client_of(url, "wrong") as stranger:
        problem = problem_of(401, get_chat.sync(chat, client=stranger))
    assert problem.code == "unauthorized"


def delete(client: AuthenticatedClient, created: list[UUID]) -> None:
    for chat in created:
        deleted = delete_chat.sync(chat, client=client)
        assert isinstance(deleted, ChatDeleted)
        assert deleted.success and isinstance(deleted.deleted_at, datetime)
    problem = problem_of(404, get_chat.sync(created[0], client=client))
    assert problem.code == "chat_not_found"
    print("deleted", len(created))


def problem_of(status: int, answer: object) -> Problem:
    """Why the call was refused. Every failure is answered with a problem document, as an object."""
    assert isinstance(answer, Problem)
    assert answer.status == status and answer.request_id
    print("refused:", answer.status, answer.code)
    return answer


main()
