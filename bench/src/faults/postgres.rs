//! Faults of a PostgreSQL database: its processes, the network to it, its locks, and another node beside.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, ToSocketAddrs as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    case::{Case, Expected, Row, Undo, measure},
    forwarder::{Forwarder, Network},
    load::{Client, Load, new_chat, reads_in_flight},
    options::FaultOptions,
    sqlite::end,
    timeline::{Operation, Timeline},
};
use crate::{
    Outcome,
    database::{CLIENT_SETTINGS, Cluster, Database},
    http::{CHATS, post},
    server::{Server, send_signal},
};

/// Reads that are under way when the network falls silent.
const READS: usize = 40;
/// The time between an immediate stop of PostgreSQL and its start.
const DOWN: Duration = Duration::from_secs(2);
/// Upper bound on the time that PostgreSQL takes to end, and to be ready again.
const RESTART_TIMEOUT: Duration = Duration::from_mins(1);
/// The contract's bound for a write whose database does not answer; later ones must succeed where others go on.
const WRITE_BOUND: Duration = Duration::from_secs(5);
/// Workers of a second node.
const OTHER_WORKERS: usize = 4;
/// Clients of that node that all send to one chat.
const SENDS: usize = 8;
/// The pause between two messages of one of them.
const SEND: Duration = Duration::from_millis(10);
/// How often that node is stopped until it holds a lock.
const FREEZES: usize = 60;

const NAMES: [&str; 8] = [
    "all processes stopped (SIGSTOP)",
    "immediate restart (SIGQUIT)",
    "silent network with 40 reads under way",
    "cut network",
    "one chat's row locked",
    "another node frozen (SIGSTOP)",
    "default_transaction_read_only on",
    "a column added to every table",
];

/// Runs all faults that are wanted.
pub(super) async fn run(
    options: &FaultOptions,
    cluster: &Cluster,
    rows: &mut Vec<Row>,
    notes: &mut Vec<String>,
) -> Outcome<()> {
    let postmaster = options.postgres_pid.map(|pid| Postmaster::of(pid, cluster.clone())).transpose()?;
    let postmaster = postmaster.map(|postmaster| Arc::new(Mutex::new(postmaster)));
    for name in NAMES.into_iter().filter(|name| options.trial.wants(name)) {
        let database = Database::postgres(cluster)?;
        let own = Cluster { url: database.url(), psql: cluster.psql.clone() };
        let forwarder = Forwarder::start(upstream(&own.url)?).await?;
        let through = format!("{}{}{}", before_host(&own.url)?, forwarder.address, after_host(&own.url)?);
        let program = options.trial.program();
        let server = Server::start(&program, Database::Shared(through.clone())).await?;
        let chat = new_chat(server.address).await?;
        let mut other = None;
        let (mut loads, mut sends) = (Vec::new(), Vec::new());
        let hold = options.hold();
        let service = Expected::ServiceAfter(WRITE_BOUND);
        let network = forwarder.network.clone();
        let case = match name {
            "all processes stopped (SIGSTOP)" | "immediate restart (SIGQUIT)" => {
                let Some(postmaster) = postmaster.clone() else {
                    notes.push(format!("Skipped on PostgreSQL: {name}, since its process id is not given."));
                    continue;
                };
                if name.starts_with("all") {
                    Case::new(name, Expected::Refusal, 2 * hold, move || stop_processes(&postmaster))
                } else {
                    Case::new(name, Expected::Refusal, DOWN, move || quit(postmaster))
                }
            }
            "silent network with 40 reads under way" => {
                let (address, chat) = (server.address, chat.clone());
                let mut case =
                    Case::new(name, Expected::Refusal, hold, move || Ok(set_network(network, Network::Silent)));
                case.beside = Some(Box::new(move |timeline| reads_in_flight(address, &chat, READS, timeline)));
                case
            }
            "cut network" => Case::new(name, Expected::Refusal, hold, move || Ok(set_network(network, Network::Cut))),
            "one chat's row locked" => {
                let (address, chat) = (server.address, chat.clone());
                let lock = format!("BEGIN; SELECT 1 FROM chats WHERE id = '{chat}' FOR UPDATE;");
                let mut case = Case::new(name, service, hold.max(2 * WRITE_BOUND), move || session(&own, &lock));
                case.beside = Some(Box::new(move |timeline| send_to(address, &chat, timeline)));
                case
            }
            "another node frozen (SIGSTOP)" => {
                let other = other.insert(Server::start(&program, Database::Shared(through)).await?);
                loads.push(Load::start(other.address, OTHER_WORKERS));
                let unseen = Arc::new(Timeline::default());
                sends.extend((0..SENDS).map(|_| send_to(other.address, &chat, &unseen)));
                let (process, address, locked) = (other.process(), server.address, chat.clone());
                let inject = move || freeze_with_lock(&process, &own, &locked);
                let mut case = Case::new(name, service, hold.max(2 * WRITE_BOUND), inject);
                case.beside = Some(Box::new(move |timeline| send_to(address, &chat, timeline)));
                case
            }
            "default_transaction_read_only on" => {
                let cluster = cluster.clone();
                Case::new(name, Expected::Refusal, hold, move || forbid_writing(&cluster))
            }
            _ => Case::new(name, Expected::ServiceAfter(Duration::ZERO), hold, move || add_columns(&own)),
        };
        rows.extend(measure(server, &program, case, "PostgreSQL", loads, notes).await?);
        drop((sends, other));
        drop(database);
    }
    Ok(())
}

