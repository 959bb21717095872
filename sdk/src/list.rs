//! Paginated lists.

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

use crate::call::{Call, CallFuture, Payload};
use crate::chat::{ChatDetails, ChatSummary};
use crate::chat_filter::ChatFilter;
use crate::client::Client;
use crate::error::Error;
use crate::message::Message;
use crate::operation::Operation;
use crate::page::Page;
use crate::problem::Code;
use crate::raw_response::RawResponse;
use crate::response::Response;

/// A list to read: await it for one [`Page`], or stream its [`items`](List::items) or [`pages`](List::pages).
///
/// Nothing is sent until it is read. A stream fetches the next page when the current one is used up, so it holds one
/// page in memory, whatever the length of the list. It continues at the server's cursor: items that are added or
/// deleted meanwhile cause no duplicates and no omissions. Each page is a [`Call`](crate::Call) with its own retries
/// and total time. A stream ends after its first error.
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
/// // All messages, across all pages.
/// let mut messages = client.list_messages(chat_id).items();
/// while let Some(message) = messages.next().await {
///     println!("{}", message?.content);
/// }
///
/// // The same with the combinators of `futures-util`.
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

/// The sort key of a [`List`] of chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChatSort {
    /// By creation time.
    CreatedAt,
    /// By last activity: the time of a chat's last message, or of its creation if it has no messages.
    ///
    /// A chat moves when it receives a message. Newest first, a stream yields each chat at most once, and a chat that
    /// moves during the iteration is at the top of the next one. Oldest first, no chat is omitted, and a chat that
    /// moves may be repeated.
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

/// The direction of a [`List`], along its sort key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
}

impl<T> List<T> {
    /// `W` is the page as JSON encodes it.
    pub(crate) fn new<W>(client: &Client, operation: Operation, path: Result<String, Error>) -> Self
    where
        W: DeserializeOwned + Into<Page<T>>,
    {
        fn decode<T, W: DeserializeOwned + Into<Page<T>>>(response: &RawResponse) -> serde_json::Result<Page<T>> {
            serde_json::from_slice::<W>(&response.body).map(Into::into)
        }
        Self { call: Call::new(client, operation, path, Ok(Payload::Empty), decode::<T, W>) }
    }

    /// Sets the maximum number of items per page, 1–100. Default: 50.
    pub fn limit(self, limit: u32) -> Self {
        self.set_parameter("limit", limit.to_string())
    }

    /// Sets the direction. Default: newest first for chats, oldest first for messages.
    pub fn order(self, order: Order) -> Self {
        self.set_parameter(
            "order",
            match order {
                Order::Asc => "asc",
                Order::Desc => "desc",
            },
        )
    }

    /// Starts after a page, at its [`next_cursor`](Page::next_cursor). The list must otherwise be the same: order, sort
    /// key and filter. This resumes a stream of [`pages`](List::pages) after an error or in another process.
    ///
    /// Cannot be combined with an offset: that is an [`InvalidCall`](crate::ErrorKind::InvalidCall).
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
        let call = self.call.modify_query(|query| {
            if query.get("offset").is_some() {
                return Err(offset_and_cursor_error());
            }
            query.set("cursor", cursor.into());
            Ok(())
        });
        Self { call }
    }

    /// Sets the maximum time to fetch one page: see [`Call::timeout`].
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { call: self.call.timeout(timeout) }
    }

    /// Sets the instant by which the last page must have been fetched: see [`Call::deadline`].
    pub fn deadline(self, deadline: Instant) -> Self {
        Self { call: self.call.deadline(deadline) }
    }

    /// Adds a header to the request of every page: see [`Call::header`].
    pub fn header(self, name: impl TryInto<HeaderName>, value: impl TryInto<HeaderValue>) -> Self {
        Self { call: self.call.header(name, value) }
    }

    /// Fetches one page and returns it together with the status, headers, request id and number of attempts: see
    /// [`Call::with_response`].
    ///
    /// # Errors
    ///
    /// Same as awaiting the list itself; see [`Error`].
    pub async fn with_response(self) -> Result<Response<Page<T>>, Error> {
        self.call.with_response().await
    }

    fn set_parameter(self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        let call = self.call.modify_query(|query| {
            query.set(name, value);
            Ok(())
        });
        Self { call }
    }

    fn with_offset(self, offset: u64) -> Self {
        let call = self.call.modify_query(|query| {
            if query.get("cursor").is_some() {
                return Err(offset_and_cursor_error());
            }
            query.set("offset", offset.to_string());
            Ok(())
        });
        Self { call }
    }
}

fn offset_and_cursor_error() -> Error {
    Error::invalid_call("a list starts at an offset or at a cursor, not at both")
}

impl List<ChatSummary> {
    /// Sets the sort key. Default: creation time.
    pub fn sort(self, sort: ChatSort) -> Self {
        self.set_parameter("sort", sort.as_str())
    }

