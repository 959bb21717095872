//! The retry budget of a client: a token bucket.

use std::sync::atomic::{AtomicU32, Ordering};

/// The bucket counts tenths of a token so that a success can refund a fraction of one.
const TENTHS_PER_RETRY: u32 = 10;
const TENTHS_PER_SUCCESS: u32 = 1;

/// A token bucket that starts full. A retry costs one token. A successful call refunds the tokens of its own retries
/// plus a tenth of a token. A server that fails occasionally is therefore retried without limit, while a server that is
/// down receives at most 10 % more requests than without retries.
///
/// The scheme is gRPC's retry throttling (proposal A6) with the refund of the AWS SDKs. Clones of a client share one
/// bucket.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    capacity: u32,
    tenths: AtomicU32,
}

impl RetryBudget {
    pub(crate) fn new(tokens: u32) -> Self {
        let capacity = tokens.saturating_mul(TENTHS_PER_RETRY);
        Self { capacity, tenths: AtomicU32::new(capacity) }
    }

    /// Takes the token for one retry. Returns `false` if there is none.
    pub(crate) fn withdraw(&self) -> bool {
        self.update(|tenths| tenths.checked_sub(TENTHS_PER_RETRY))
    }

    /// Refunds a successful call that needed this many retries.
    pub(crate) fn record_success(&self, retries: u32) {
        let refund = retries.saturating_mul(TENTHS_PER_RETRY).saturating_add(TENTHS_PER_SUCCESS);
        self.update(|tenths| Some(tenths.saturating_add(refund).min(self.capacity)));
    }

    fn update(&self, change: impl Fn(u32) -> Option<u32>) -> bool {
        // Relaxed: the count does not guard any other memory.
        self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_retry_costs_a_token() {
        let budget = RetryBudget::new(3);
        let paid = (0..10).filter(|_| budget.withdraw()).count();
        assert_eq!(paid, 3);
    }

    #[test]
    fn ten_successes_pay_for_one_retry() {
        let budget = RetryBudget::new(1);
        assert!(budget.withdraw());
        for _ in 0..9 {
            budget.record_success(0);
        }
        assert!(!budget.withdraw());
        budget.record_success(0);
        assert!(budget.withdraw());
    }

    #[test]
    fn it_never_exceeds_its_capacity() {
        let budget = RetryBudget::new(2);
        for _ in 0..1_000 {
            budget.record_success(0);
        }
        let paid = (0..10).filter(|_| budget.withdraw()).count();
        assert_eq!(paid, 2);
    }

    #[test]
    fn an_empty_budget_allows_no_retries() {
        let budget = RetryBudget::new(0);
        budget.record_success(0);
        assert!(!budget.withdraw());
    }

    #[test]
    fn a_success_refunds_its_retries() {
        let budget = RetryBudget::new(2);
        for _ in 0..10 {
            assert!(budget.withdraw() && budget.withdraw() && !budget.withdraw());
            budget.record_success(2);
        }
    }
}
