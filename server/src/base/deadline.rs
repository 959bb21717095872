//! The moment by which a request that reads must be answered, known to whatever it waits for.
//!
//! Such a request may send several statements, one after the other. Each has a time limit of its own, which says nothing
//! about all of them together; this does.

use std::time::{Duration, Instant};

tokio::task_local! {
    static DEADLINE: Instant;
}

/// Runs `work`, whose waits for the database end after `limit` altogether.
pub(crate) async fn scope<T>(limit: Duration, work: impl Future<Output = T>) -> T {
    DEADLINE.scope(Instant::now() + limit, work).await
}

/// The moment after `limit`, or the current request's deadline if that is earlier.
pub(crate) fn after(limit: Duration) -> Instant {
    let latest = Instant::now() + limit;
    DEADLINE.try_with(|deadline| latest.min(*deadline)).unwrap_or(latest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_earlier_of_the_two_bounds_holds() {
        let (short, long) = (Duration::from_secs(1), Duration::from_mins(1));
        let begun = Instant::now();
        assert!(after(long) >= begun + long);
        scope(long, async { assert!(after(short) < begun + long) }).await;
        scope(short, async {
            let end = after(long);
            assert!(end < begun + long);
            assert_eq!(after(long), end, "the time that has passed counts");
        })
        .await;
    }
}