    /// Skips this many chats. Offsets shift when chats are created or deleted, so only the first page uses the offset;
    /// later pages use cursors.
    ///
    /// Cannot be combined with a [`cursor`](List::cursor): that is an [`InvalidCall`](crate::ErrorKind::InvalidCall).
    pub fn offset(self, offset: u64) -> Self {
        self.with_offset(offset)
    }
}

impl List<Message> {
    /// Skips this many messages. Only the first page uses the offset; later pages use cursors.
    ///
    /// Cannot be combined with a [`cursor`](List::cursor): that is an [`InvalidCall`](crate::ErrorKind::InvalidCall).
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
        self.with_offset(offset)
    }

    /// Lists only messages with a greater [`seq`](Message::seq), that is, those after a known message.
    pub fn after_seq(self, seq: u64) -> Self {
        self.set_parameter("after_seq", seq.to_string())
    }
}

impl List<ChatDetails> {
    /// Sets the sort key. Default: creation time.
    ///
    /// ```
    /// use parlor_sdk::ChatSort;
    ///
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::chat_page(&[server::CHAT], None)]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// let inbox = client.list_chats().sort(ChatSort::LastMessageAt).limit(20).await?;
    /// for chat in inbox.items {
    ///     println!("{}: {:?}", chat.title, chat.last_message_at);
    /// }
    /// # assert!(server.requests()[0].line.contains("sort=last_message_at"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn sort(self, sort: ChatSort) -> Self {
        self.set_parameter("sort", sort.as_str())
    }

    /// Sets the filter, replacing an earlier one. Default: all chats of the tenant.
    pub fn filter(self, filter: ChatFilter) -> Self {
        Self { call: self.call.modify_query(|query| filter.write_to(query)) }
    }
}

impl<T: Send + 'static> List<T> {
    /// Streams the items of the whole list.
    pub fn items(self) -> Items<T> {
        let items = self.pages().map_ok(|page| stream::iter(page.items.into_iter().map(Ok))).try_flatten();
        Items { stream: Box::pin(items) }
    }

    /// Streams the pages of the whole list.
    ///
    /// ```
    /// # mod server { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/server.rs")); }
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = server::Server::start([server::messages(&[1, 2], Some("c1")), server::messages(&[3], None)]);
    /// # let client = parlor_sdk::Client::new(server.url(), "your-tenant-api-key")?;
    /// # let chat_id = parlor_sdk::uuid::Uuid::nil();
    /// let mut pages = client.list_messages(chat_id).pages();
    /// let mut resume_at = None;
    /// while let Some(page) = pages.next().await.transpose()? {
    ///     println!("{} messages", page.items.len());
    ///     // If the program stops here, `List::cursor` continues from this place.
    ///     resume_at = page.next_cursor;
    /// }
    /// assert_eq!(resume_at, None);
    /// # assert!(server.requests()[1].line.contains("cursor=c1"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn pages(self) -> Pages<T> {
        Pages { stream: Box::pin(stream::try_unfold(Some(self.call), fetch)) }
    }
}

/// Fetches a page, and returns it with the call for the next one.
async fn fetch<T: 'static>(call: Option<Call<Page<T>>>) -> Result<Option<FetchedPage<T>>, Error> {
    let Some(call) = call else { return Ok(None) };
    let (operation, next_call) = (call.operation(), call.try_clone());
    let cursor = call.parameter("cursor").map(str::to_owned);
    let page = match call.await {
        // `no_chats` after the first page: the user's chats were deleted while the list was read.
        Err(error) if cursor.is_some() && error.code() == Some(&Code::NoChats) => return Ok(None),
        page => page?,
    };
    if !page.has_more {
        return Ok(Some((page, None)));
    }
    let next = page.next_cursor.clone().filter(|next| Some(next) != cursor.as_ref());
    let (Some(next), Some(next_call)) = (next, next_call) else {
        return Err(missing_cursor_error().with_call(operation, 1, None, false));
    };
    let next = next_call.modify_query(|query| {
        query.remove("offset");
        query.set("cursor", next);
        Ok(())
    });
    Ok(Some((page, Some(next))))
}

fn missing_cursor_error() -> Error {
    Error::decode("the server reports more items but returns no new cursor")
}

type FetchedPage<T> = (Page<T>, Option<Call<Page<T>>>);

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

/// Declares a stream type.
macro_rules! stream {
    ($(#[$doc:meta])* $name:ident of $item:ty) => {
        $(#[$doc])*
        ///
        /// A [`Stream`]; combinators are in `futures-util`, and [`next`](Self::next) suffices for a plain loop.
        #[must_use = "a stream does nothing until it is read"]
        pub struct $name<T> {
            stream: Pin<Box<dyn Stream<Item = Result<$item, Error>> + Send>>,
        }

        impl<T> $name<T> {
            /// Returns the next one; none at the end of the list and after an error. Cancel safe.
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
    /// The items of a [`List`]: [`List::items`].
    Items of T
}

stream! {
    /// The pages of a [`List`]: [`List::pages`].
    Pages of Page<T>
}
