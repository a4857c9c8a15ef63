//! What scripts rely on: exit codes and the keys of JSON lines.
//!
//! `cargo test` builds the examples before it runs this, unless it is told to build this file alone.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const LINK: &str = "MAGNET:?xt=urn:btih:00112233445566778899aabbccddeeff00112233&tr=nonsense";

fn program(name: &str) -> Command {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let path = path.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.is_file(), "{} is not built: run `cargo test -p unchoke-examples`", path.display());
    Command::new(path)
}

fn run(name: &str, arguments: &[&str]) -> Output {
    program(name).args(arguments).output().unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The keys of a JSON object, sorted.
fn keys(line: &[u8]) -> Vec<String> {
    let value: serde_json::Value = serde_json::from_slice(line).unwrap();
    let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    keys
}

/// A folder with content of 1 MB in 16 KiB pieces, and its torrent.
struct Sample {
    folder: tempfile::TempDir,
    torrent: PathBuf,
}

impl Sample {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, torrent) = (folder.path().join("data"), folder.path().join("sample.torrent"));
        fs::create_dir(&data).unwrap();
        let bytes: Vec<u8> = (0..250_000_u32).flat_map(u32::to_le_bytes).collect();
        fs::write(data.join("sample.bin"), bytes).unwrap();
        let mut create = program("create");
        create.arg(data.join("sample.bin")).arg("--output").arg(&torrent).args(["--piece-length", "16384"]);
        assert!(create.output().unwrap().status.success());
        Self { folder, torrent }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn seed(&self, data: &Path) -> Command {
        let mut seed = program("seed");
        seed.arg(&self.torrent).arg("--data").arg(data);
        seed
    }
}

/// A child that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn help_is_no_failure() {
    for name in [
        "channel_demo",
        "create",
        "custom_picker",
        "demo",
        "dht",
        "dht_blocking",
        "download",
        "inspect",
        "sans_io_loop",
        "seed",
        "simulate_dht",
        "tracker",
        "wallet",
    ] {
        for flag in ["-h", "--help"] {
            let output = run(name, &[flag]);
            assert_eq!(code(&output), Some(0), "{name}");
            assert!(output.stdout.starts_with(format!("usage: {name}").as_bytes()), "{name}");
            assert!(output.stderr.is_empty(), "{name}");
        }
    }
}

#[test]
fn bad_arguments_and_input_end_with_2() {
    let sample = Sample::new();
    let torrent = sample.torrent.to_str().unwrap();
    let broken = sample.path("broken.torrent");
    fs::write(&broken, b"d4:infoi03ee").unwrap();
    let (broken, output) = (broken.to_str().unwrap(), sample.path("out"));
    let scenario = sample.path("scenario.toml");
    fs::write(&scenario, "nodes = 60\nknots = 1\n").unwrap();
    let scenario = scenario.to_str().unwrap();
    let create =
        |arguments: &[&str]| run("create", &[&[torrent, "--output", output.to_str().unwrap()], arguments].concat());
    for (output, reason) in [
        (run("download", &["--what"]), "--what"),
        (run("download", &[LINK, "--limit-down", "0"]), "above 0"),
        (run("download", &[LINK, "--limit-up", "0"]), "above 0"),
        (run("download", &[LINK, "--peer", "nonsense"]), "nonsense"),
        (run("download", &["nowhere.torrent"]), "nowhere.torrent"),
        (run("inspect", &[broken]), "byte 7"),
        (run("inspect", &["magnet:?xt=urn:btih:11"]), "byte"),
        (run("seed", &[torrent]), "--data"),
        (create(&["--piece-length", "4294967295"]), "4294967295"),
        (create(&["--tracker", "nonsense"]), "scheme"),
        (run("demo", &["more"]), "more"),
        (run("download", &[LINK, "--dht", "nonsense"]), "nonsense"),
        (run("dht", &["get-peers", "11", "--bootstrap", "127.0.0.1:1"]), "40 digits"),
        (run("dht", &["get-peers", &"11".repeat(20)]), "--bootstrap"),
        (run("dht", &["put", &"x".repeat(1001)]), "1006 bytes"),
        (run("dht_blocking", &["nonsense"]), "nonsense"),
        (run("download", &[&format!("magnet:?xs=urn:btpk:{}", "11".repeat(32))]), "--dht"),
        (run("seed", &[torrent, "--data", ".", "--publish", "key"]), "--dht"),
        (run("dht", &["follow", "magnet:?xs=urn:btpk:11", "--bootstrap", "127.0.0.1:1"]), "public key"),
        (run("simulate_dht", &["--scenario", scenario]), "unknown field `knots`"),
        (run("simulate_dht", &["--scenario", "nowhere"]), "nowhere"),
        (run("simulate_dht", &["--policy", "nonsense"]), "nonsense"),
        (run("simulate_dht", &["--share", "0.5"]), "--share"),
    ] {
        assert_eq!(code(&output), Some(2), "{output:?}");
        assert!(error(&output).contains(reason), "{output:?}");
        assert!(error(&output).ends_with(" --help)\n"), "{output:?}");
        assert!(output.stdout.is_empty());
    }
    assert!(!output.exists());
}

