//! Two processes pay each other over a loopback socket: 100,000 ticks, each of them worth one unit, while both are killed and started again.
//!
//! This process runs the ledger. It starts a payee and a payer, each with a key and a log of its own, kills first the one and then the other on
//! their way, and starts them again from their logs. In the end both sign a total, the channel closes at once, and the balances have to add up.

mod ledger;
mod payee;
mod payer;
mod side;

use ledger::Served;
use serde_json::{Value, json};
use std::cell::Cell;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use unchoke_core::Seed;
use unchoke_examples::{Failure, Percent, address, positive, run, say, unexpected};
use unchoke_token::Signer as _;

const USAGE: &str = "channel_demo [--ticks N] [--kills N] [--json]";
/// What each account begins with.
const BALANCE: u64 = 1_000_000;
/// The longest time for the whole of it.
const LIMIT: Duration = Duration::from_secs(300);

/// What the program was asked for.
enum Task {
    Demo { ticks: u64, kills: u64, json: bool },
    Payee { ledger: SocketAddr, folder: PathBuf, ticks: u64 },
    Payer { ledger: SocketAddr, folder: PathBuf, ticks: u64 },
}

/// An option with a value.
enum Place {
    Ticks,
    Kills,
    Role,
    Ledger,
    Folder,
}

fn main() -> ExitCode {
    run(USAGE, arguments().and_then(start))
}

fn arguments() -> Result<Task, Failure> {
    let (mut ticks, mut kills, mut json) = (100_000, 2, false);
    let (mut role, mut ledger, mut folder) = (None, None, None);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next().map_err(|error| Failure::usage(&error))? {
        let place = match argument {
            lexopt::Arg::Long("json") => {
                json = true;
                continue;
            }
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => return Err(Failure::Help),
            lexopt::Arg::Long("ticks") => Place::Ticks,
            lexopt::Arg::Long("kills") => Place::Kills,
            // How this program calls itself.
            lexopt::Arg::Long("role") => Place::Role,
            lexopt::Arg::Long("ledger") => Place::Ledger,
            lexopt::Arg::Long("folder") => Place::Folder,
            other => return Err(unexpected(other)),
        };
        let value = parser.value().map_err(|error| Failure::usage(&error))?;
        match place {
            Place::Ticks => ticks = positive(&value)?,
            Place::Kills => kills = positive(&value)?,
            Place::Role => role = Some(value),
            Place::Ledger => ledger = Some(address(&value)?),
            Place::Folder => folder = Some(PathBuf::from(value)),
        }
    }
    match (role.as_deref().and_then(std::ffi::OsStr::to_str), ledger, folder) {
        (None, None, None) => Ok(Task::Demo { ticks, kills, json }),
        (Some("payee"), Some(ledger), Some(folder)) => Ok(Task::Payee { ledger, folder, ticks }),
        (Some("payer"), Some(ledger), Some(folder)) => Ok(Task::Payer { ledger, folder, ticks }),
        _ => Err(Failure::Usage("a role needs a ledger and a folder".into())),
    }
}

fn start(task: Task) -> Result<(), Failure> {
    match task {
        Task::Demo { ticks, kills, json } => demo(ticks, kills, json),
        Task::Payee { ledger, folder, ticks } => payee::run(ledger, &folder, ticks),
        Task::Payer { ledger, folder, ticks } => payer::run(ledger, &folder, ticks),
    }
}

/// A process that tells what it does, a line of JSON each time. It ends with this one.
struct Process {
    child: Child,
}

impl Process {
    fn start(name: &'static str, arguments: &[String], lines: Sender<(&'static str, Value)>) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::failed(&error))?;
        let mut command = Command::new(program);
        command.args(["--role", name]).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| Failure::failed(&error))?;
        let output = child.stdout.take();
        std::thread::spawn(move || {
            let lines_of = output.into_iter().flat_map(|output| BufReader::new(output).lines());
            for line in lines_of.map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::Null);
                if lines.send((name, value)).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child })
    }

    /// Kills it at once, as a power cut would.
    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn demo(ticks: u64, kills: u64, is_json: bool) -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(|error| Failure::failed(&error))?;
    let [payer_seed, payee_seed, operator] = [(); 3].map(|()| Seed::new(rand::random()));
    let folders = [folder.path().join("payer"), folder.path().join("payee")];
    for (folder, seed) in folders.iter().zip([&payer_seed, &payee_seed]) {
        side::write_key(folder, seed)?;
    }
    let addresses = folders.clone().map(|folder| side::signer(&folder).map(|it| it.address()));
    let [payer_address, payee_address] = addresses;
    let (payer_address, payee_address) = (payer_address?, payee_address?);
    let served = Served::start(&operator, &[payer_address, payee_address], BALANCE.max(ticks.saturating_mul(2)))?;
    let before = [served.balance(&payer_address), served.balance(&payee_address)];
    let (sender, lines) = channel();
    let arguments = |folder: &Path| {
        let folder = folder.display().to_string();
        let words = ["--ledger", &served.address().to_string(), "--folder", &folder, "--ticks", &ticks.to_string()];
        words.map(str::to_owned).to_vec()
    };
    let payee_arguments = arguments(&folders[1]);
    let payer_arguments = arguments(&folders[0]);
    let begun = Instant::now();
    let mut processes = [
        Process::start("payer", &payer_arguments, sender.clone())?,
        Process::start("payee", &payee_arguments, sender.clone())?,
    ];
    let story = Story { ticks, begun, is_json, claims: Cell::default() };
    let mut killed = 0;
    for kill in 1..=kills {
        // Somewhere in its part of the way, and at some moment after that.
        let part = ticks / kills.saturating_add(1);
        let place = part.saturating_mul(kill).saturating_sub(rand::random_range(0..=part / 2));
        if !story.wait(&lines, place)? {
            story.note("all is paid, and no more are killed")?;
            break;
        }
        std::thread::sleep(Duration::from_micros(rand::random_range(0..5000)));
        let [payer, payee] = &mut processes;
        let (victim, name, arguments) =
            if kill % 2 == 1 { (payee, "payee", &payee_arguments) } else { (payer, "payer", &payer_arguments) };
        victim.kill();
        *victim = Process::start(name, arguments, sender.clone())?;
        killed = kill;
        if kills < 10 {
            story.note(format_args!("killed the {name} and started it again"))?;
        }
    }
    drop(sender);
    let claimed = story.settled(&lines)?;
    let took = begun.elapsed();
    drop(processes);
    let after = [served.balance(&payer_address), served.balance(&payee_address)];
    story.finish(before, after, claimed, took, killed)
}

