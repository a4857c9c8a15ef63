//! Torrents of the same folders by several programs: what others make we read as libtorrent does, what we make others read, and the info-hashes
//! are equal.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::classes;
use super::reading::Reading;
use crate::lab::{Lab, Needed, Outcome, fresh, generate, run};

/// What this needs beside libtorrent.
pub(super) const NEEDED: [Needed; 3] = [
    ("transmission-create", &["--version"], "apt-get install --no-install-recommends transmission-cli"),
    ("transmission-show", &["--version"], "apt-get install --no-install-recommends transmission-cli"),
    ("mktorrent", &["-h"], "apt-get install --no-install-recommends mktorrent"),
];

/// Fails with the commands that install what is missing.
pub(super) fn require(lab: &Lab) -> Outcome {
    let is_missing = |needed: &&Needed| Command::new(needed.0).args(needed.1).output().is_err();
    let missing =
        NEEDED.iter().filter(is_missing).map(|(program, _, install)| format!("{program} is missing: {install}"));
    let torf = run(lab.script("torf_oracle.py").arg("version")).is_err();
    let pip = lab.target.join("peers/venv/bin/pip");
    let torf = torf.then(|| format!("torf is missing: {} install torf", pip.display()));
    let missing = missing.chain(torf).collect::<Vec<_>>();
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n").into()) }
}

/// What a torrent is made of and with.
struct Case {
    name: &'static str,
    /// Paths and lengths; a path of nothing is that of a torrent that is one file.
    files: &'static [(&'static str, u64)],
    piece_length: u32,
    private: bool,
    comment: &'static str,
    /// Tiers, each with commas between addresses.
    trackers: &'static [&'static str],
    web_seeds: &'static [&'static str],
}

const CASES: [Case; 6] = [
    Case {
        name: "nested",
        files: &[("a/b/c/d", 100_000), ("a/b/e", 1), ("a/z", 65_536), ("y", 32_768), ("y0/x", 70_001)],
        piece_length: 32_768,
        private: false,
        comment: "",
        trackers: &["http://one.example/announce"],
        web_seeds: &[],
    },
    Case {
        name: "empty files",
        files: &[("a", 0), ("b/empty", 0), ("b/full", 40_000), ("c", 0), ("d", 16_384), ("z", 0)],
        piece_length: 32_768,
        private: true,
        comment: "some files hold nothing",
        trackers: &["http://one.example/announce", "udp://two.example:6969"],
        web_seeds: &[],
    },
    Case {
        name: "nämen 名前",
        files: &[("é.txt", 16_385), ("日本/語", 50_000), ("Ω ω", 3), ("🦀", 131_072)],
        piece_length: 32_768,
        private: false,
        comment: "ünï çödé 🦀",
        trackers: &["http://one.example/announce,http://two.example/announce", "http://three.example/announce"],
        web_seeds: &["http://seed.example/files/"],
    },
    Case {
        name: "one file.bin",
        files: &[("", 1_000_003)],
        piece_length: 65_536,
        private: true,
        comment: "one",
        trackers: &["http://one.example/announce"],
        web_seeds: &["http://seed.example/one%20file.bin", "http://mirror.example/one%20file.bin"],
    },
    Case {
        name: "small.bin",
        files: &[("", 1)],
        piece_length: 32_768,
        private: false,
        comment: "",
        trackers: &["udp://one.example:1/announce"],
        web_seeds: &[],
    },
    Case {
        name: "odd sizes",
        files: &[("1", 16_383), ("2", 16_385), ("3", 32_769), ("4", 262_143), ("5", 262_145), ("6", 524_288), ("7", 7)],
        piece_length: 262_144,
        private: true,
        comment: "",
        trackers: &["http://one.example/announce"],
        web_seeds: &[],
    },
];

/// Who makes a torrent, and of which version.
const CREATORS: [(&str, &str); 9] = [
    ("unchoke", "v1"),
    ("unchoke", "v2"),
    ("unchoke", "hybrid"),
    ("libtorrent", "v1"),
    ("libtorrent", "v2"),
    ("libtorrent", "hybrid"),
    ("transmission", "v1"),
    ("mktorrent", "v1"),
    ("torf", "v1"),
];

/// What came of the comparisons.
pub(super) struct Tally {
    /// Torrents that were made and compared.
    pub(super) torrents: usize,
    /// What differs, one line each.
    pub(super) differences: Vec<String>,
}

/// Makes the torrents and compares them.
pub(super) fn creators(lab: &Lab) -> Outcome<Tally> {
    let mut tally = Tally { torrents: 0, differences: Vec::new() };
    for case in &CASES {
        case.compare(lab, &mut tally).map_err(|error| format!("{}: {error}", case.name))?;
    }
    Ok(tally)
}

