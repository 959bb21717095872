//! Lists, a page at a time.

use std::borrow::Cow;
use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderName, HeaderValue};
use serde::de::DeserializeOwned;

use crate::answer::Answer;
use crate::call::{Call, CallFuture, Payload};
use crate::client::Client;
use crate::error::Error;
use crate::filter::ChatFilter;
use crate::message::Message;
use crate::model::{ChatDetails, ChatSummary};
use crate::operation::Operation;
use crate::page::Page;
use crate::problem::Code;
use crate::response::Response;

/// A list to be read: awaited for one [`Page`], or as a stream of [`items`](List::items) or [`pages`](List::pages).
///
/// Nothing is sent before it is read. A stream fetches the next page when the one before is used up, so that it holds
/// one page, however long the list is. It goes on where the page before ended, at the server's cursor: what is added or
/// deleted meanwhile makes it neither skip nor repeat anything. Each page is fetched by a [`Call`](crate::Call) of its
/// own, with its own retries and its own total time. A stream ends with its first error.
///
/// ```
/// use futures_util::TryStreamExt;
/// use parlor_sdk::Order;
///
/// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let page = || server::messages(&[4, 3], Some("c1"));
/// # let rest = || server::messages(&[2, 1], None);
/// # let server = server::Server::start([page(), page(), rest(), page(), rest()]);
/// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
/// # let chat_id = parlor_sdk::uuid::Uuid::nil();
/// // One page.
/// let page = client.list_messages(chat_id).order(Order::Desc).limit(2).await?;
/// assert_eq!(page.items.len(), 2);
/// println!("there are more: {} ({:?} in all)", page.has_more, page.total);
///
/// // All messages, whatever the number of pages.
/// let mut messages = client.list_messages(chat_id).items();
/// while let Some(message) = messages.next().await {
///     println!("{}", message?.content);
/// }
///
/// // The same with what `futures-util` adds to a stream.
/// let contents: Vec<String> =
///     client.list_messages(chat_id).items().map_ok(|message| message.content).try_collect().await?;
/// assert_eq!(contents, ["message 4", "message 3", "message 2", "message 1"]);
/// # Ok(())
/// # }
/// ```
#[must_use = "a list does nothing until it is read"]
pub struct List<T> {
    call: Call<Page<T>>,
}

/// The order of a [`List`] of chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChatSort {
    /// By creation.
    CreatedAt,
    /// By last activity: a chat's last message, or the creation of a chat without messages.
    ///
    /// A chat moves when it gets a message. Newest first, a stream shows each chat at most once, and one that moves while it
    /// is read is at the top when the list is read anew. Oldest first, no chat is left out, and one that moves may be shown
    /// again.
    LastMessageAt,
}

impl ChatSort {
    fn as_str(self) -> &'static str {
        match self {
            Self::CreatedAt => "created_at",
            Self::LastMessageAt => "last_message_at",
        }
    }
}

/// Which way a [`List`] goes, by what it is ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
}

impl<T> List<T> {
    /// `W` is what a page looks like on the wire.
    pub(crate) fn new<W>(client: &Client, operation: Operation, path: Result<String, Error>) -> Self
    where
        W: DeserializeOwned + Into<Page<T>>,
    {
        fn decode<T, W: DeserializeOwned + Into<Page<T>>>(answer: &Answer) -> serde_json::Result<Page<T>> {
            serde_json::from_slice::<W>(&answer.body).map(Into::into)
        }
        Self { call: Call::new(client, operation, path, Ok(Payload::Nothing), decode::<T, W>) }
    }

    /// How many items a page has at most, 1–100: 50 unless set.
    pub fn limit(self, limit: u32) -> Self {
        self.with("limit", limit.to_string())
    }

    /// Which way the list goes: chats newest first and messages oldest first, unless set.
    pub fn order(self, order: Order) -> Self {
        self.with(
            "order",
            match order {
                Order::Asc => "asc",
                Order::Desc => "desc",
            },
        )
    }

