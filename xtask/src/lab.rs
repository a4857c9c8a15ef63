//! A network that nothing leaves, the programs in it, and the content that they exchange.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// What the checks of this module return.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The folders that a run uses.
pub(crate) struct Lab {
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// Everything that a run writes.
    pub(crate) work: PathBuf,
}

/// A program and how one gets it.
pub(crate) type Needed = (&'static str, &'static [&'static str], &'static str);

/// The tools that every run needs.
pub(crate) const NETWORK: [Needed; 2] =
    [("unshare", &["--version"], "apt-get install util-linux"), ("ip", &["-V"], "apt-get install iproute2")];

impl Lab {
    /// Finds the folders; `name` is the one below the target folder that is written to.
    pub(crate) fn new(name: &str) -> Outcome<Self> {
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(2).ok_or("this program is in no target folder")?.to_owned();
        Ok(Self { work: target.join(name), target })
    }

    /// Demands the tools and `needed`, and builds our programs.
    pub(crate) fn prepare(&self, needed: &[Needed]) -> Outcome {
        self.require(needed)?;
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        run(Command::new(cargo).args(["build", "--release", "--quiet", "-p", "unchoke-examples", "--examples"]))?;
        Ok(())
    }

    /// Builds the nodes of `unchoke-benches`, ours and those of `mainline`.
    pub(crate) fn prepare_nodes(&self) -> Outcome {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--release", "--quiet", "-p", "unchoke-benches", "--features", "dht-peers"]);
        run(command.args(["--bin", "dht_peer", "--bin", "dht_load"])).map(drop)
    }

    /// Builds our program for object stores, and demands the server for them.
    pub(crate) fn prepare_buckets(&self) -> Outcome {
        if run(Command::new(self.python()).args(["-c", "import moto.server"])).is_err() {
            let venv = self.target.join("peers/venv");
            return Err(format!("moto is missing: {}/bin/pip install 'moto[s3,server]'", venv.display()).into());
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--release", "--quiet", "-p", "unchoke-examples", "--features", "object-store"]);
        run(command.args(["--example", "bucket"])).map(drop)
    }

    /// This program with these arguments, in a network of its own, where it is to call [`raise`].
    pub(crate) fn inside(arguments: &[String]) -> Outcome<Command> {
        let mut command = Command::new("unshare");
        // As root a user namespace would only take rights away from the peers.
        if !is_root()? {
            command.arg("--map-root-user");
        }
        command.args(["--net", "--fork", "--kill-child"]).arg(std::env::current_exe()?).args(arguments).arg(INSIDE);
        Ok(command)
    }

    /// Prepares and starts this program again, with the same arguments, in a network of its own.
    ///
    /// Returns `None` when already inside, with the addresses up.
    pub(crate) fn enter(&self, arguments: &[String], needed: &[Needed]) -> Outcome<Option<ExitCode>> {
        if is_inside(arguments) {
            raise()?;
            return Ok(None);
        }
        self.prepare(needed)?;
        Self::again(arguments).map(Some)
    }

    /// The same with only the nodes of the DHT built.
    pub(crate) fn enter_with_nodes(&self, arguments: &[String]) -> Outcome<Option<ExitCode>> {
        if is_inside(arguments) {
            raise()?;
            return Ok(None);
        }
        self.require(&[])?;
        self.prepare_nodes()?;
        Self::again(arguments).map(Some)
    }

    fn again(arguments: &[String]) -> Outcome<ExitCode> {
        let status = Self::inside(arguments)?.status()?;
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Fails with all that is missing and the commands that install it.
    fn require(&self, needed: &[Needed]) -> Outcome {
        let mut missing = Vec::new();
        for (program, arguments, install) in NETWORK.iter().chain(needed) {
            if run(Command::new(program).args(*arguments)).is_err() {
                missing.push(format!("{program} is missing or does not start: {install}"));
            }
        }
        missing.extend(self.require_libtorrent().err().map(|error| error.to_string()));
        if missing.is_empty() { Ok(()) } else { Err(missing.join("\n").into()) }
    }

    /// Fails with the commands that install libtorrent if it is missing.
    pub(crate) fn require_libtorrent(&self) -> Outcome {
        let check = "import libtorrent as lt; assert int(lt.version.split('.')[0]) >= 2";
        if run(Command::new(self.python()).args(["-c", check])).is_ok() {
            return Ok(());
        }
        let venv = self.target.join("peers/venv");
        let venv = venv.display();
        Err(format!("libtorrent 2 is missing: python3 -m venv {venv} && {venv}/bin/pip install libtorrent").into())
    }

    /// One of our example programs.
    pub(crate) fn ours(&self, name: &str) -> Command {
        Command::new(self.target.join("release/examples").join(name))
    }

    /// One of the programs of `unchoke-benches`.
    pub(crate) fn bench(&self, name: &str) -> Command {
        Command::new(self.target.join("release").join(name))
    }

    /// One of the scripts in `xtask/peers`.
    pub(crate) fn script(&self, name: &str) -> Command {
        let mut command = Command::new(self.python());
        command.arg(script_path(name));
        command
    }

    /// The interpreter that has libtorrent.
    pub(crate) fn python(&self) -> PathBuf {
        self.target.join("peers/venv/bin/python")
    }
}

/// Whether the program is in a network of its own.
pub(crate) fn is_inside(arguments: &[String]) -> bool {
    arguments.iter().any(|it| it == INSIDE)
}

/// Gives the network its addresses, 10.77.0.1 to 10.77.0.9; whatever else begins with 10.77 can be bound, too.
pub(crate) fn raise() -> Outcome {
    run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    run(Command::new("ip").args(["route", "add", "local", "10.77.0.0/16", "dev", "lo"]))?;
    for host in 1..=9 {
        run(Command::new("ip").args(["addr", "add", &format!("10.77.0.{host}/32"), "dev", "lo"]))?;
    }
    Ok(())
}

/// The argument after `name`.
pub(crate) fn value<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    arguments.iter().skip_while(|it| *it != name).nth(1).map(String::as_str)
}

/// Where one of the scripts in `xtask/peers` is.
pub(crate) fn script_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name)
}

