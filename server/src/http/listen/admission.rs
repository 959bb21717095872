//! Bounds the number of connections, in total and per client address, and the memory that they hold.
//!
//! At a bound, a connection that waits for its peer is displaced: the one that has been waiting longest. So a client that
//! holds connections without using them cannot keep others out, and a connection whose request is being worked on is
//! never lost.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::state::{ConnectionState, HeldMemory, Order, Phase, Times, millis};
use crate::base::lock::lock;

/// How many candidates one look at all connections finds.
const CANDIDATES: usize = 256;
/// The pause between two looks at all connections when none waits.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// Connections that hold less are not displaced for want of memory.
const HEAVY: usize = 4 * 1024;
/// How long a connection waits for its peer before it is displaced for want of memory while there is still some left: a
/// peer that is slow, but takes its answer, is not cut off.
const RECENT: Duration = Duration::from_secs(1);
/// Between two warnings that connections are displaced or refused.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// The bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Connections in total.
    pub(super) total: usize,
    /// Connections from one address.
    pub(super) per_address: usize,
    /// Estimated bytes of memory held by all connections. From half of it on, connections are displaced whose peers have done
    /// nothing for [`RECENT`]; beyond it, any that wait.
    pub(super) bytes: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Admission {
    bounds: Bounds,
    started: Instant,
    connections: Mutex<Connections>,
    /// Notified when a connection has ended.
    ended: Notify,
}

#[derive(Debug, Default)]
struct Connections {
    addresses: HashMap<IpAddr, Address>,
    /// How many are in `addresses`.
    admitted: usize,
    /// Displaced connections that have not ended yet.
    displaced: HashMap<u64, Arc<ConnectionState>>,
    /// Estimated bytes held by those in `addresses`.
    bytes: usize,
    longest_waiting: Candidates,
    longest_waiting_heavy: Candidates,
    next_id: u64,
    warned: Option<Instant>,
    turned_away: Counts,
}

#[derive(Debug, Default)]
struct Address {
    connections: HashMap<u64, Arc<ConnectionState>>,
    longest_waiting: Candidates,
}

/// What the next warning reports.
#[derive(Debug, Default)]
struct Counts {
    displaced: u64,
    refused: u64,
}

/// The answer to a new connection.
pub(super) enum Admitted {
    Yes(Permit),
    /// The address has as many connections as it may have, and the server works for all of them.
    NotFromThisAddress,
    /// The same of all connections.
    NotNow,
}

impl Admission {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, started: Instant::now(), connections: Mutex::default(), ended: Notify::new() }
    }

    /// Admits a connection from `address`, if need be in place of another.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, times: Times) -> Admitted {
        let address = client(address);
        let mut connections = lock(&self.connections);
        let of_address = connections.addresses.get(&address).map_or(0, |address| address.connections.len());
        if of_address >= self.bounds.per_address {
            if !connections.displace_of(address) {
                connections.turned_away.refused += 1;
                connections.warn("a client address has as many connections as it may have");
                return Admitted::NotFromThisAddress;
            }
            connections.warn("a client address has as many connections as it may have");
        } else if connections.admitted >= self.bounds.total {
            let displaced = connections.displace_any();
            connections.warn("there are as many connections as there may be");
            if !displaced {
                return Admitted::NotNow;
            }
        }
        let id = connections.next_id;
        connections.next_id += 1;
        let state = Arc::new(ConnectionState::new(self.clone(), self.started, times));
        connections.addresses.entry(address).or_default().connections.insert(id, state.clone());
        connections.admitted += 1;
        Admitted::Yes(Permit { id, address, state, admission: self.clone() })
    }

    /// Waits until a connection has ended, or might have begun to wait for its peer.
    pub(super) async fn change(&self) {
        _ = tokio::time::timeout(Duration::from_millis(10), self.ended.notified()).await;
    }

    /// Gives `order` to all connections.
    pub(super) fn give_all(&self, order: Order) {
        let connections = lock(&self.connections);
        let admitted = connections.addresses.values().flat_map(|address| address.connections.values());
        admitted.chain(connections.displaced.values()).for_each(|state| state.give(order));
    }
}

impl HeldMemory for Admission {
    /// Displaces others while all of them hold too much.
    fn hold(&self, state: &ConnectionState, bytes: usize) {
        let mut connections = lock(&self.connections);
        if state.order() == Order::Displace {
            return;
        }
        let before = state.held.swap(bytes, Relaxed);
        connections.bytes = connections.bytes.saturating_sub(before) + bytes;
        let bound = self.bounds.bytes;
        let now = state.now();
        while connections.bytes > bound / 2 && bytes > before {
            let latest = if connections.bytes > bound { now } else { now.saturating_sub(millis(RECENT)) };
            if !connections.relieve(latest) {
                break;
            }
            connections.warn("connections that wait for their peers hold as much memory as they may hold");
        }
    }
}