    /// Begins where a page ended: at its [`next_cursor`](Page::next_cursor). The list must be the same otherwise, with
    /// the same order, sort and filter. So a stream of [`pages`](List::pages) is resumed, after an error or in
    /// another process.
    ///
    /// Not together with an offset: that is an [`InvalidCall`](crate::ErrorKind::InvalidCall).
    ///
    /// ```
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::messages(&[1, 2], Some("c1")), server::messages(&[3], None)]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// # let chat_id = parlor_sdk::uuid::Uuid::nil();
    /// let first = client.list_messages(chat_id).limit(2).await?;
    /// if let Some(cursor) = first.next_cursor {
    ///     let second = client.list_messages(chat_id).limit(2).cursor(cursor).await?;
    ///     assert_eq!(second.items[0].seq, 3);
    /// }
    /// # assert_eq!(server.requests().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cursor(self, cursor: impl Into<String>) -> Self {
        let call = self.call.amend_query(|query| {
            if query.get("offset").is_some() {
                return Err(two_beginnings());
            }
            query.set("cursor", cursor.into());
            Ok(())
        });
        Self { call }
    }

    /// How long fetching a page may take: see [`Call::timeout`].
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { call: self.call.timeout(timeout) }
    }

    /// When the last page must have been fetched: see [`Call::deadline`].
    pub fn deadline(self, deadline: Instant) -> Self {
        Self { call: self.call.deadline(deadline) }
    }

    /// A header for the request of every page: see [`Call::header`].
    pub fn header(self, name: impl TryInto<HeaderName>, value: impl TryInto<HeaderValue>) -> Self {
        Self { call: self.call.header(name, value) }
    }

    /// Fetches one page and returns it with status, headers, request id and number of attempts: see
    /// [`Call::with_response`].
    ///
    /// # Errors
    ///
    /// As awaiting the list itself: [`Error`] tells what to do.
    pub async fn with_response(self) -> Result<Response<Page<T>>, Error> {
        self.call.with_response().await
    }

    fn with(self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        let call = self.call.amend_query(|query| {
            query.set(name, value);
            Ok(())
        });
        Self { call }
    }

    fn beginning_at(self, offset: u64) -> Self {
        let call = self.call.amend_query(|query| {
            if query.get("cursor").is_some() {
                return Err(two_beginnings());
            }
            query.set("offset", offset.to_string());
            Ok(())
        });
        Self { call }
    }
}

fn two_beginnings() -> Error {
    Error::invalid_call("a list begins at an offset or at a cursor, not at both")
}

impl List<ChatSummary> {
    /// Sets the order of the list; by creation unless it is set.
    pub fn sort(self, sort: ChatSort) -> Self {
        self.with("sort", sort.as_str())
    }

    /// How many chats to skip at the beginning. A number shifts when chats are created or deleted, so only the first
    /// page is found by it; the pages after it are found by cursor.
    ///
    /// Not together with a [`cursor`](List::cursor): that is an [`InvalidCall`](crate::ErrorKind::InvalidCall).
    pub fn offset(self, offset: u64) -> Self {
        self.beginning_at(offset)
    }
}

impl List<Message> {
    /// How many messages to skip at the beginning: the first page is found by it, the pages after it by cursor.
    ///
    /// Not together with a [`cursor`](List::cursor): that is an [`InvalidCall`](crate::ErrorKind::InvalidCall).
    ///
    /// ```
    /// # use parlor_sdk::{Client, ErrorKind, uuid::Uuid};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), parlor_sdk::Error> {
    /// # let client = Client::new("http://localhost:8000", "your-tenant-api-key")?;
    /// # let (chat_id, cursor) = (Uuid::nil(), "c1");
    /// let error = client.list_messages(chat_id).offset(50).cursor(cursor).await.unwrap_err();
    /// assert_eq!((error.kind(), error.attempts()), (ErrorKind::InvalidCall, 0));
    /// # Ok(())
    /// # }
    /// ```
    pub fn offset(self, offset: u64) -> Self {
        self.beginning_at(offset)
    }

    /// Only messages with a greater [`seq`](Message::seq): what has come since one that is known.
    pub fn after_seq(self, seq: u64) -> Self {
        self.with("after_seq", seq.to_string())
    }
}