/// A child process that is ended, by its own id, when this is dropped.
pub(crate) struct Running {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Running {
    /// Starts a program with its output in `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Outcome<Self> {
        let file = File::create(log)?;
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().display().to_string();
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { child, name, log: log.to_owned() })
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed.
    pub(crate) fn output(&self) -> Outcome<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// Waits until it has printed `text`.
    pub(crate) fn printed(&mut self, text: &str) -> Outcome {
        let until = Instant::now() + LIMIT;
        while !self.output()?.contains(text) {
            self.alive()?;
            if Instant::now() > until {
                return Err(self.failure(&format!("has not printed {text:?} in time")));
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// Demands that it has not ended.
    pub(crate) fn alive(&mut self) -> Outcome {
        match self.child.try_wait()? {
            Some(status) => Err(self.failure(&format!("ended with {status}"))),
            None => Ok(()),
        }
    }

    /// Waits until it ends, and demands success.
    pub(crate) fn ended(&mut self) -> Outcome {
        let until = Instant::now() + LIMIT;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(self.failure(&format!("ended with {status}"))),
                None if Instant::now() > until => return Err(self.failure("did not end in time")),
                None => std::thread::sleep(TICK),
            }
        }
    }

    fn failure(&self, what: &str) -> Box<dyn Error> {
        let output = self.output().unwrap_or_default();
        let last = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
        format!("{} {what}; it printed last: {last} (see {})", self.name, self.log.display()).into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end and returns its output.
pub(crate) fn run(command: &mut Command) -> Outcome<String> {
    let name = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Writes `length` bytes that no file system or network can compress, the same for the same `seed`.
pub(crate) fn generate(path: &Path, length: u64, seed: u64) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = io::BufWriter::with_capacity(1 << 20, File::create(path)?);
    // xorshift64*; the state must not be zero.
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9E37_79B9_7F4A_7C15) | 1;
    let mut left = length;
    while left > 0 {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let word = state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes();
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(word.len());
        file.write_all(word.get(..take).unwrap_or_default())?;
        left = left.saturating_sub(8);
    }
    file.flush()
}

/// Whether an empty file may be missing.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum EmptyFiles {
    /// It must be there.
    Demanded,
    /// Some clients make a file when they write its first byte.
    MayLack,
}

/// Demands that two files or folders hold the same names and bytes.
pub(crate) fn same(expected: &Path, found: &Path, empty: EmptyFiles) -> Outcome {
    if expected.is_dir() {
        let names = |folder: &Path| -> Outcome<Vec<_>> {
            let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            let mut names = entries.map(|it| it.map(|it| it.file_name())).collect::<Result<Vec<_>, _>>()?;
            names.sort();
            Ok(names)
        };
        let (mut wanted, got) = (names(expected)?, names(found)?);
        if empty == EmptyFiles::MayLack {
            let is_empty = |path: PathBuf| path.metadata().is_ok_and(|it| it.is_file() && it.len() == 0);
            wanted.retain(|name| got.contains(name) || !is_empty(expected.join(name)));
        }
        if wanted != got {
            return Err(format!("{} holds {got:?} instead of {wanted:?}", found.display()).into());
        }
        return wanted.iter().try_for_each(|name| same(&expected.join(name), &found.join(name), empty));
    }
    let open = |path: &Path| File::open(path).map_err(|error| format!("{}: {error}", path.display()));
    let (mut left, mut right) = (open(expected)?, open(found)?);
    if left.metadata()?.len() != right.metadata()?.len() {
        return Err(format!("{} has {} bytes", found.display(), right.metadata()?.len()).into());
    }
    let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut offset = 0_u64;
    loop {
        let count = left.read(&mut a)?;
        let (a, b) = (a.get(..count).unwrap_or_default(), b.get_mut(..count).unwrap_or_default());
        right.read_exact(b)?;
        if a != b {
            return Err(format!("{} differs after byte {offset}", found.display()).into());
        }
        if count == 0 {
            return Ok(());
        }
        offset = offset.saturating_add(u64::try_from(count)?);
    }
}

/// An empty folder in the place of whatever was there.
pub(crate) fn fresh(folder: PathBuf) -> io::Result<PathBuf> {
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir_all(&folder)?,
    }
    Ok(folder)
}

