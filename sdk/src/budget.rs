//! How many retries a client may spend: a token bucket.

use std::sync::atomic::{AtomicU32, Ordering};

/// The bucket counts tenths of a token, so that a success can put back a part of one.
const TENTHS_PER_RETRY: u32 = 10;
const TENTHS_PER_SUCCESS: u32 = 1;

/// A bucket that starts full. A retry takes one token. A call that succeeds puts back the tokens of its own retries and a
/// tenth of one, so a server that fails now and then is retried as often as it takes, and one that is down gets at most
/// a tenth more requests than without retries.
///
/// The scheme is that of gRPC (proposal A6, "retry throttling") with the refund that the AWS SDKs make; the clones of a
/// client share one bucket.
#[derive(Debug)]
pub(crate) struct Budget {
    capacity: u32,
    tenths: AtomicU32,
}

impl Budget {
    pub(crate) fn new(tokens: u32) -> Self {
        let capacity = tokens.saturating_mul(TENTHS_PER_RETRY);
        Self { capacity, tenths: AtomicU32::new(capacity) }
    }

    /// Takes the token of one retry; `false` when there is none.
    pub(crate) fn withdraw(&self) -> bool {
        self.update(|tenths| tenths.checked_sub(TENTHS_PER_RETRY))
    }

    /// Puts back what a success after so many retries is worth.
    pub(crate) fn succeeded(&self, retries: u32) {
        let worth = retries.saturating_mul(TENTHS_PER_RETRY).saturating_add(TENTHS_PER_SUCCESS);
        self.update(|tenths| Some(tenths.saturating_add(worth).min(self.capacity)));
    }

    fn update(&self, change: impl Fn(u32) -> Option<u32>) -> bool {
        // Relaxed: the count guards nothing but itself.
        self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_pays_for_as_many_retries_as_it_has_tokens() {
        let budget = Budget::new(3);
        let paid = (0..10).filter(|_| budget.withdraw()).count();
        assert_eq!(paid, 3);
    }

    #[test]
    fn ten_successes_pay_for_one_retry() {
        let budget = Budget::new(1);
        assert!(budget.withdraw());
        for _ in 0..9 {
            budget.succeeded(0);
        }
        assert!(!budget.withdraw());
        budget.succeeded(0);
        assert!(budget.withdraw());
    }

    #[test]
    fn it_never_holds_more_than_it_started_with() {
        let budget = Budget::new(2);
        for _ in 0..1_000 {
            budget.succeeded(0);
        }
        let paid = (0..10).filter(|_| budget.withdraw()).count();
        assert_eq!(paid, 2);
    }

    #[test]
    fn an_empty_one_pays_for_nothing_and_stays_empty() {
        let budget = Budget::new(0);
        budget.succeeded(0);
        assert!(!budget.withdraw());
    }

    #[test]
    fn a_call_that_succeeds_gets_its_retries_back() {
        let budget = Budget::new(2);
        for _ in 0..10 {
            assert!(budget.withdraw() && budget.withdraw() && !budget.withdraw());
            budget.succeeded(2);
        }
    }
}
