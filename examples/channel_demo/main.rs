//! Two processes pay each other over a loopback socket: 100,000 ticks each way, while both are killed and started again.
//!
//! This process runs the ledger. It starts the other two, each with a key of its own and with the logs of a payer and of a payee, kills first the
//! one and then the other on their way, and starts them again from their logs. There is a channel each way. In the end both sign a total for
//! each, the channels close at once, and the balances have to add up.

mod ledger;
mod link;
mod machine;
mod payee;
mod payer;
mod side;
mod story;

use ledger::Served;
use serde_json::Value;
use side::{Name, Orders};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use story::{Story, Told};
use unchoke_core::Seed;
use unchoke_examples::{Failure, address, positive, run, unexpected};
use unchoke_token::{Address, Signer as _};

const USAGE: &str = "channel_demo [--ticks N] [--kills N] [--limit SECONDS] [--json]
  --ticks N          what each of the two pays the other, one unit the one, three units the other (100000)
  --kills N          how often one of them is killed, in turns (2)
  --limit SECONDS    after which it is given up (300)
  --json             one line of JSON in the end";

/// What is to be done.
struct Plan {
    ticks: u64,
    kills: u64,
    limit: Duration,
    is_json: bool,
}

/// What the program was asked for.
enum Task {
    Demo(Plan),
    Side { name: Name, ledger: SocketAddr, folder: PathBuf, other: Address, ticks: u64 },
}

/// An option with a value.
enum Place {
    Ticks,
    Kills,
    Limit,
    Side,
    Ledger,
    Folder,
    Other,
}

fn main() -> ExitCode {
    run(USAGE, arguments().and_then(start))
}

fn arguments() -> Result<Task, Failure> {
    let mut plan = Plan { ticks: 100_000, kills: 2, limit: Duration::from_secs(300), is_json: false };
    let (mut side, mut ledger, mut folder, mut other) = (None, None, None, None);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next().map_err(|error| Failure::usage(&error))? {
        let place = match argument {
            lexopt::Arg::Long("json") => {
                plan.is_json = true;
                continue;
            }
            lexopt::Arg::Long("ticks") => Place::Ticks,
            lexopt::Arg::Long("kills") => Place::Kills,
            lexopt::Arg::Long("limit") => Place::Limit,
            // How this program calls itself.
            lexopt::Arg::Long("side") => Place::Side,
            lexopt::Arg::Long("ledger") => Place::Ledger,
            lexopt::Arg::Long("folder") => Place::Folder,
            lexopt::Arg::Long("other") => Place::Other,
            other => return Err(unexpected(other)),
        };
        let value = parser.value().map_err(|error| Failure::usage(&error))?;
        match place {
            // All of it has to be within what a ledger can count.
            Place::Ticks => plan.ticks = Some(positive(&value)?).filter(|it| *it <= MAX_TICKS).ok_or_else(too_many)?,
            Place::Kills => plan.kills = positive(&value)?,
            Place::Limit => plan.limit = Duration::from_secs(positive(&value)?),
            Place::Side => side = Some(value),
            Place::Ledger => ledger = Some(address(&value)?),
            Place::Folder => folder = Some(PathBuf::from(value)),
            Place::Other => other = Some(unchoke_examples::text(value)?),
        }
    }
    let other = other.map(|it| it.parse::<Address>()).transpose().map_err(|error| Failure::usage(&error))?;
    let Some(side) = side else { return Ok(Task::Demo(plan)) };
    let name = Name::ALL.into_iter().find(|name| side == name.as_str());
    match (name, ledger, folder, other) {
        (Some(name), Some(ledger), Some(folder), Some(other)) => {
            Ok(Task::Side { name, ledger, folder, other, ticks: plan.ticks })
        }
        _ => Err(Failure::Usage("a side needs a ledger, a folder and the other one".into())),
    }
}

fn too_many() -> Failure {
    Failure::Usage(format!("no more than {MAX_TICKS} ticks"))
}

fn start(task: Task) -> Result<(), Failure> {
    match task {
        Task::Demo(plan) => demo(&plan),
        Task::Side { name, ledger, folder, other, ticks } => {
            side::run(&Orders { name, ledger, folder: &folder, other, ticks })
        }
    }
}

/// A process that tells what it does, a line of JSON each time. It ends with this one.
struct Process {
    child: Child,
}

impl Process {
    fn start(name: Name, arguments: &[String], lines: Sender<Told>) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::failed(&error))?;
        let mut command = Command::new(program);
        command.args(["--side", name.as_str()]).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
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

fn demo(plan: &Plan) -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(|error| Failure::failed(&error))?;
    let folders = Name::ALL.map(|name| folder.path().join(name.as_str()));
    for folder in &folders {
        machine::write_key(folder, &Seed::new(rand::random()))?;
    }
    let [alice, bob] = folders.clone().map(|folder| machine::signer(&folder).map(|it| it.address()));
    let addresses = [alice?, bob?];
    let balance = BALANCE.max(plan.ticks.saturating_mul(4));
    let served = Served::start(&Seed::new(rand::random()), &addresses, balance)?;
    let before = addresses.map(|it| served.balance(&it));
    let (sender, lines) = channel();
    let start = |name: Name| {
        let [own, other] = [name, name.other()].map(Name::place);
        let (ledger, ticks, folder) = (served.address(), plan.ticks, folders[own].display());
        let arguments = [
            ("--ledger", ledger.to_string()),
            ("--ticks", ticks.to_string()),
            ("--folder", folder.to_string()),
            ("--other", addresses[other].to_string()),
        ];
        let arguments: Vec<_> = arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
        Process::start(name, &arguments, sender.clone())
    };
    let mut story = Story::new(plan.ticks, plan.limit, plan.is_json);
    let mut processes = [start(Name::Alice)?, start(Name::Bob)?];
    for kill in 1..=plan.kills {
        // Somewhere in its part of the way, and at some moment after that.
        let part = story.all() / plan.kills.saturating_add(1);
        let place = part.saturating_mul(kill).saturating_sub(rand::random_range(0..=part / 2));
        if !story.wait(&lines, place)? {
            story.note("all is paid, and no more are killed")?;
            break;
        }
        std::thread::sleep(Duration::from_micros(rand::random_range(0..5000)));
        let name = if kill % 2 == 1 { Name::Alice } else { Name::Bob };
        let victim = &mut processes[name.place()];
        victim.kill();
        *victim = start(name)?;
        story.handle_kill();
        if plan.kills < 10 {
            story.note(format_args!("killed {} and started it again", name.as_str()))?;
        }
    }
    let paid = story.settled(&lines)?;
    drop(processes);
    let after = addresses.map(|it| served.balance(&it));
    story.finish(before, after, paid)
}

/// What each account begins with, at least.
const BALANCE: u64 = 1_000_000;
/// Ticks for which there are coins.
const MAX_TICKS: u64 = 1 << 58;