fn is_root() -> Outcome<bool> {
    Ok(run(Command::new("id").arg("-u"))?.trim() == "0")
}

/// How long any child may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// How often children are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// The argument that tells the program that it is in its own network.
const INSIDE: &str = "--inside";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_byte_or_a_missing_file_is_found() -> Outcome {
        let root = fresh(std::env::temp_dir().join(format!("unchoke-lab-{}", std::process::id())))?;
        let (a, b) = (root.join("a"), root.join("b"));
        for folder in [&a, &b] {
            generate(&folder.join("x/data"), 100_001, 7)?;
            generate(&folder.join("x/empty"), 0, 7)?;
        }
        assert!(same(&a, &b, EmptyFiles::Demanded).is_ok());
        fs::remove_file(b.join("x/empty"))?;
        assert!(same(&a, &b, EmptyFiles::Demanded).is_err());
        assert!(same(&a, &b, EmptyFiles::MayLack).is_ok());
        generate(&b.join("x/data"), 100_001, 8)?;
        assert!(same(&a, &b, EmptyFiles::MayLack).is_err());
        fs::remove_file(b.join("x/data"))?;
        assert!(same(&a, &b, EmptyFiles::MayLack).is_err());
        fs::remove_dir_all(root)?;
        Ok(())
    }
}
