"""A peer for the benchmark: what Parlor does, written by hand on FastAPI and SQLAlchemy.

It is a normal FastAPI program: pydantic models, a session and one transaction for each request, the same tables and the
same durability as Parlor's. It is no chat backend: there is no idempotency, no listing, no WebSocket, no limits.

It is one process, and so one core: uvicorn with uvloop and httptools, the fastest it offers. Several workers would share
PostgreSQL well, but would queue for the one lock of a SQLite file.

    DATABASE_URL    sqlite://path, created when missing, or postgres://user:password@host/database
    PEER_API_KEY    the API key of its one tenant
    PEER_LISTEN     where it listens; 127.0.0.1:0 if not given

    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
    DATABASE_URL=sqlite://peer.db PEER_API_KEY=a-key .venv/bin/python main.py

It says "listens on http://ADDRESS" when it does, and ends with SIGTERM or Ctrl-C.
"""

import asyncio
import hashlib
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Annotated, Any, Literal
from uuid import UUID

import uvicorn
import uvloop
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import (
    JSON, BigInteger, ForeignKey, ForeignKeyConstraint, Index, LargeBinary, SmallInteger, event, select, update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

SQLITE_READERS = 4
# As many as Parlor has.
POSTGRES_CONNECTIONS = 16


# --- Tables. Microseconds since 1970 are times; status 0 is active and 1 closed, role 0 is a user and 1 an assistant.


class Base(DeclarativeBase):
    pass


class TenantRow(Base):
    __tablename__ = "tenants"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[int] = mapped_column(BigInteger)


class ApiKeyRow(Base):
    __tablename__ = "api_keys"
    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"))
    created_at: Mapped[int] = mapped_column(BigInteger)


class UserRow(Base):
    __tablename__ = "users"
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[int] = mapped_column(BigInteger)


class ChatRow(Base):
    __tablename__ = "chats"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    user_id: Mapped[str]
    title: Mapped[str]
    # Kept as JSON text.
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    status: Mapped[int] = mapped_column(SmallInteger)
    message_count: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)
    last_message_at: Mapped[int | None] = mapped_column(BigInteger)
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"]),
        Index("chats_of_user", "tenant_id", "user_id", "id"),
    )