/// The part of a URL before its host, with the user and the password.
fn before_host(url: &str) -> Outcome<&str> {
    Ok(&url[..=url.find('@').ok_or("the URL has no user")?])
}

/// The part of a URL after its host and port.
fn after_host(url: &str) -> Outcome<&str> {
    let host = &url[before_host(url)?.len()..];
    Ok(&host[host.find('/').ok_or("the URL has no database")?..])
}

fn upstream(url: &str) -> Outcome<SocketAddr> {
    let host = &url[before_host(url)?.len()..url.len() - after_host(url)?.len()];
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:5432") };
    host.to_socket_addrs()?.find(SocketAddr::is_ipv4).ok_or_else(|| format!("no address of {host}").into())
}

fn set_network(network: tokio::sync::watch::Sender<Network>, to: Network) -> Undo {
    network.send_replace(to);
    Undo::new(move || {
        network.send_replace(Network::Whole);
        Ok(())
    })
}

fn stop(processes: Vec<String>) -> Outcome<Undo> {
    send_signal("STOP", &processes)?;
    Ok(Undo::new(move || send_signal("CONT", &processes)))
}

/// Stops a node at a moment at which it has locked a chat's row.
fn freeze_with_lock(process: &str, cluster: &Cluster, chat: &str) -> Outcome<Undo> {
    let lock = format!("SELECT 1 FROM chats WHERE id = '{chat}' FOR UPDATE NOWAIT");
    for _ in 0..FREEZES {
        let undo = stop(vec![process.to_owned()])?;
        // What PostgreSQL was already asked to commit is committed by then.
        thread::sleep(Duration::from_millis(250));
        match cluster.execute(&lock) {
            Err(error) if error.to_string().contains("could not obtain lock") => return Ok(undo.began_now()),
            Err(error) => return Err(error),
            Ok(_) => undo.undo()?,
        }
        thread::sleep(Duration::from_millis(40));
    }
    Err("the node was never stopped while it held a lock".into())
}

fn stop_processes(postmaster: &Mutex<Postmaster>) -> Outcome<Undo> {
    let pid = postmaster.lock().unwrap_or_else(PoisonError::into_inner).pid;
    // First the one that starts others.
    let first = stop(vec![pid.to_string()])?;
    let rest = stop(children(pid)?)?;
    Ok(Undo::new(move || {
        rest.undo()?;
        first.undo()
    }))
}

fn quit(postmaster: Arc<Mutex<Postmaster>>) -> Outcome<Undo> {
    postmaster.lock().unwrap_or_else(PoisonError::into_inner).quit()?;
    Ok(Undo::new(move || postmaster.lock().unwrap_or_else(PoisonError::into_inner).start()))
}

/// Executes statements in a session that stays open.
fn session(cluster: &Cluster, statements: &str) -> Outcome<Undo> {
    let mut psql = Command::new(&cluster.psql);
    psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", &cluster.url]).envs(CLIENT_SETTINGS);
    let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(stdin) = &mut child.stdin {
        writeln!(stdin, "{statements}")?;
    }
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let undo = Undo::new(move || end(child));
    if line.trim() == "1" { Ok(undo.began_now()) } else { Err("the row cannot be locked".into()) }
}

