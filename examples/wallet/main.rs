//! A wallet against a ledger in a file.
//!
//! Without arguments it shows a whole day of it in a folder of its own: two wallets, a token, a transfer, a channel, vouchers, the claim, the
//! history.

mod books;
mod commands;
mod purse;

use commands::{Command, Context};
use lexopt::{Arg, ValueExt as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use unchoke_examples::{Failure, run, say, unexpected};

const USAGE: &str =
    "wallet [--ledger FILE] [--wallet FILE] [--password-file FILE] [--account N] [--wait SECONDS] [--json] [COMMAND]
  create                                a new wallet; its words are printed once, and a ledger is begun if there is none
  begin                                 a new ledger for a wallet that is there
  import WORD…                          the wallet of 12 to 24 words
  address                               the account's address
  balance [ADDRESS]                     of this account, or of any
  history [ADDRESS] [--limit N] [--csv FILE]
  issue NAME SUPPLY [--precision N] [--freeze AMOUNT:DAYS]… [--price COINS:TOKENS]
  transfer TO AMOUNT [--asset ID]
  participate ISSUER ID COINS           buy a token that is on sale
  unfreeze                              take frozen supply whose time has come
  open PAYEE AMOUNT [--asset ID]        open a channel
  pay CHANNEL AMOUNT [--paid AMOUNT]    sign a voucher for that much more than was paid; prints it
  claim CHANNEL VOUCHER                 hand in a voucher that was paid with
  close CHANNEL                         ask to close, as the payer; or at once, as the payee
  finish CHANNEL                        end a channel whose time for claims is over
  seal BLOCKS                           so many empty blocks
Beside FILE lie FILE.operator, the key of the ledger, and FILE.vouchers, what was signed with the wallet.
While another program has the ledger open, a command waits: 10 seconds, or as long as --wait says.";

fn main() -> ExitCode {
    run(USAGE, arguments().and_then(start))
}

/// What the program was asked for.
struct Task {
    context: Context,
    command: Option<Command>,
}

fn arguments() -> Result<Task, Failure> {
    let mut context = Context::default();
    let (mut words, mut options) = (Vec::new(), commands::Options::default());
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next().map_err(|error| Failure::usage(&error))? {
        let name = match argument {
            Arg::Short('h') => return Err(Failure::Help),
            Arg::Long(name) => name.to_owned(),
            Arg::Value(word) => {
                words.push(word.string().map_err(|error| Failure::usage(&error))?);
                continue;
            }
            Arg::Short(digit) if digit.is_ascii_digit() => {
                return Err(Failure::Usage("an amount is not negative".into()));
            }
            other => return Err(unexpected(other)),
        };
        match name.as_str() {
            "help" => return Err(Failure::Help),
            "json" => {
                context.is_json = true;
                continue;
            }
            "ledger" | "wallet" | "password-file" | "account" | "wait" | "limit" | "csv" | "precision" | "freeze"
            | "price" | "paid" | "asset" => {}
            _ => return Err(unexpected(Arg::Long(&name))),
        }
        let value = parser.value().and_then(|it| it.string()).map_err(|error| Failure::usage(&error))?;
        match name.as_str() {
            "ledger" => context.ledger = PathBuf::from(value),
            "wallet" => context.wallet = PathBuf::from(value),
            "password-file" => context.password_file = Some(PathBuf::from(value)),
            "account" => {
                // Numbers from 2^31 on are those of hardened keys.
                let account = Some(number(&value)?).filter(|it| *it < 1 << 31);
                context.account = account.ok_or(Failure::Usage("accounts have numbers below 2147483648".into()))?;
            }
            "wait" => context.wait = Duration::from_secs(number(&value)?),
            "csv" => options.csv = Some(PathBuf::from(value)),
            "limit" => options.limit = number(&value)?,
            "precision" => options.precision = number(&value)?,
            "freeze" => options.freeze.push(value),
            "price" => options.price = Some(value),
            "paid" => options.paid = Some(value),
            _ => options.asset = Some(value),
        }
    }
    check_names(&context)?;
    let command = if words.is_empty() { None } else { Some(Command::read(&words, options)?) };
    Ok(Task { context, command })
}

/// No ledger and no wallet has a name that something has which belongs to another one.
fn check_names(context: &Context) -> Result<(), Failure> {
    let kept = [books::OPERATOR, purse::VOUCHERS, "new"];
    for path in [&context.ledger, &context.wallet] {
        let ending = path.extension().unwrap_or_default();
        if let Some(kept) = kept.into_iter().find(|kept| ending.eq_ignore_ascii_case(kept)) {
            return Err(Failure::Usage(format!(
                "{}: names that end in .{kept} are kept for files beside",
                path.display()
            )));
        }
    }
    if context.ledger == context.wallet {
        return Err(Failure::Usage(format!("{} cannot be both ledger and wallet", context.ledger.display())));
    }
    Ok(())
}

fn number<T: std::str::FromStr<Err = std::num::ParseIntError>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| Failure::usage(&error))
}

fn start(task: Task) -> Result<(), Failure> {
    match task.command {
        Some(command) => command.run(&task.context),
        None => day(&task.context),
    }
}

/// Everything once.
fn day(asked: &Context) -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(|error| Failure::failed(&error))?;
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("password"), "a password for a demonstration\n").map_err(|error| Failure::failed(&error))?;
    let wallet = |name: &str| Context {
        ledger: path("ledger"),
        wallet: path(name),
        password_file: Some(path("password")),
        is_json: asked.is_json,
        ..Context::default()
    };
    let (alice, bob) = (wallet("alice"), wallet("bob"));
    let command = |context: &Context, words: &[&str], options| {
        if !context.is_json {
            let name = context.wallet.file_name().unwrap_or_default().display();
            say(format_args!("\n[{name}] wallet {}", words.join(" ")))?;
        }
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Command::read(&words, options)?.run(context)
    };
    let plain = commands::Options::default;
    command(&alice, &["create"], plain())?;
    command(&bob, &["create"], plain())?;
    let [alices, bobs] = [&alice, &bob].map(|context| purse::address(context).map(|it| it.to_string()));
    let (_, bobs) = (alices?, bobs?);
    let issue = commands::Options { precision: 2, freeze: vec!["100:1".into()], ..plain() };
    command(&alice, &["issue", "Example", "1000"], issue)?;
    let token = || commands::Options { asset: Some("1000001".into()), ..plain() };
    command(&alice, &["transfer", &bobs, "12.50"], token())?;
    command(&alice, &["open", &bobs, "100"], token())?;
    let channel = books::channels(&alice)?.pop().ok_or(Failure::Failed("no channel was opened".into()))?.to_string();
    command(&alice, &["pay", &channel, "3.25"], plain())?;
    command(&alice, &["pay", &channel, "0.75"], plain())?;
    let voucher = purse::last_voucher(&alice, &channel)?;
    command(&bob, &["claim", &channel, &voucher], plain())?;
    command(&bob, &["close", &channel], plain())?;
    command(&bob, &["balance"], plain())?;
    command(&alice, &["history"], commands::Options { limit: 5, ..plain() })
}