impl Case {
    fn compare(&self, lab: &Lab, tally: &mut Tally) -> Outcome {
        let root = fresh(lab.work.join("creators"))?;
        let content = root.join("content").join(self.name);
        for (seed, (path, length)) in (1..).zip(self.files) {
            generate(&if path.is_empty() { content.clone() } else { content.join(path) }, *length, seed)?;
        }
        let mut made = Vec::new();
        for (creator, version) in CREATORS {
            let output = root.join(format!("{creator}-{version}.torrent"));
            run(&mut self.create(lab, creator, version, &content, &output))
                .map_err(|error| format!("{creator}, {version}: {error}"))?;
            made.push((creator, version, output));
        }
        let paths = made.iter().map(|(_, _, path)| path.as_path()).collect::<Vec<_>>();
        let (all_ours, all_theirs) = read(lab, &root, &paths)?;
        tally.torrents += made.len();
        for ((creator, version, path), (ours, theirs)) in made.iter().zip(all_ours.iter().zip(&all_theirs)) {
            let mut differences = self.differences(creator, version, ours, theirs);
            // What others leave out, such as empty files, is not missing in what they made.
            let inspect = run(lab.ours("inspect").arg(path).arg("--data").arg(root.join("content")));
            differences.extend(inspect.err().map(|error| format!("the data does not check: {error}")));
            if *creator == "unchoke" {
                differences.extend(self.readers(lab, version, ours, path));
                let wanted = made.iter().position(|(other, of, _)| *other == "libtorrent" && of == version);
                let wanted = wanted.and_then(|at| all_theirs.get(at)).filter(|it| it.error.is_none());
                if wanted.is_none_or(|wanted| (&wanted.v1, &wanted.v2) != (&ours.v1, &ours.v2)) {
                    differences.push("the info-hash is not the one of libtorrent's torrent".to_owned());
                }
            }
            let lines = differences.into_iter().map(|what| format!("{}, {creator}, {version}: {what}", self.name));
            tally.differences.extend(lines);
        }
        Ok(())
    }

    fn create(&self, lab: &Lab, creator: &str, version: &str, content: &Path, output: &Path) -> Command {
        let length = self.piece_length.to_string();
        let mut command = match creator {
            "unchoke" => {
                let mut command = lab.ours("create");
                command.arg(content).args([&format!("--{version}"), "--piece-length", &length, "--output"]).arg(output);
                command
            }
            "libtorrent" => {
                let mut command = lab.script("libtorrent_oracle.py");
                command.arg("create").arg(content).args([&length, version]).arg(output);
                command
            }
            "torf" => {
                let mut command = lab.script("torf_oracle.py");
                command.arg("create").arg(content).arg(&length).arg(output);
                command
            }
            "transmission" => {
                let mut command = Command::new("transmission-create");
                command.args(["-s", &(self.piece_length / 1024).to_string(), "-o"]).arg(output);
                // It has no tiers of several, and no web seeds.
                command.args(self.trackers.iter().flat_map(|tier| tier.split(',')).flat_map(|url| ["-t", url]));
                command
            }
            _ => {
                let mut command = Command::new("mktorrent");
                command.args(["-l", &self.piece_length.trailing_zeros().to_string(), "-o"]).arg(output);
                command.args(self.trackers.iter().flat_map(|tier| ["-a", tier]));
                command.args(self.web_seeds.iter().flat_map(|url| ["-w", url]));
                command
            }
        };
        let (private, comment) = match creator {
            "transmission" | "mktorrent" => ("-p", "-c"),
            _ => ("--private", "--comment"),
        };
        if !["transmission", "mktorrent"].contains(&creator) {
            command.args(self.trackers.iter().flat_map(|tier| ["--tracker", tier]));
            command.args(self.web_seeds.iter().flat_map(|url| ["--web-seed", url]));
        }
        if self.private {
            command.arg(private);
        }
        if !self.comment.is_empty() {
            command.args([comment, self.comment]);
        }
        if ["transmission", "mktorrent"].contains(&creator) {
            command.arg(content);
        }
        command
    }