#[test]
fn inspect_names_what_it_found() {
    let sample = Sample::new();
    let output = run("inspect", &[sample.torrent.to_str().unwrap(), "--json"]);
    let torrent = [
        "files",
        "info_hash",
        "length",
        "name",
        "piece_length",
        "pieces",
        "private",
        "trackers",
        "warnings",
        "web_seeds",
    ];
    let found = keys(&output.stdout);
    assert!(torrent.iter().all(|key| found.iter().any(|found| found == key)), "{found:?}");
    let output = run("inspect", &[LINK, "--json"]);
    assert_eq!(code(&output), Some(0));
    let found = keys(&output.stdout);
    let link = ["info_hash", "name", "peers", "trackers", "warnings", "web_seeds"];
    assert!(link.iter().all(|key| found.iter().any(|found| found == key)), "{found:?}");
    let text = String::from_utf8(run("inspect", &[LINK]).stdout).unwrap();
    assert!(text.contains("warnings: 1\n    \"tracker"), "{text}");
}

#[test]
fn a_reader_that_is_gone_is_a_failure_and_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = program("inspect").stdout(writer).output().unwrap();
    assert_eq!(code(&output), Some(1));
    assert!(error(&output).starts_with("error: cannot write to standard output"), "{}", error(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_has_no_room_is_a_failure_and_no_panic() {
    for name in ["create", "inspect"] {
        let output = program(name).stdout(File::create("/dev/full").unwrap()).output().unwrap();
        assert_eq!(code(&output), Some(1));
        assert!(error(&output).starts_with("error: cannot write to standard output"), "{}", error(&output));
    }
    // Where not even the reason can be told, the exit code still tells.
    let mut command = program("inspect");
    let output = command.arg("--what").stderr(File::create("/dev/full").unwrap()).output().unwrap();
    assert_eq!(code(&output), Some(2));
}

#[test]
fn a_seed_without_all_of_the_data_says_so_and_makes_nothing() {
    let sample = Sample::new();
    let output = sample.seed(&sample.path("nowhere")).output().unwrap();
    assert_eq!(code(&output), Some(1));
    assert!(output.stdout.starts_with(b"listening on 127.0.0.1:"));
    assert!(error(&output).contains("62 of 62 pieces are missing"), "{}", error(&output));
    assert!(!sample.path("nowhere").exists());

    let data = sample.path("data");
    let file = File::options().write(true).open(data.join("sample.bin")).unwrap();
    file.set_len(500_000).unwrap();
    let output = sample.seed(&data).output().unwrap();
    assert_eq!(code(&output), Some(1));
    assert!(error(&output).contains("32 of 62 pieces are missing"), "{}", error(&output));
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
    assert_eq!(file.metadata().unwrap().len(), 500_000);
}

#[test]
fn a_download_ends_with_0_and_its_figures_or_with_1_where_nothing_can_be_stored() {
    let sample = Sample::new();
    let mut seed = Running(sample.seed(&sample.path("data")).arg("--json").stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(seed.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(keys(line.as_bytes()), ["info_hash", "listen"]);
    let listens: serde_json::Value = serde_json::from_str(&line).unwrap();
    let port = listens["listen"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();

    let download = |output: &Path| {
        let mut command = program("download");
        // The name may lead to `::1` first, where nobody listens.
        command.arg(&sample.torrent).args([
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--peer",
            &format!("localhost:{port}"),
        ]);
        command.arg("--output").arg(output).output().unwrap()
    };
    let copy = sample.path("copy");
    let output = download(&copy);
    assert_eq!(code(&output), Some(0), "{output:?}");
    assert_eq!(keys(&output.stdout), ["bytes", "info_hash", "peers", "seconds", "skipped_bytes", "verified_pieces"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["bytes"], &told["peers"], &told["verified_pieces"]), (&1_000_000.into(), &1.into(), &62.into()));
    assert!(fs::read(copy.join("sample.bin")).unwrap() == fs::read(sample.path("data/sample.bin")).unwrap());
    assert_eq!(fs::read_dir(sample.path("data")).unwrap().count(), 1, "a seed writes nothing");

    // A folder where the file should be.
    let blocked = sample.path("blocked");
    fs::create_dir_all(blocked.join("sample.bin")).unwrap();
    let output = download(&blocked);
    assert_eq!(code(&output), Some(1), "{output:?}");
    assert!(error(&output).contains("access denied"), "{}", error(&output));
}

#[test]
fn fifty_nodes_on_one_machine_find_what_they_tell_one_another() {
    let output = run("dht", &["--json"]);
    assert_eq!(code(&output), Some(0), "{output:?}");
    let lines: Vec<&[u8]> = output.stdout.trim_ascii().split(|byte| *byte == b'\n').collect();
    assert_eq!(keys(lines[0]), ["joined_milliseconds", "nodes"]);
    assert_eq!(lines.len(), 7);
    for row in &lines[1..] {
        assert_eq!(keys(row), ["longest_milliseconds", "median_milliseconds", "operation", "queries"]);
    }
}

/// Starts a program and reads what it says.
fn start(child: &mut Command) -> (Running, impl FnMut() -> serde_json::Value + use<>) {
    let mut child = Running(child.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    (child, move || serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap())
}

/// A node of the DHT, and its address.
fn node(arguments: &[&str]) -> (Running, String) {
    let (node, mut said) = start(program("dht").args(["node", "--json", "--listen"]).args(arguments));
    (node, said()["listen"].as_str().unwrap().to_owned())
}

#[test]
fn what_is_published_under_a_key_is_downloaded_by_its_link() {
    let (_first, root) = node(&["127.0.0.21:0"]);
    let (_second, _) = node(&["127.0.0.22:0", "--bootstrap", &root]);
    let sample = Sample::new();
    let key = sample.path("key");
    let mut seed = sample.seed(&sample.path("data"));
    seed.args(["--json", "--listen", "127.0.0.23:0", "--dht", &root, "--salt", "releases", "--publish"]).arg(&key);
    let (_seed, mut said) = start(&mut seed);
    let info_hash = said()["info_hash"].clone();
    let published = said();
    assert_eq!((published["seq"].as_i64(), published["stored"].as_u64() > Some(0)), (Some(1), true), "{published}");
    assert_eq!(fs::metadata(&key).unwrap().len(), 32);
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&key).unwrap().permissions()) & 0o777, 0o600);
    let link = published["link"].as_str().unwrap();
    let mut download = program("download");
    download.args([link, "--json", "--dht", &root, "--listen", "127.0.0.24:0", "--output"]).arg(sample.path("copy"));
    let done = download.output().unwrap();
    assert_eq!(code(&done), Some(0), "{}", error(&done));
    let figures: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(figures["info_hash"], info_hash);
    let read = |folder| fs::read(sample.path(folder).join("sample.bin")).unwrap();
    assert!(read("copy") == read("data"));

    // The same key publishes the next version; who follows hears the newest one.
    let next = "cd".repeat(20);
    let mut publish = program("dht");
    publish.args(["publish", &next, "--json", "--salt", "releases", "--bootstrap", &root]);
    publish.args(["--listen", "127.0.0.25:0", "--key"]).arg(&key);
    let (mut publisher, mut said) = start(&mut publish);
    assert_eq!(said()["seq"], 2);
    assert!(publisher.0.wait().unwrap().success());
    let mut follow = program("dht");
    follow.args(["follow", link, "--json", "--bootstrap", &root, "--listen", "127.0.0.26:0"]);
    let (_follower, mut said) = start(&mut follow);
    assert_eq!(said(), serde_json::json!({ "seq": 2, "info_hash": next }));
}

#[test]
fn what_one_program_tells_the_dht_another_finds() {
    let (_first, root) = node(&["127.0.0.11:0"]);
    let (_second, _) = node(&["127.0.0.12:0", "--bootstrap", &root]);
    let torrent = "ab".repeat(20);
    let dht = |arguments: &[&str]| {
        let output = run("dht", &[arguments, &["--bootstrap", &root, "--listen", "127.0.0.13:0", "--json"]].concat());
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let last = text.lines().last().map(|line| serde_json::from_str(line).unwrap());
        (code(&output), text, last.unwrap_or(serde_json::Value::Null))
    };
    let (done, text, last) = dht(&["announce", &torrent, "--port", "6999"]);
    assert_eq!((done, last["stored"].as_u64() > Some(0)), (Some(0), true), "{text}");
    let (done, text, last) = dht(&["get-peers", &torrent]);
    assert_eq!((done, &last["peers"]), (Some(0), &1.into()), "{text}");
    assert!(text.contains("127.0.0.13:6999"));
    let found = run("dht_blocking", &[&torrent, "--bootstrap", &root, "--listen", "127.0.0.14:0"]);
    assert_eq!((code(&found), found.stdout.as_slice()), (Some(0), &b"127.0.0.13:6999\n"[..]), "{found:?}");
    let (done, text, last) = dht(&["put", "hello"]);
    assert_eq!(done, Some(0), "{text}");
    let (done, text, last) = dht(&["get", last["target"].as_str().unwrap()]);
    assert_eq!((done, &last["value"]), (Some(0), &"hello".into()), "{text}");
    let (done, text, _) = dht(&["get", &torrent]);
    assert_eq!(done, Some(1), "{text}");
    let (done, text, last) = dht(&["sample"]);
    assert_eq!((done, &last["info_hashes"]), (Some(0), &1.into()), "{text}");
    let (done, text, last) = dht(&["crawl"]);
    assert_eq!((done, &last["info_hashes"], &last["complete"]), (Some(0), &1.into(), &true.into()), "{text}");
}

#[test]
fn two_processes_that_pay_each_other_are_killed_and_their_balances_add_up() {
    // With few ticks it is over before the last kill.
    for (ticks, kills) in [(6000, 3), (60, 0)] {
        let output = run("channel_demo", &["--ticks", &ticks.to_string(), "--kills", "6", "--json"]);
        assert_eq!(code(&output), Some(0), "{}", error(&output));
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let side = |paid: i64, earned: i64| serde_json::json!({ "paid": paid, "balance": 1_000_000 - paid + earned });
        assert_eq!((&line["alice"], &line["bob"]), (&side(ticks, 3 * ticks), &side(3 * ticks, ticks)));
        assert_eq!((&line["adds_up"], line["kills"].as_u64() >= Some(kills)), (&true.into(), true), "{line}");
    }
}

#[test]
fn a_demonstration_that_takes_too_long_ends_and_says_so() {
    let output = run("channel_demo", &["--ticks", "100000000", "--limit", "1"]);
    assert_eq!(code(&output), Some(1));
    assert!(error(&output).contains("not done after 1 seconds (--limit)"), "{}", error(&output));
}

#[test]
fn a_wallet_keeps_its_password_and_its_ledger_from_one_call_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("password"), "secret\n").unwrap();
    std::fs::write(path("wrong"), "Secret\n").unwrap();
    let call = |password: &str, words: &[&str]| {
        let (ledger, wallet, password) = (path("ledger"), path("wallet"), path(password));
        let mut all = vec!["--json", "--ledger", &ledger, "--wallet", &wallet, "--password-file", &password];
        all.extend(words);
        run("wallet", &all)
    };
    let json = |output: &Output| serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
    let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
    let mut import = vec!["import"];
    import.extend(words.split(' '));
    let made = call("password", &import);
    assert_eq!(code(&made), Some(0), "{}", error(&made));
    assert_eq!(code(&call("password", &import)), Some(2), "a wallet is not written over");
    let address = json(&made)["address"].as_str().unwrap().to_owned();
    assert_eq!(json(&call("password", &["address"]))["address"], address);
    assert_eq!(code(&call("wrong", &["address"])), Some(1));
    assert_eq!(json(&call("password", &["issue", "Example", "5", "--precision", "1"]))["asset"], 1_000_001);
    let refused = call("password", &["transfer", &address, "1"]);
    assert_eq!(code(&refused), Some(1));
    assert!(error(&refused).contains("Cannot transfer TRX to yourself."), "{}", error(&refused));
    assert_eq!(json(&call("password", &["balance"]))["balance"]["1000001"], "5.0");
    assert_eq!(json(&call("password", &["history"]))["changes"]["1000001"], "+5.0");
}

/// A folder with a ledger, and wallets whose password is `secret`.
struct Purses(tempfile::TempDir);

impl Purses {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("password"), "secret\n").unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, ledger: &str, wallet: &str, words: &[&str]) -> Command {
        let mut command = program("wallet");
        for (option, name) in [("--ledger", ledger), ("--wallet", wallet), ("--password-file", "password")] {
            command.arg(option).arg(self.path(name));
        }
        command.arg("--json").args(words);
        command
    }

    fn call(&self, wallet: &str, words: &[&str]) -> Output {
        self.command("ledger", wallet, words).output().unwrap()
    }

    /// What it says when it is done.
    fn say(&self, wallet: &str, words: &[&str]) -> serde_json::Value {
        let output = self.call(wallet, words);
        assert_eq!(code(&output), Some(0), "{words:?}: {}", error(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn a_wallet_takes_no_name_that_belongs_to_another_ledger_or_wallet() {
    let purses = Purses::new();
    for (ledger, wallet) in
        [("q.operator", "w"), ("q", "q.Operator"), ("q", "w.vouchers"), ("w.vouchers", "q"), ("q.new", "w"), ("q", "q")]
    {
        let output = purses.command(ledger, wallet, &["create"]).output().unwrap();
        assert_eq!((code(&output), error(&output).lines().count()), (Some(2), 1), "{ledger} {wallet}: {output:?}");
    }
    assert_eq!(fs::read_dir(purses.0.path()).unwrap().count(), 1, "the password alone");
    // These differ in their endings, and nothing of the one is taken for what belongs to the other.
    for (ledger, wallet) in [("x.a", "w.a"), ("x.b", "w.b")] {
        let output = purses.command(ledger, wallet, &["create"]).output().unwrap();
        assert_eq!(code(&output), Some(0), "{}", error(&output));
        let key = purses.path(&format!("{ledger}.operator"));
        assert_eq!(fs::read(key).unwrap().len(), 32);
    }
    let [one, other] = ["x.a.operator", "x.b.operator"].map(|name| fs::read(purses.path(name)).unwrap());
    assert_ne!(one, other);
}

#[cfg(target_os = "linux")]
#[test]
fn words_that_could_not_be_shown_cost_no_coins() {
    let purses = Purses::new();
    let mut create = purses.command("ledger", "wallet", &["create"]);
    let output = create.stdout(File::create("/dev/full").unwrap()).output().unwrap();
    assert_eq!(code(&output), Some(1), "{}", error(&output));
    assert!(!purses.path("ledger").exists() && !purses.path("wallet").exists());
    // And if the ledger cannot come to its place after that, the wallet can begin it later.
    purses.say("wallet", &["create"]);
    fs::remove_file(purses.path("ledger")).unwrap();
    assert!(error(&purses.call("wallet", &["balance"])).contains("wallet begin"));
    assert_eq!(purses.say("wallet", &["begin"])["new_ledger"], true);
    assert_eq!(purses.say("wallet", &["balance"])["balance"]["_"], "1000000.000000");
    assert_eq!(code(&purses.call("wallet", &["begin"])), Some(2));
}

#[test]
fn a_wallet_pays_on_top_of_what_the_same_words_have_paid_elsewhere_or_not_at_all() {
    let purses = Purses::new();
    let words = purses.say("alice", &["create"])["words"].as_str().unwrap().to_owned();
    let bob = purses.say("bob", &["create"])["address"].as_str().unwrap().to_owned();
    let opened = purses.say("alice", &["open", &bob, "100"]);
    let channel = opened["channel"].as_str().unwrap();
    assert_eq!(purses.say("alice", &["pay", channel, "3"])["paid"], "3.000000");
    let import: Vec<&str> = std::iter::once("import").chain(words.split(' ')).collect();
    purses.say("copy", &import);
    let refused = purses.call("copy", &["pay", channel, "1"]);
    assert_eq!((code(&refused), refused.stdout.len()), (Some(1), 0));
    assert!(error(&refused).contains("--paid"), "{}", error(&refused));
    let paid = purses.say("copy", &["pay", channel, "1", "--paid", "3"]);
    assert_eq!(paid["paid"], "4.000000");
    purses.say("bob", &["claim", channel, paid["voucher"].as_str().unwrap()]);
    // The ledger has seen what the first wallet file does not know of.
    let refused = purses.call("alice", &["pay", channel, "0.5"]);
    assert_eq!(code(&refused), Some(1));
    assert!(error(&refused).contains("4.000000 were claimed"), "{}", error(&refused));
    let paid = purses.say("alice", &["pay", channel, "0.5", "--paid", "4"]);
    assert_eq!(paid["paid"], "4.500000");
    purses.say("bob", &["claim", channel, paid["voucher"].as_str().unwrap()]);
    let balance = purses.say("bob", &["balance"]);
    assert_eq!(balance["balance"]["_"], "4.500000");
    // What is known goes on by itself.
    assert_eq!(purses.say("alice", &["pay", channel, "0.5"])["paid"], "5.000000");
}

#[test]
fn a_wallet_waits_for_another_program_and_says_so_if_it_waits_in_vain() {
    let purses = Purses::new();
    purses.say("wallet", &["create"]);
    let held = unchoke_token::ledger::RedbLedgerStore::open(purses.path("ledger")).unwrap();
    let output = purses.call("wallet", &["--wait", "1", "balance"]);
    assert_eq!(code(&output), Some(1));
    assert!(error(&output).contains("another program has had"), "{}", error(&output));
    let mut seal = purses.command("ledger", "wallet", &["--wait", "60", "seal", "1"]);
    let mut waiting = Running(seal.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut told = BufReader::new(waiting.0.stderr.take().unwrap()).lines();
    assert!(told.next().unwrap().unwrap().ends_with("open; waiting"));
    drop(held);
    assert!(waiting.0.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
fn a_wallet_that_cannot_write_its_ledger_leaves_none_without_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("password"), "secret\n").unwrap();
    let (ledger, wallet, password) = (path("ledger"), path("wallet"), path("password"));
    let files = ["--json", "--ledger", &ledger, "--wallet", &wallet, "--password-file", &password];
    // In blocks of 512 or 1024 bytes, as the shell likes. What is too long ends the program.
    let limited = "ulimit -f 16; exec \"$0\" \"$@\"";
    let all = [&files[..], &["create"]].concat();
    let failed =
        Command::new("sh").args(["-c", limited]).arg(program("wallet").get_program()).args(&all).output().unwrap();
    assert!(!failed.status.success());
    assert!(!Path::new(&ledger).exists(), "nobody has its coins");
    assert_eq!(code(&run("wallet", &all)), Some(0));
    for secret in ["wallet", "ledger.operator"] {
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path(secret)).unwrap());
        assert_eq!(mode & 0o077, 0, "{secret} is for its owner alone");
    }
    let balance = run("wallet", &[&files[..], &["balance"]].concat());
    let line: serde_json::Value = serde_json::from_slice(&balance.stdout).unwrap();
    assert_eq!(line["balance"]["_"], "1000000.000000");
}
