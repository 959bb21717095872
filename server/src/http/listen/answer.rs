//! The body of an answer, which notes when it is complete.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::body::{Body, Frame, SizeHint};

use super::state::ConnectionState;

/// Dropped by hyper when it has all of it, though perhaps not yet written.
#[derive(Debug)]
pub(super) struct Answer<B> {
    body: B,
    _complete: Complete,
}

#[derive(Debug)]
struct Complete(Arc<ConnectionState>);

impl Drop for Complete {
    fn drop(&mut self) {
        self.0.answered();
    }
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, state: Arc<ConnectionState>) -> Self {
        Self { body, _complete: Complete(state) }
    }
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
