//! A clock under the control of the test.

use std::future::poll_fn;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use parlor_sdk::{Clock, SleepFuture};

use crate::server::Step;

/// The wall-clock time at the start of every test: Sun, 06 Nov 1994 08:49:37 GMT.
const START_TIME: Duration = Duration::from_secs(784_111_777);

/// A clock that jumps ahead on every sleep, and otherwise stands still until it is advanced.
#[derive(Clone, Debug)]
pub(crate) struct VirtualClock {
    start: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    elapsed: Duration,
    sleeps: Vec<Duration>,
    waiting: Vec<Waker>,
}

impl VirtualClock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), state: Arc::default() }
    }

    pub(crate) fn advance(&self, duration: Duration) {
        let waiting = {
            let mut state = self.state.lock().unwrap();
            state.elapsed += duration;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Returns the delays so far.
    pub(crate) fn sleeps(&self) -> Vec<Duration> {
        self.state.lock().unwrap().sleeps.clone()
    }

    /// A step that sends these bytes and then nothing, while this much time passes.
    pub(crate) fn stall(&self, after: &'static [u8], duration: Duration) -> Step {
        let clock = self.clone();
        Box::new(move |stream| {
            std::io::Write::write_all(stream, after).unwrap();
            clock.advance(duration);
            read_until_closed(stream);
        })
    }
}

fn read_until_closed(stream: &mut TcpStream) {
    // The read timeout makes the test fail instead of hang if the client waits for ever.
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut rest = [0; 64];
    while std::io::Read::read(stream, &mut rest).is_ok_and(|read| read > 0) {}
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        self.start + self.state.lock().unwrap().elapsed
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + START_TIME + self.state.lock().unwrap().elapsed
    }

    fn sleep(&self, duration: Duration) -> SleepFuture {
        self.state.lock().unwrap().sleeps.push(duration);
        self.advance(duration);
        Box::pin(std::future::ready(()))
    }

    fn sleep_until(&self, instant: Instant) -> SleepFuture {
        let clock = self.clone();
        Box::pin(poll_fn(move |context| {
            let mut state = clock.state.lock().unwrap();
            if clock.start + state.elapsed >= instant {
                return Poll::Ready(());
            }
            state.waiting.push(context.waker().clone());
            Poll::Pending
        }))
    }
}
