//! The commands that change keys beside a running server, struck at each of their writes.

use std::process::{Command, Output};

use super::{server::Server, sqlite::path_of};
use crate::support::{
    Client, TestDatabase,
    fault::{ENOSPC, FaultShim, FileFault, SYNC, TRUNCATE, WRITE},
};

/// Places at most at which each command is struck; neither makes so many calls.
const PLACES: u64 = 100;

fn parlor(url: &str, arguments: &[&str], configure: impl FnOnce(&mut Command)) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlor"));
    command.env_clear().env("DATABASE_URL", url).args(arguments);
    configure(&mut command);
    command.output().unwrap()
}

/// What a command that succeeds prints.
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs a command of which the call number `place` and all later ones fail; tells whether it came as far.
fn struck(shim: &FaultShim, place: u64, url: &str, arguments: &[&str]) -> (Output, bool) {
    let calls = WRITE | SYNC | TRUNCATE;
    let fault = FileFault { name: "full disk", calls, errno: ENOSPC, torn: true, count: u64::MAX };
    shim.arm(&fault, place);
    let output = parlor(url, arguments, |command| shim.preload(command));
    shim.disarm();
    (output, shim.failed() > 0)
}

/// The id of the key called `name`.
fn id_of(url: &str, name: &str) -> String {
    let list = printed(&parlor(url, &["key", "list"], |_| {}));
    let line = list.lines().find(|line| line.split_whitespace().any(|word| word == name));
    line.unwrap_or_else(|| panic!("no {name} in {list}")).split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_that_was_printed_works_and_a_revoked_one_does_not_whichever_call_fails() {
    let database = TestDatabase::create().await;
    let url = database.url();
    let Some(path) = path_of(&database) else { return };
    let Some(shim) = FaultShim::on(path) else { return };
    let mut server = Server::start(url, |_| {}).await;
    let (mut working, mut revoked) = (Vec::new(), Vec::new());
    for place in 1.. {
        assert!(place < PLACES, "the commands never end");
        let name = format!("created{place}");
        let create = ["key", "create", "--name", name.as_str()];
        let (created, is_creation_struck) = struck(&shim, place, url, &create);
        if created.status.success() {
            working.push(printed(&created));
        }
        let name = format!("revoked{place}");
        let key = printed(&parlor(url, &["key", "create", "--name", &name], |_| {}));
        let id = id_of(url, &name);
        let revoke = ["key", "revoke", id.as_str()];
        let (outcome, is_revocation_struck) = struck(&shim, place, url, &revoke);
        if !outcome.status.success() {
            printed(&parlor(url, &revoke, |_| {}));
        }
        revoked.push(key);
        if !is_creation_struck && !is_revocation_struck {
            assert!(place > 1, "no call was struck: is the library loaded?");
            break;
        }
    }
    assert!(server.restart(|_| {}).await, "{}", server.log());
    assert!(!working.is_empty());
    for (keys, expected) in [(working, 200), (revoked, 401)] {
        for key in keys {
            Client::new(server.process().address).key(&key).list_chats(&[], expected).await;
        }
    }
}