impl Connections {
    /// Displaces the connection from `address` that has been waiting longest; `false`: none waits.
    fn displace_of(&mut self, address: IpAddr) -> bool {
        let Some(of_address) = self.addresses.get_mut(&address) else { return false };
        let Address { connections, longest_waiting } = of_address;
        let next = longest_waiting.next(|all| all.extend(connections.iter().map(|(id, state)| (address, *id, state))));
        self.displace(next)
    }

    /// Displaces a connection of the addresses that have the most: the one that has been waiting longest.
    fn displace_any(&mut self) -> bool {
        let addresses = &self.addresses;
        let next = self.longest_waiting.next(|all| {
            let most = addresses.values().map(|address| address.connections.len()).max().unwrap_or_default();
            // Half as many is as good as most: which of them has the most changes with every connection.
            for (address, Address { connections, .. }) in addresses {
                if connections.len() * 2 > most {
                    all.extend(connections.iter().map(|(id, state)| (*address, *id, state)));
                }
            }
            // None of those waits, perhaps, but one of the others does.
            if !all.iter().any(|(_, _, state)| state.waiting_since().is_some()) {
                all.clear();
                all.extend(everything(addresses));
            }
        });
        self.displace(next)
    }

    /// Has the connection that has been waiting longest, of those that hold much memory, give it back if it has waited since
    /// `latest` or earlier. One that waits for a head can go on with less; any other is displaced.
    fn relieve(&mut self, latest: u64) -> bool {
        let addresses = &self.addresses;
        let is_heavy = |state: &ConnectionState| state.held.load(Relaxed) >= HEAVY;
        let next = self
            .longest_waiting_heavy
            .next(|all| all.extend(everything(addresses).filter(|(_, _, state)| is_heavy(state))));
        if next.as_ref().is_some_and(|candidate| candidate.since > latest) {
            self.longest_waiting_heavy.put_back(next);
            return false;
        }
        if let Some(Candidate { state, .. }) = &next
            && state.phase() == Phase::Head
        {
            self.bytes = self.bytes.saturating_sub(state.held.swap(0, Relaxed));
            state.shrink();
            return true;
        }
        self.displace(next)
    }

    fn displace(&mut self, connection: Option<Candidate>) -> bool {
        let Some(Candidate { address, id, state, .. }) = connection else { return false };
        self.remove(address, id);
        self.bytes = self.bytes.saturating_sub(state.held.swap(0, Relaxed));
        self.turned_away.displaced += 1;
        state.give(Order::Displace);
        self.displaced.insert(id, state);
        true
    }

    fn remove(&mut self, address: IpAddr, id: u64) -> Option<Arc<ConnectionState>> {
        let of_address = self.addresses.get_mut(&address)?;
        let state = of_address.connections.remove(&id)?;
        if of_address.connections.is_empty() {
            self.addresses.remove(&address);
        }
        self.admitted -= 1;
        Some(state)
    }

    /// Warns of what was displaced and refused, now and then.
    fn warn(&mut self, why: &str) {
        if self.warned.is_some_and(|warned| warned.elapsed() < WARN_INTERVAL) {
            return;
        }
        self.warned = Some(Instant::now());
        let Counts { displaced, refused } = mem::take(&mut self.turned_away);
        tracing::warn!(displaced, refused, connections = self.admitted, "{why}");
    }
}

type Entry<'a> = (IpAddr, u64, &'a Arc<ConnectionState>);

fn everything(addresses: &HashMap<IpAddr, Address>) -> impl Iterator<Item = Entry<'_>> {
    addresses
        .iter()
        .flat_map(|(address, of_address)| of_address.connections.iter().map(|(id, state)| (*address, *id, state)))
}

/// The connections that have been waiting longest, as one look at all of them found: while such a one still waits since
/// then, every other waits since later. So a look at all is needed only once in a while.
#[derive(Debug, Default)]
struct Candidates {
    queue: VecDeque<Candidate>,
    /// When a look at all connections last found none.
    found_none: Option<Instant>,
}

#[derive(Debug)]
struct Candidate {
    since: u64,
    address: IpAddr,
    id: u64,
    state: Arc<ConnectionState>,
}

impl Candidate {
    /// Whether it is still admitted and waiting since then.
    fn is_valid(&self) -> bool {
        self.state.order() == Order::None && self.state.waiting_since() == Some(self.since)
    }
}