/// Sends messages to a chat, one after the other, until it is dropped.
fn send_to(address: SocketAddr, chat: &str, timeline: &Arc<Timeline>) -> JoinSet<()> {
    let mut client = Client { address, connection: None, timeline: timeline.clone() };
    let mut sends = JoinSet::new();
    let request = post(&format!("{CHATS}{chat}/messages"), r#"{"content":"one of many"}"#);
    sends.spawn(async move {
        loop {
            _ = client.ask(Operation::Blocked, &request).await;
            tokio::time::sleep(SEND).await;
        }
    });
    sends
}

fn forbid_writing(cluster: &Cluster) -> Outcome<Undo> {
    cluster.execute("ALTER SYSTEM SET default_transaction_read_only = on")?;
    let undo = Undo::new({
        let cluster = cluster.clone();
        move || {
            cluster.execute("ALTER SYSTEM RESET default_transaction_read_only")?;
            cluster.execute("SELECT pg_reload_conf()").map(drop)
        }
    });
    cluster.execute("SELECT pg_reload_conf()")?;
    Ok(undo)
}

/// Adds a column to each table, as the migration of a newer node would.
fn add_columns(cluster: &Cluster) -> Outcome<Undo> {
    let tables = cluster.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")?;
    for table in tables.lines().filter(|table| !table.is_empty()) {
        cluster.execute(&format!("ALTER TABLE \"{table}\" ADD COLUMN added_later integer"))?;
    }
    Ok(Undo::none())
}

/// The main process of a PostgreSQL server, and how to start it again.
struct Postmaster {
    pid: u32,
    /// The process, when it was started here.
    child: Option<Child>,
    arguments: Vec<String>,
    folder: PathBuf,
    user: u32,
    group: u32,
    cluster: Cluster,
}

impl Postmaster {
    /// Reads how a running one was started.
    fn of(pid: u32, cluster: Cluster) -> Outcome<Self> {
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
        let arguments = arguments.split('\0').filter(|argument| !argument.is_empty()).map(str::to_owned).collect();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let id = |name: &str| -> Outcome<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no owner of the process")?;
            Ok(line.split_whitespace().next().ok_or("no owner of the process")?.parse()?)
        };
        let folder = fs::read_link(format!("/proc/{pid}/cwd"))?;
        Ok(Self { pid, child: None, arguments, folder, user: id("Uid:")?, group: id("Gid:")?, cluster })
    }

    /// Ends it at once, as a crash would.
    fn quit(&mut self) -> Outcome<()> {
        send_signal("QUIT", &[self.pid.to_string()])?;
        let started = Instant::now();
        while !self.has_ended()? {
            if started.elapsed() > RESTART_TIMEOUT {
                return Err("PostgreSQL did not end".into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Whether it has ended; a zombie, for whose end another process has to wait, has.
    fn has_ended(&mut self) -> Outcome<bool> {
        if let Some(child) = &mut self.child {
            return Ok(child.try_wait()?.is_some());
        }
        Ok(process(self.pid).is_none_or(|(state, _)| state == "Z"))
    }

    fn start(&mut self) -> Outcome<()> {
        let (program, arguments) = self.arguments.split_first().ok_or("no command of PostgreSQL")?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.folder).uid(self.user).gid(self.group);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        self.pid = child.id();
        self.child = Some(child);
        let started = Instant::now();
        while let Err(error) = self.cluster.execute("SELECT 1") {
            if started.elapsed() > RESTART_TIMEOUT {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        // One that was started here ends here.
        if self.child.is_some()
            && let Err(error) = self.quit()
        {
            eprintln!("PostgreSQL may be left over: {error}");
        }
    }
}

/// The state of a process, and its parent.
fn process(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn children(parent: u32) -> Outcome<Vec<String>> {
    let pids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let own = pids.filter(|pid| process(*pid).is_some_and(|(_, of)| of == parent));
    Ok(own.map(|pid| pid.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_part_before_its_host_and_one_after_it() {
        let url = "postgres://user:secret@127.0.0.1:5433/name?x=y";
        assert_eq!(before_host(url).unwrap(), "postgres://user:secret@");
        assert_eq!(after_host(url).unwrap(), "/name?x=y");
        assert_eq!(upstream(url).unwrap(), "127.0.0.1:5433".parse().unwrap());
        assert!(before_host("postgres://host").is_err());
    }

    #[test]
    fn this_process_has_a_parent_whose_child_it_is() {
        let own = std::process::id();
        let (_, parent) = process(own).unwrap();
        assert!(children(parent).unwrap().contains(&own.to_string()));
    }
}
