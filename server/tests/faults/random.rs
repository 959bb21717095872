//! Random sequences of writes by several clients, faults, and SIGKILLs. Each run takes the same seeds, so that a failure
//! can be repeated; `PARLOR_TEST_SEED` takes another one.

use std::env;

use futures_util::future::join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{
    postgres,
    server::{Server, side_by_side},
    sqlite::{all_faults, path_of},
    world::{World, Write},
};
use crate::support::{
    Cut, MessageProxy, TestDatabase,
    fault::{FaultShim, FileFault},
};

const SEEDS: u64 = 3;
const SEEDS_AT_ONCE: usize = 3;
const STEPS: u32 = 30;
/// Clients that write at the same time, so that a fault strikes what several have asked for.
const CLIENTS: usize = 3;
/// The place of a fault is below this.
const PLACES: u64 = 40;

/// What strikes a server's database, on either kind.
enum Faults {
    File { shim: FaultShim, all: Vec<FileFault> },
    Link(MessageProxy),
}

impl Faults {
    /// Arms a random fault and names it.
    fn arm(&self, random: &mut StdRng) -> String {
        let place = random.random_range(1..PLACES);
        match self {
            Self::File { shim, all } => {
                let fault = all.choose(random).unwrap();
                shim.arm(fault, place);
                format!("{}, call {place}", fault.name)
            }
            Self::Link(proxy) => {
                let cut = *[Cut::Before, Cut::After].choose(random).unwrap();
                let count = *[1, 3, u64::MAX].choose(random).unwrap();
                proxy.arm(cut, place, count);
                format!("{cut:?}, message {place}, {count} times")
            }
        }
    }

    fn disarm(&self) {
        match self {
            Self::File { shim, .. } => shim.disarm(),
            Self::Link(proxy) => _ = proxy.disarm(),
        }
    }

    fn preload(&self, command: &mut std::process::Command) {
        if let Self::File { shim, .. } = self {
            shim.preload(command);
        }
    }
}

#[tokio::test]
async fn whatever_fails_when_what_was_acknowledged_stays() {
    let seeds = match env::var("PARLOR_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("PARLOR_TEST_SEED is a number")],
        Err(_) => (0..SEEDS).collect::<Vec<u64>>(),
    };
    side_by_side(SEEDS_AT_ONCE, seeds, run).await;
}

async fn run(seed: u64) {
    let database = TestDatabase::create().await;
    let (faults, url) = match path_of(&database) {
        Some(path) => {
            let Some(shim) = FaultShim::on(path) else { return };
            (Faults::File { shim, all: all_faults().collect() }, database.url().to_owned())
        }
        None => {
            let (proxy, url) = postgres::proxied(&database).await;
            (Faults::Link(proxy), url)
        }
    };
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::start(&url, |command| faults.preload(command)).await;
    let address = server.process().address;
    let mut worlds: Vec<World> = (0..CLIENTS).map(|n| World::new(&format!("client{n}"), address)).collect();
    for world in &mut worlds {
        world.context = format!("seed {seed}");
        world.renew().await;
    }
    for step in 0..STEPS {
        let writes: Vec<Write> = worlds.iter().map(|_| *Write::ALL.choose(&mut random).unwrap()).collect();
        let prepared = join_all(worlds.iter_mut().zip(&writes).map(|(world, write)| world.prepare(*write))).await;
        let (mut armed, mut lasts) = ("no fault".to_owned(), false);
        if random.random_bool(0.7) {
            (armed, lasts) = (faults.arm(&mut random), random.random_bool(0.5));
        }
        for (world, write) in worlds.iter_mut().zip(&writes) {
            world.context = format!("seed {seed}, step {step}: {write:?}, {armed}");
        }
        let attempts = worlds.iter_mut().zip(prepared).map(async |(world, prepared)| {
            world.attempt(prepared).await;
            if lasts {
                let message = world.next_message();
                world.attempt(message).await;
                world.try_chat().await;
            }
        });
        join_all(attempts).await;
        let is_killed = random.random_bool(0.15);
        if is_killed {
            // While the fault lasts.
            server.kill();
        }
        faults.disarm();
        if is_killed {
            server.verify(&mut worlds, |command| faults.preload(command)).await;
        }
        join_all(worlds.iter_mut().map(World::recovers)).await;
    }
    server.verify(&mut worlds, |_| {}).await;
}