impl Candidates {
    /// Takes the next one; `list` lists all connections that may be chosen.
    fn next<'a>(&mut self, list: impl FnOnce(&mut Vec<Entry<'a>>)) -> Option<Candidate> {
        while let Some(candidate) = self.queue.pop_front() {
            if candidate.is_valid() {
                return Some(candidate);
            }
        }
        if self.found_none.is_some_and(|at| at.elapsed() < LOOK_PAUSE) {
            return None;
        }
        let mut all = Vec::new();
        list(&mut all);
        let mut waiting: Vec<_> = all
            .into_iter()
            .filter_map(|(address, id, state)| Some((state.waiting_since()?, address, id, state)))
            .collect();
        if waiting.len() > CANDIDATES {
            waiting.select_nth_unstable_by_key(CANDIDATES, |(since, _, id, _)| (*since, *id));
            waiting.truncate(CANDIDATES);
        }
        waiting.sort_unstable_by_key(|(since, _, id, _)| (*since, *id));
        self.queue.extend(waiting.into_iter().map(|(since, address, id, state)| Candidate {
            since,
            address,
            id,
            state: state.clone(),
        }));
        let next = self.queue.pop_front();
        self.found_none = if next.is_none() { Some(Instant::now()) } else { None };
        next
    }

    fn put_back(&mut self, candidate: Option<Candidate>) {
        if let Some(candidate) = candidate {
            self.queue.push_front(candidate);
        }
    }
}

/// The place of an admitted connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    id: u64,
    address: IpAddr,
    pub(super) state: Arc<ConnectionState>,
    admission: Arc<Admission>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Candidates may still hold the state.
        self.state.give(Order::Abort);
        let mut connections = lock(&self.admission.connections);
        if connections.remove(self.address, self.id).is_some() {
            connections.bytes = connections.bytes.saturating_sub(self.state.held.swap(0, Relaxed));
        } else {
            connections.displaced.remove(&self.id);
        }
        drop(connections);
        self.admission.ended.notify_one();
    }
}

/// Who is counted as one client: an IPv4 address, or the network of an IPv6 address (/64), all of which one host may use.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times { head: 1_000, write: 1_000, write_rate: 1, stop_grace: 1_000 };

    fn admission(total: usize, per_address: usize, bytes: usize) -> Arc<Admission> {
        Arc::new(Admission::new(Bounds { total, per_address, bytes }))
    }

    fn admit(admission: &Arc<Admission>, last: u8) -> Option<Permit> {
        match admission.admit(IpAddr::from([127, 0, 0, last]), TIMES) {
            Admitted::Yes(permit) => Some(permit),
            Admitted::NotFromThisAddress | Admitted::NotNow => None,
        }
    }

    fn displaced(permits: &[Permit]) -> Vec<usize> {
        (0..permits.len()).filter(|index| permits[*index].state.order() == Order::Displace).collect()
    }

    #[test]
    fn the_longest_waiting_of_an_address_makes_room_and_a_working_one_never() {
        let admission = admission(100, 3, usize::MAX);
        let mut permits: Vec<_> = (0..3).map(|_| admit(&admission, 1).unwrap()).collect();
        permits[0].state.working();
        permits.push(admit(&admission, 1).expect("the second makes room"));
        assert_eq!(displaced(&permits), [1]);
        for permit in &permits {
            permit.state.working();
        }
        assert!(admit(&admission, 1).is_none(), "the server works for all of them");
        permits.push(admit(&admission, 2).expect("another address is not concerned"));
        drop(permits.remove(0));
        assert!(admit(&admission, 1).is_some(), "one has ended");
    }

    #[test]
    fn at_the_total_the_address_with_the_most_connections_makes_room() {
        let admission = admission(6, 100, usize::MAX);
        let mut permits = vec![admit(&admission, 1).unwrap()];
        permits.extend((0..5).map(|_| admit(&admission, 2).unwrap()));
        for _ in 0..3 {
            permits.push(admit(&admission, 1).unwrap());
        }
        assert_eq!(displaced(&permits), [1, 2, 3], "the oldest of the other address");
        for permit in &permits {
            permit.state.working();
        }
        assert!(admit(&admission, 3).is_none());
    }

    #[test]
    fn of_connections_that_hold_too_much_memory_the_longest_waiting_go() {
        let admission = admission(100, 100, 4 * HEAVY);
        let permits: Vec<_> = (0..5).map(|_| admit(&admission, 1).unwrap()).collect();
        permits[0].state.hold(1);
        (1..4).for_each(|index| permits[index].state.hold(HEAVY));
        // It waits for a body, all others for a head.
        let body = permits[2].state.reading_body();
        assert_eq!(displaced(&permits), Vec::<usize>::new());
        permits[4].state.working();
        permits[4].state.hold(4 * HEAVY);
        assert_eq!(displaced(&permits), [2]);
        let asked: Vec<_> = permits.iter().map(|permit| permit.state.take_shrink()).collect();
        assert_eq!(asked, [false, true, false, true, false]);
        drop(body);
        drop(permits);
        assert_eq!(lock(&admission.connections).bytes, 0);
    }

    #[test]
    fn a_client_is_an_address_or_a_network_of_ipv6() {
        let same = |a: &str, b: &str| client(a.parse().unwrap()) == client(b.parse().unwrap());
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"));
        assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }
}
