//! A child process that answers each line with one line of JSON.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use serde_json::Value;

use crate::lab::{LIMIT, Lab, Outcome};

/// The implementations that can be talked to as one node.
pub(crate) const NODES: [&str; 3] = ["unchoke", "libtorrent", "mainline"];

/// The child, which is ended by its own id when this is dropped.
pub(crate) struct Dialog {
    child: Child,
    name: String,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Dialog {
    /// Starts a program whose standard error goes to `log`, and waits for its first line.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Outcome<Self> {
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().display().to_string();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(log)?);
        let mut child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        let input = child.stdin.take().ok_or("a child without an input")?;
        let output = child.stdout.take().ok_or("a child without an output")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let dialog = Self { child, name: format!("{name} (see {})", log.display()), input, lines };
        dialog.hear()?;
        Ok(dialog)
    }

    /// Starts one node of one of [`NODES`] that knows the nodes at `known`.
    pub(crate) fn node(lab: &Lab, which: &str, listen: &str, known: &[String], log: &Path) -> Outcome<Self> {
        let mut command = match which {
            "libtorrent" => {
                let mut command = lab.script("libtorrent_nodes.py");
                command.arg("peer");
                command
            }
            _ => {
                let mut command = lab.bench("dht_peer");
                command.arg(which);
                command
            }
        };
        Self::start(command.arg(listen).args(known), log)
    }

    /// The answer to a command.
    pub(crate) fn ask(&mut self, command: &str) -> Outcome<Value> {
        writeln!(self.input, "{command}").map_err(|error| format!("{}: {error}", self.name))?;
        self.hear()
    }

    /// User and system time so far, in seconds.
    pub(crate) fn cpu(&self) -> Outcome<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name before it may hold anything.
        let (_, fields) = stat.rsplit_once(')').ok_or("a stat file without a name")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
        Ok(ticks / TICKS_PER_SECOND)
    }

    fn hear(&self) -> Outcome<Value> {
        let line = self.lines.recv_timeout(LIMIT).map_err(|error| format!("{}: {error}", self.name))?;
        let answer: Value = serde_json::from_str(&line).map_err(|error| format!("{}: {line:?}: {error}", self.name))?;
        match answer.get("error") {
            Some(error) => Err(format!("{}: {error}", self.name).into()),
            None => Ok(answer),
        }
    }
}

impl Drop for Dialog {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Networks of nodes: `pattern` has `{}` in the place of the number.
pub(crate) fn network(lab: &Lab, pattern: &str, count: u32, torrents: u32, known: &[String]) -> Outcome<Dialog> {
    let mut command = lab.script("libtorrent_nodes.py");
    command.args(["network", pattern, &count.to_string(), &torrents.to_string()]).args(known);
    Dialog::start(&mut command, &log(lab, "libtorrent", pattern))
}

/// The same with our nodes, which announce nothing.
pub(crate) fn our_network(lab: &Lab, pattern: &str, count: u32, known: &[String]) -> Outcome<Dialog> {
    let mut command = lab.bench("dht_peer");
    command.args(["network", pattern, &count.to_string()]).args(known);
    Dialog::start(&mut command, &log(lab, "unchoke", pattern))
}

fn log(lab: &Lab, whose: &str, pattern: &str) -> std::path::PathBuf {
    lab.work.join(format!("{whose}-{}.log", pattern.replace([':', '{', '}'], "-")))
}

/// The address of a node of a network.
pub(crate) fn address(pattern: &str, number: u32) -> String {
    pattern.replace("{}", &number.to_string())
}

/// What Linux counts in for programs, whatever its timer does.
const TICKS_PER_SECOND: f64 = 100.0;