class MessageRow(Base):
    __tablename__ = "messages"
    chat_id: Mapped[UUID] = mapped_column(ForeignKey("chats.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[UUID]
    role: Mapped[int] = mapped_column(SmallInteger)
    sender_id: Mapped[str | None]
    content: Mapped[str]
    media_type: Mapped[str | None]
    media_url: Mapped[str | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    client_message_id: Mapped[str | None]
    created_at: Mapped[int] = mapped_column(BigInteger)


NAMED = MessageRow.client_message_id.is_not(None)
Index(
    "messages_by_client_id", MessageRow.chat_id, MessageRow.client_message_id,
    unique=True, sqlite_where=NAMED, postgresql_where=NAMED,
)


# --- What is asked and what is answered.


class NewChat(BaseModel):
    model_config = ConfigDict(extra="forbid")
    user_id: str = Field(min_length=1, max_length=255)
    title: str | None = Field(default=None, min_length=1, max_length=255)
    metadata: dict[str, Any] | None = None


class ChatConfig(BaseModel):
    metadata: dict[str, Any]


class Chat(BaseModel):
    id: UUID
    user_id: str
    tenant_id: UUID
    title: str
    config: ChatConfig
    created_at: datetime
    updated_at: datetime
    last_message_at: datetime | None


class ChatDetails(Chat):
    message_count: int
    status: Literal["active", "closed"]


class NewMessage(BaseModel):
    model_config = ConfigDict(extra="forbid")
    content: str = Field(min_length=1, max_length=32_768)
    sender_role: Literal["user", "assistant"] | None = None
    sender_id: str | None = Field(default=None, min_length=1, max_length=255)
    media_type: str | None = None
    media_url: str | None = None
    metadata: dict[str, Any] | None = None
    client_message_id: str | None = Field(default=None, min_length=1, max_length=128)


class Message(BaseModel):
    id: UUID
    content: str
    sender_role: Literal["user", "assistant"]
    media_type: str | None
    media_url: str | None
    created_at: datetime
    metadata: dict[str, Any]
    seq: int
    client_message_id: str | None
    sender_id: str | None


# --- The database.


class Database:
    """Sessions that read and sessions that write; on PostgreSQL they are of one pool."""

    def __init__(self, url: str) -> None:
        if url.startswith("sqlite:"):
            self.insert = sqlite.insert
            # One connection: a file has one writer at a time, and waiting for it here costs less than there.
            self.write_engine = sqlite_engine(url, "BEGIN IMMEDIATE", 1)
            self.read_engine = sqlite_engine(url, "BEGIN", SQLITE_READERS)
        else:
            self.insert = postgresql.insert
            self.write_engine = self.read_engine = create_async_engine(
                make_url(url).set(drivername="postgresql+asyncpg"), pool_size=POSTGRES_CONNECTIONS, max_overflow=0
            )
        # The table, not the class: nothing has to be remembered of the row, so the ORM's way would only cost time.
        self.upsert_user = self.insert(UserRow.__table__).on_conflict_do_nothing()
        self.read = async_sessionmaker(self.read_engine, expire_on_commit=False)
        self.write = async_sessionmaker(self.write_engine, expire_on_commit=False)

    async def open(self, key: str) -> dict[bytes, UUID]:
        """Creates what is missing, and loads the keys: no request asks the database for its key."""
        async with self.write_engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with self.write.begin() as session:
            tenant = {"id": uuid7(), "name": "bench", "created_at": micros()}
            await session.execute(self.insert(TenantRow).values(tenant).on_conflict_do_nothing())
            tenant_id = await session.scalar(select(TenantRow.id).where(TenantRow.name == "bench"))
            api_key = {"hash": digest(key), "tenant_id": tenant_id, "created_at": micros()}
            await session.execute(self.insert(ApiKeyRow).values(api_key).on_conflict_do_nothing())
            return {row.hash: row.tenant_id for row in await session.scalars(select(ApiKeyRow))}

    async def add_user(self, session: AsyncSession, tenant_id: UUID, user_id: str, now: int) -> None:
        user = {"tenant_id": tenant_id, "id": user_id, "created_at": now}
        await session.execute(self.upsert_user, user)


def sqlite_engine(url: str, begin: str, connections: int) -> AsyncEngine:
    """An engine on a file, whose transactions begin with `begin`."""
    path = url.removeprefix("sqlite://")
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", pool_size=connections, max_overflow=0)

    @event.listens_for(engine.sync_engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        # The driver would begin transactions by itself, in its own way.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 5000")
        cursor.execute("PRAGMA journal_mode = WAL")
        # As Parlor: an acknowledged write survives power loss.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin_transaction(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def micros() -> int:
    return time.time_ns() // 1_000


def moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1_000_000, timezone.utc)


# --- The interface.


database = Database(os.environ["DATABASE_URL"])
keys: dict[bytes, UUID] = {}


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    keys.update(await database.open(os.environ["PEER_API_KEY"]))
    yield
    await database.read_engine.dispose()
    await database.write_engine.dispose()


app = FastAPI(lifespan=lifespan)


# Asynchronous though it awaits nothing: FastAPI runs what is not in a thread.
async def tenant_of(x_api_key: Annotated[str, Header()] = "") -> UUID:
    tenant = keys.get(digest(x_api_key))
    if tenant is None:
        raise HTTPException(401, "The API key is unknown.")
    return tenant


async def reading() -> AsyncIterator[AsyncSession]:
    async with database.read() as session:
        yield session


async def writing() -> AsyncIterator[AsyncSession]:
    async with database.write() as session:
        yield session


Tenant = Annotated[UUID, Depends(tenant_of)]
# Of scope "function": the connection is free for another request before the answer is on its way.
Reading = Annotated[AsyncSession, Depends(reading, scope="function")]
Writing = Annotated[AsyncSession, Depends(writing, scope="function")]


@app.post("/api/v1/chats/", status_code=201)
async def create_chat(tenant: Tenant, session: Writing, new: NewChat) -> Chat:
    now = micros()
    row = ChatRow(
        id=uuid7(),
        tenant_id=tenant,
        user_id=new.user_id,
        title=new.title or f"{moment(now):Chat of %-d %b %Y, %H:%M}",
        metadata_=new.metadata or {},
        status=0,
        message_count=0,
        created_at=now,
        updated_at=now,
        last_message_at=None,
    )
    await database.add_user(session, tenant, new.user_id, now)
    session.add(row)
    await session.commit()
    return Chat(**members(row))


@app.get("/api/v1/chats/{chat_id}")
async def get_chat(tenant: Tenant, session: Reading, chat_id: UUID) -> ChatDetails:
    row = await session.scalar(select(ChatRow).where(ChatRow.id == chat_id, ChatRow.tenant_id == tenant))
    if row is None:
        raise HTTPException(404, "There is no such chat.")
    status = "closed" if row.status else "active"
    return ChatDetails(**members(row), message_count=row.message_count, status=status)


@app.post("/api/v1/chats/{chat_id}/messages", status_code=201)
async def send_message(tenant: Tenant, session: Writing, chat_id: UUID, new: NewMessage) -> Message:
    now = micros()
    # Locks the chat too: whoever else sends to it waits here, so `seq` has no gaps.
    counted = await session.execute(
        update(ChatRow)
        .where(ChatRow.id == chat_id, ChatRow.tenant_id == tenant, ChatRow.status == 0)
        .values(message_count=ChatRow.message_count + 1, updated_at=now, last_message_at=now)
        .returning(ChatRow.message_count, ChatRow.user_id)
        .execution_options(synchronize_session=False)
    )
    chat = counted.one_or_none()
    if chat is None:
        raise HTTPException(404, "There is no such chat.")
    role = new.sender_role or "user"
    sender = new.sender_id
    if role == "user":
        sender = sender or chat.user_id
        if sender != chat.user_id:
            await database.add_user(session, tenant, sender, now)
    row = MessageRow(
        chat_id=chat_id,
        seq=chat.message_count,
        id=uuid7(),
        role=0 if role == "user" else 1,
        sender_id=sender,
        content=new.content,
        media_type=new.media_type,
        media_url=new.media_url,
        metadata_=new.metadata or {},
        client_message_id=new.client_message_id,
        created_at=now,
    )
    session.add(row)
    await session.commit()
    return Message(
        id=row.id,
        content=row.content,
        sender_role=role,
        media_type=row.media_type,
        media_url=row.media_url,
        created_at=moment(row.created_at),
        metadata=row.metadata_,
        seq=row.seq,
        client_message_id=row.client_message_id,
        sender_id=row.sender_id,
    )


@app.get("/healthz", status_code=204, response_class=Response)
async def healthz() -> None:
    pass


@app.post("/echo", response_model_exclude_unset=True)
async def echo(new: NewChat) -> NewChat:
    """What create_chat reads, without a database: the floor under anything that takes and gives JSON over HTTP."""
    return new


def members(row: ChatRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "user_id": row.user_id,
        "tenant_id": row.tenant_id,
        "title": row.title,
        "config": ChatConfig(metadata=row.metadata_),
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "last_message_at": None if row.last_message_at is None else moment(row.last_message_at),
    }


async def main() -> None:
    host, _, port = os.environ.get("PEER_LISTEN", "127.0.0.1:0").rpartition(":")
    # Bound here, because uvicorn does not tell which port it got.
    listener = socket.create_server((host, int(port)), backlog=1024)
    server = uvicorn.Server(
        uvicorn.Config(app, loop="uvloop", http="httptools", ws="none", access_log=False, log_level="warning")
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        host, port = listener.getsockname()
        print(f"listens on http://{host}:{port}", flush=True)
    await serving


if __name__ == "__main__":
    uvloop.run(main())