    /// What we and libtorrent read otherwise than each other, or than was asked for.
    fn differences(&self, creator: &str, version: &str, ours: &Reading, theirs: &Reading) -> Vec<String> {
        if let Some(error) = ours.error.as_ref().or(theirs.error.as_ref()) {
            return vec![format!("refused: {error}")];
        }
        let mut found = Vec::new();
        let mut same = |what: &str, same: bool| found.extend((!same).then(|| what.to_owned()));
        match classes::compare(ours, theirs) {
            // Gaps of v2 torrents are shown as padding by one side; no other class has a place here.
            Ok(classes) => same(&format!("{classes:?}"), classes.iter().all(|class| *class == classes::Class::Padding)),
            Err(what) => same(&what, false),
        }
        let flat = |tiers: &[Vec<String>]| tiers.concat();
        same("trackers", ours.trackers == theirs.trackers);
        // libtorrent ends the web seeds of every v2 torrent with a slash, as if there were a folder.
        let end = if version == "v2" { "/" } else { "" };
        let seeds = |of: &Reading| {
            of.web_seeds.iter().map(|url| format!("{}{end}", url.trim_end_matches(end))).collect::<Vec<_>>()
        };
        same("web seeds", seeds(ours) == seeds(theirs));
        same("privacy", ours.private == theirs.private && ours.private == self.private);
        same("comment", ours.comment == theirs.comment && ours.comment == self.comment);
        same("name", ours.name == theirs.name && ours.name == self.name);
        same("piece length asked for", ours.piece_length == u64::from(self.piece_length));
        let wanted = self.trackers.iter().flat_map(|tier| tier.split(',')).collect::<Vec<_>>();
        same("trackers asked for", flat(&ours.trackers) == wanted);
        same("web seeds asked for", creator == "transmission" || ours.web_seeds == self.web_seeds);
        // It leaves out files of no bytes.
        let leaves_out = creator == "transmission";
        let mut files =
            ours.files.iter().filter(|file| !file.pad).map(|file| (file.path.clone(), file.size)).collect::<Vec<_>>();
        files.sort();
        let path = |path: &str| if path.is_empty() { self.name.to_owned() } else { format!("{}/{path}", self.name) };
        let listed = self.files.iter().filter(|(_, size)| *size > 0 || !leaves_out);
        let mut listed = listed.map(|(name, size)| (path(name), *size)).collect::<Vec<_>>();
        listed.sort();
        same(&format!("files: {files:?} instead of {listed:?}"), files == listed);
        same("v1 info-hash", ours.v1.is_empty() == (version == "v2"));
        same("v2 info-hash", ours.v2.is_empty() == (version == "v1"));
        let layered = |file: &super::reading::File| file.layer.is_empty() == (file.size <= ours.piece_length);
        same("piece layers", version == "v1" || ours.files.iter().all(|file| file.pad || layered(file)));
        found
    }

    /// What other programs read otherwise in a torrent of ours. Transmission (3.00) refuses hybrids, whoever makes them.
    fn readers(&self, lab: &Lab, version: &str, ours: &Reading, path: &Path) -> Vec<String> {
        let mut found = Vec::new();
        if version == "v1" {
            match run(Command::new("transmission-show").arg(path)) {
                Ok(told) => {
                    let mut lines = told.lines().map(str::trim);
                    if !lines.any(|line| line.strip_prefix("Hash: ") == Some(&ours.v1)) {
                        found.push("Transmission tells another info-hash".to_owned());
                    }
                }
                Err(error) => found.push(format!("Transmission refuses it: {error}")),
            }
        }
        if version != "v2" {
            match run(lab.script("torf_oracle.py").arg("read").arg(path)) {
                Ok(told) if told.trim() == ours.v1 => {}
                Ok(_) => found.push("torf tells another info-hash".to_owned()),
                Err(error) => found.push(format!("torf refuses it: {error}")),
            }
        }
        found
    }
}

/// What we and libtorrent read in these torrents.
fn read(lab: &Lab, root: &Path, torrents: &[&Path]) -> Outcome<(Vec<Reading>, Vec<Reading>)> {
    let batch: PathBuf = root.join("batch");
    let mut bytes = Vec::new();
    for torrent in torrents {
        let torrent = fs::read(torrent)?;
        bytes.extend(u32::try_from(torrent.len())?.to_be_bytes());
        bytes.extend(torrent);
    }
    fs::write(&batch, bytes)?;
    let parse = |told: String| -> Outcome<Vec<Reading>> {
        let lines = told.lines().map(|line| Ok(Reading::parse(&serde_json::from_str::<Value>(line)?)?));
        let readings = lines.collect::<Outcome<Vec<_>>>()?;
        if readings.len() == torrents.len() { Ok(readings) } else { Err("not every torrent was read".into()) }
    };
    let ours = parse(run(lab.ours("oracle").arg(&batch))?)?;
    let theirs = parse(run(lab.script("libtorrent_oracle.py").arg("read").arg(&batch))?)?;
    Ok((ours, theirs))
}
