//! The memory of messages that are arriving, over all live connections.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Bytes that may be held for messages of which only a part has arrived.
#[derive(Debug)]
pub(crate) struct MessageBudget {
    left: AtomicUsize,
}

impl MessageBudget {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(bytes) })
    }

    fn take(&self, bytes: usize) -> bool {
        self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// The part of the budget that one message has; given back when this is dropped.
#[derive(Debug)]
pub(super) struct MessagePermit {
    budget: Arc<MessageBudget>,
    bytes: usize,
}

impl MessagePermit {
    pub(super) fn empty(budget: &Arc<MessageBudget>) -> Self {
        Self { budget: budget.clone(), bytes: 0 }
    }

    /// Raises the part to `bytes`; `false`: so much is not left, and the part stays as it is.
    pub(super) fn raise(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let raised = self.budget.take(more);
        if raised {
            self.bytes += more;
        }
        raised
    }
}

impl Drop for MessagePermit {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_permit_takes_is_given_back_with_it() {
        let budget = MessageBudget::new(10);
        let (mut first, mut second) = (MessagePermit::empty(&budget), MessagePermit::empty(&budget));
        assert!(first.raise(4) && first.raise(6) && first.raise(5));
        assert!(!second.raise(5) && second.raise(4) && !first.raise(7));
        drop(first);
        assert!(second.raise(10) && !MessagePermit::empty(&budget).raise(1));
        drop(second);
        assert!(MessagePermit::empty(&budget).raise(10));
    }
}