impl List<ChatDetails> {
    /// Sets the order of the list; by creation unless it is set.
    ///
    /// ```
    /// use parlor_sdk::ChatSort;
    ///
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::chat_page(&[server::CHAT], None)]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// let inbox = client.chats().sort(ChatSort::LastMessageAt).limit(20).await?;
    /// for chat in inbox.items {
    ///     println!("{}: {:?}", chat.title, chat.last_message_at);
    /// }
    /// # assert!(server.requests()[0].line.contains("sort=last_message_at"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn sort(self, sort: ChatSort) -> Self {
        self.with("sort", sort.as_str())
    }

    /// Which chats are listed: all of the tenant unless set. Replaces an earlier filter.
    pub fn filter(self, filter: ChatFilter) -> Self {
        Self { call: self.call.amend_query(|query| filter.write_to(query)) }
    }
}

impl<T: Send + 'static> List<T> {
    /// The whole list as a stream of its items.
    pub fn items(self) -> Items<T> {
        let items = self.pages().map_ok(|page| stream::iter(page.items.into_iter().map(Ok))).try_flatten();
        Items { stream: Box::pin(items) }
    }

    /// The whole list as a stream of its pages.
    ///
    /// ```
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::messages(&[1, 2], Some("c1")), server::messages(&[3], None)]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// # let chat_id = parlor_sdk::uuid::Uuid::nil();
    /// let mut pages = client.list_messages(chat_id).pages();
    /// let mut done_so_far = None;
    /// while let Some(page) = pages.next().await.transpose()? {
    ///     println!("{} messages", page.items.len());
    ///     // Should the program end here, `List::cursor` goes on from this place.
    ///     done_so_far = page.next_cursor;
    /// }
    /// assert_eq!(done_so_far, None);
    /// # assert!(server.requests()[1].line.contains("cursor=c1"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn pages(self) -> Pages<T> {
        Pages { stream: Box::pin(stream::try_unfold(Some(self.call), fetch)) }
    }
}

/// The page that `call` asks for, and the call for the next one.
async fn fetch<T: 'static>(call: Option<Call<Page<T>>>) -> Result<Option<Fetched<T>>, Error> {
    let Some(call) = call else { return Ok(None) };
    let (operation, another) = (call.operation(), call.another());
    let cursor = call.parameter("cursor").map(str::to_owned);
    let page = match call.await {
        // The list of a user who has no chats any more: there were some when it was begun.
        Err(error) if cursor.is_some() && error.code() == Some(&Code::NoChats) => return Ok(None),
        page => page?,
    };
    if !page.has_more {
        return Ok(Some((page, None)));
    }
    let next = page.next_cursor.clone().filter(|next| Some(next) != cursor.as_ref());
    let (Some(next), Some(another)) = (next, another) else {
        return Err(nowhere_to_go().in_call(operation, 1, None, false));
    };
    let next = another.amend_query(|query| {
        query.remove("offset");
        query.set("cursor", next);
        Ok(())
    });
    Ok(Some((page, Some(next))))
}

fn nowhere_to_go() -> Error {
    Error::decode("the server says that the list goes on, but not where")
}

type Fetched<T> = (Page<T>, Option<Call<Page<T>>>);

impl<T: 'static> IntoFuture for List<T> {
    type Output = Result<Page<T>, Error>;
    type IntoFuture = CallFuture<Page<T>>;

    fn into_future(self) -> CallFuture<Page<T>> {
        self.call.into_future()
    }
}

impl<T> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List").field("call", &self.call).finish()
    }
}

/// Makes the type of a stream.
macro_rules! stream {
    ($(#[$doc:meta])* $name:ident of $item:ty) => {
        $(#[$doc])*
        ///
        /// A [`Stream`], whose combinators are in `futures-util`; for a plain loop [`next`](Self::next) is enough.
        #[must_use = "a stream does nothing until it is read"]
        pub struct $name<T> {
            stream: Pin<Box<dyn Stream<Item = Result<$item, Error>> + Send>>,
        }

        impl<T> $name<T> {
            /// The next one; none at the end of the list, and after an error. Dropping the future loses nothing.
            pub async fn next(&mut self) -> Option<Result<$item, Error>> {
                self.stream.next().await
            }
        }

        impl<T> Stream for $name<T> {
            type Item = Result<$item, Error>;

            fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
                self.stream.as_mut().poll_next(context)
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

stream! {
    /// The items of a [`List`], one after the other: [`List::items`].
    Items of T
}

stream! {
    /// The pages of a [`List`], one after the other: [`List::pages`].
    Pages of Page<T>
}