/// What is told of the run.
struct Story {
    ticks: u64,
    begun: Instant,
    is_json: bool,
    /// What the payer and the payee say was claimed, once the channel is over.
    claims: Cell<[Option<u64>; 2]>,
}

impl Story {
    /// Until the payee has so many ticks. With few it may be over before: then the answer is no.
    fn wait(&self, lines: &Receiver<(&'static str, Value)>, ticks: u64) -> Result<bool, Failure> {
        let mut percent = Percent::named("paid");
        loop {
            let (name, line) = self.next(lines)?;
            if let Some(paid) = line["paid"].as_u64().filter(|_| name == "payee") {
                percent.show(paid, self.ticks);
                if paid >= ticks {
                    return Ok(true);
                }
            }
            if self.claims.get().iter().any(Option::is_some) {
                return Ok(false);
            }
        }
    }

    /// Until both say that the channel is over. Tells what was claimed.
    fn settled(&self, lines: &Receiver<(&'static str, Value)>) -> Result<u64, Failure> {
        let mut percent = Percent::named("paid");
        loop {
            if let [Some(of_payer), Some(of_payee)] = self.claims.get() {
                return if of_payer == of_payee {
                    Ok(of_payee)
                } else {
                    Err(Failure::Failed(format!("the payer says {of_payer} were claimed, the payee {of_payee}")))
                };
            }
            let (name, line) = self.next(lines)?;
            if let Some(paid) = line["paid"].as_u64().filter(|_| name == "payee") {
                percent.show(paid, self.ticks);
            }
        }
    }

    fn next(&self, lines: &Receiver<(&'static str, Value)>) -> Result<(&'static str, Value), Failure> {
        let left = LIMIT.saturating_sub(self.begun.elapsed());
        let line = lines.recv_timeout(left).map_err(|_| Failure::Failed("it takes too long".into()))?;
        if let Some(claimed) = line.1["settled"].as_u64() {
            let [of_payer, of_payee] = self.claims.get();
            let is_payee = line.0 == "payee";
            self.claims.set(if is_payee { [of_payer, Some(claimed)] } else { [Some(claimed), of_payee] });
        }
        match line.1["error"].as_str() {
            Some(error) => Err(Failure::Failed(format!("{}: {error}", line.0))),
            None => Ok(line),
        }
    }

    fn note(&self, what: impl std::fmt::Display) -> Result<(), Failure> {
        if self.is_json {
            return Ok(());
        }
        say(format_args!("{:6.2} s  {what}", self.begun.elapsed().as_secs_f64()))
    }

    fn finish(
        &self,
        before: [u64; 2],
        after: [u64; 2],
        claimed: u64,
        took: Duration,
        killed: u64,
    ) -> Result<(), Failure> {
        let (spent, earned) = (before[0].saturating_sub(after[0]), after[1].saturating_sub(before[1]));
        let adds_up = spent == earned && earned == claimed && claimed >= self.ticks;
        let seconds = took.as_secs_f64();
        if self.is_json {
            let line = json!({
                "ticks": self.ticks, "kills": killed, "claimed": claimed, "payer": after[0], "payee": after[1], "seconds": seconds, "adds_up": adds_up,
            });
            say(line)?;
        } else {
            say(format_args!("{seconds:6.2} s  closed: {claimed} units for {} ticks", self.ticks))?;
            say(format_args!("          payer {} -> {}, payee {} -> {}", before[0], after[0], before[1], after[1]))?;
        }
        if adds_up { Ok(()) } else { Err(Failure::Failed("the balances do not add up".into())) }
    }
}

/// Says what went wrong, too.
fn reported(result: Result<(), Failure>) -> Result<(), Failure> {
    if let Err(failure) = &result {
        // If nobody listens, there is the exit code.
        let _ = say(json!({ "error": failure.to_string() }));
    }
    result
}
