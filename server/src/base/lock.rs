//! Locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock that a panic may have poisoned. For what is whole whenever it is unlocked: nothing that is done under
/// such a lock panics half-way.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
