//! The commands.

use crate::books::NewLedger;
use crate::{books, purse};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use unchoke_core::Seed;
use unchoke_examples::{Failure, hex, say};
use unchoke_token::channel::Channel;
use unchoke_token::channel::adjudicator::Phase;
use unchoke_token::contract::{
    AssetIssue, ChannelClaim, ChannelClose, ChannelFinish, ChannelOpen, ChannelRelease, FrozenSupply, LaneClaim,
    ParticipateAssetIssue, Transfer, TransferAsset, UnfreezeAsset,
};
use unchoke_token::history::History;
use unchoke_token::ledger::{EmbeddedLedger, Ledger as _, Receipt};
use unchoke_token::voucher::Voucher;
use unchoke_token::wallet::{Wallet, Words};
use unchoke_token::{Address, AssetId, ChannelId, Contract, Lane, SchemeId, Seq, Signer as _, Units};

/// Where things lie, and how to answer.
pub(crate) struct Context {
    pub(crate) ledger: PathBuf,
    pub(crate) wallet: PathBuf,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) account: u32,
    /// How long to wait for another program that has the ledger open.
    pub(crate) wait: Duration,
    pub(crate) is_json: bool,
}

impl Default for Context {
    fn default() -> Self {
        let (ledger, wallet) = ("unchoke.ledger".into(), "unchoke.wallet".into());
        Self { ledger, wallet, password_file: None, account: 0, wait: Duration::from_secs(10), is_json: false }
    }
}

/// What commands may be told besides.
pub(crate) struct Options {
    pub(crate) asset: Option<String>,
    pub(crate) csv: Option<PathBuf>,
    pub(crate) freeze: Vec<String>,
    pub(crate) limit: usize,
    /// What was paid through a channel so far, if the wallet cannot know.
    pub(crate) paid: Option<String>,
    pub(crate) precision: u8,
    pub(crate) price: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { asset: None, csv: None, freeze: Vec::new(), limit: 20, paid: None, precision: 6, price: None }
    }
}

/// A command, with its words read as far as that goes without a ledger.
pub(crate) enum Command {
    Create,
    Begin,
    Import(Box<Words>),
    Address,
    Balance(Option<Address>),
    History(Option<Address>, Options),
    Issue { name: String, supply: String, options: Options },
    Transfer { to: Address, amount: String, options: Options },
    Participate { issuer: Address, asset: AssetId, coins: String },
    Unfreeze,
    Open { payee: Address, amount: String, options: Options },
    Pay { channel: ChannelId, amount: String, options: Options },
    Claim { channel: ChannelId, voucher: [u8; 176] },
    Close(ChannelId),
    Finish(ChannelId),
    Seal(u64),
}

impl Command {
    pub(crate) fn read(words: &[String], options: Options) -> Result<Self, Failure> {
        let address = |text: &str| text.parse::<Address>().map_err(|error| Failure::usage(&error));
        let channel = |text: &str| hex::<32>(text).map(ChannelId::new);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ok(match words[..] {
            ["create"] => Self::Create,
            ["begin"] => Self::Begin,
            ["import", ref rest @ ..] if !rest.is_empty() => {
                Self::Import(Box::new(rest.join(" ").parse().map_err(|error| Failure::usage(&error))?))
            }
            ["address"] => Self::Address,
            ["balance"] => Self::Balance(None),
            ["balance", who] => Self::Balance(Some(address(who)?)),
            ["history"] => Self::History(None, options),
            ["history", who] => Self::History(Some(address(who)?), options),
            ["issue", name, supply] => Self::Issue { name: name.into(), supply: supply.into(), options },
            ["transfer", to, amount] => Self::Transfer { to: address(to)?, amount: amount.into(), options },
            ["participate", issuer, asset, coins] => {
                Self::Participate { issuer: address(issuer)?, asset: asset_id(asset)?, coins: coins.into() }
            }
            ["unfreeze"] => Self::Unfreeze,
            ["open", payee, amount] => Self::Open { payee: address(payee)?, amount: amount.into(), options },
            ["pay", id, amount] => Self::Pay { channel: channel(id)?, amount: amount.into(), options },
            ["claim", id, voucher] => Self::Claim { channel: channel(id)?, voucher: hex(voucher)? },
            ["close", id] => Self::Close(channel(id)?),
            ["finish", id] => Self::Finish(channel(id)?),
            ["seal", blocks] => {
                Self::Seal(blocks.parse().map_err(|error: std::num::ParseIntError| Failure::usage(&error))?)
            }
            _ => return Err(Failure::Usage(format!("no such command, or not so: {}", words.join(" ")))),
        })
    }

    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let line = match self {
            Self::Create => return create(context, &Wallet::create(&Seed::new(rand::random())), true),
            Self::Import(words) => return create(context, &Wallet::from_words(*words, ""), false),
            Self::Begin => begin(context)?,
            Self::Address => json!({ "address": purse::address(context)?.to_string() }),
            Self::Balance(who) => balance(context, who)?,
            Self::History(who, options) => return history(context, who, &options),
            Self::Issue { name, supply, options } => issue(context, name, &supply, &options)?,
            Self::Transfer { to, amount, options } => transfer(context, to, &amount, &options)?,
            Self::Participate { issuer, asset, coins } => {
                let amount = parse(&coins, COIN_PRECISION)?.to_i64();
                let (to_address, asset_name) = (issuer.as_bytes().to_vec(), asset.name().into_bytes());
                submit(context, |owner_address| {
                    Ok(ParticipateAssetIssue { owner_address, to_address, asset_name, amount }.into())
                })?
            }
            Self::Unfreeze => submit(context, |owner_address| Ok(UnfreezeAsset { owner_address }.into()))?,
            Self::Open { payee, amount, options } => open(context, payee, &amount, &options)?,
            Self::Pay { channel, amount, options } => pay(context, channel, &amount, &options)?,
            Self::Claim { channel, voucher } => {
                let claims = vec![lane_claim(&voucher)];
                let channel = channel.as_bytes().to_vec();
                submit(context, |owner_address| Ok(ChannelClaim { owner_address, channel, claims }.into()))?
            }
            Self::Close(channel) => close(context, channel)?,
            Self::Finish(channel) => {
                let channel = channel.as_bytes().to_vec();
                submit(context, |owner_address| Ok(ChannelFinish { owner_address, channel }.into()))?
            }
            Self::Seal(blocks) => {
                let mut ledger = books::open(context)?;
                (0..blocks).try_for_each(|_| books::seal(&mut ledger))?;
                json!({ "height": ledger.head().number.get() })
            }
        };
        print(context, &line)
    }
}

/// One line of JSON, or a line for each of its parts.
fn print(context: &Context, line: &Value) -> Result<(), Failure> {
    let Some(parts) = line.as_object().filter(|_| !context.is_json) else { return say(line) };
    parts.iter().try_for_each(|(name, value)| match value {
        Value::Object(inner) => {
            inner.iter().try_for_each(|(key, value)| say(format_args!("{name} {key}: {}", plain(value))))
        }
        value => say(format_args!("{name}: {}", plain(value))),
    })
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A new ledger comes to its place last: when the account gets its coins, its words were shown and it is on disk.
fn create(context: &Context, wallet: &Wallet, is_new: bool) -> Result<(), Failure> {
    let file = purse::sealed(context, wallet)?;
    let address = wallet.account(context.account).address();
    let new_ledger = books::prepare(context, address)?;
    let mut line = json!({ "address": address.to_string(), "new_ledger": new_ledger.is_some() });
    if is_new {
        line["words"] = json!(wallet.words().phrase().as_str());
    }
    print(context, &line)?;
    purse::write(&context.wallet, &file)?;
    new_ledger.map_or(Ok(()), NewLedger::begin)
}

/// A ledger for a wallet that is there already.
fn begin(context: &Context) -> Result<Value, Failure> {
    let address = purse::address(context)?;
    let path = context.ledger.display();
    let new_ledger = books::prepare(context, address)?.ok_or(Failure::Usage(format!("{path} is there already")))?;
    new_ledger.begin()?;
    Ok(json!({ "address": address.to_string(), "new_ledger": true }))
}

fn balance(context: &Context, who: Option<Address>) -> Result<Value, Failure> {
    let address = who.map_or_else(|| purse::address(context), Ok)?;
    let ledger = books::open(context)?;
    let mut assets = serde_json::Map::new();
    let account = ledger.account(&address).cloned().unwrap_or_default();
    let coins = account.balance.to_decimal(COIN_PRECISION);
    assets.insert(AssetId::NATIVE.name(), coins.into());
    for (id, held) in &account.assets {
        assets.insert(id.name(), held.to_decimal(precision(&ledger, *id)).into());
    }
    let frozen: Vec<Value> = account.frozen.iter().map(|it| json!([it.amount.get(), it.expires.get()])).collect();
    let mut line = json!({ "address": address.to_string(), "balance": assets });
    if !frozen.is_empty() {
        line["frozen"] = frozen.into();
    }
    Ok(line)
}

fn history(context: &Context, who: Option<Address>, options: &Options) -> Result<(), Failure> {
    let address = who.map_or_else(|| purse::address(context), Ok)?;
    let mut ledger = books::open(context)?;
    let mut history = History::new([address]);
    books::each_event(&mut ledger, |event| history.handle_event(event))?;
    if let Some(path) = &options.csv {
        let table = history.to_csv(|asset| precision(&ledger, asset));
        std::fs::write(path, table).map_err(|error| Failure::failed(&error))?;
    }
    let page = history.page(None, None, options.limit);
    for entry in &page.entries {
        let mut changes = serde_json::Map::new();
        for change in &entry.changes {
            let units = u64::try_from(change.amount.unsigned_abs()).ok().and_then(Units::new).unwrap_or(Units::MAX);
            let sign = if change.amount < 0 { "-" } else { "+" };
            let amount = format!("{sign}{}", units.to_decimal(precision(&ledger, change.asset)));
            changes.insert(change.asset.name(), amount.into());
        }
        let line = json!({
            "height": entry.height.get(), "time_ms": entry.time.get(), "kind": entry.kind, "changes": changes,
            "other": entry.other.map(|it| it.to_string()), "transaction": entry.id.to_string(),
        });
        if context.is_json {
            say(line)?;
        } else {
            let what: Vec<String> = changes.iter().map(|(id, amount)| format!("{} {id}", plain(amount))).collect();
            let other = entry.other.map(|it| format!("  {it}")).unwrap_or_default();
            say(format_args!("block {:>4}  {:<18} {:>24}{other}", entry.height, entry.kind, what.join(", ")))?;
        }
    }
    Ok(())
}

fn issue(context: &Context, name: String, supply: &str, options: &Options) -> Result<Value, Failure> {
    let start = i64::try_from(books::now().get()).unwrap_or(i64::MAX);
    let total_supply = parse(supply, options.precision)?.to_i64();
    let frozen_supply = options.freeze.iter().map(|text| frozen(text, options.precision)).collect::<Result<_, _>>()?;
    let (trx_num, num) = options.price.as_deref().map_or(Ok((1, 1)), price)?;
    let precision = options.precision.into();
    let line = submit(context, |owner_address| {
        Ok(AssetIssue {
            owner_address,
            name: name.into_bytes(),
            total_supply,
            frozen_supply,
            trx_num,
            num,
            precision,
            // The sale begins a minute from now and lasts a year.
            start_time: start.saturating_add(60_000),
            end_time: start.saturating_add(31_536_000_000),
            url: b"https://example.org".to_vec(),
            ..AssetIssue::default()
        }
        .into())
    })?;
    Ok(line)
}

fn transfer(context: &Context, to: Address, amount: &str, options: &Options) -> Result<Value, Failure> {
    let to_address = to.as_bytes().to_vec();
    let asset = options.asset.as_deref().map_or(Ok(AssetId::NATIVE), asset_id)?;
    let amount = parse(amount, precision(&books::open(context)?, asset))?.to_i64();
    submit(context, |owner_address| {
        Ok(if asset == AssetId::NATIVE {
            Transfer { owner_address, to_address, amount }.into()
        } else {
            TransferAsset { asset_name: asset.name().into_bytes(), owner_address, to_address, amount }.into()
        })
    })
}

fn open(context: &Context, payee: Address, amount: &str, options: &Options) -> Result<Value, Failure> {
    let account = purse::account(context)?;
    let mut ledger = books::open(context)?;
    let asset = options.asset.as_deref().map_or(Ok(AssetId::NATIVE), asset_id)?;
    let open = ChannelOpen {
        owner_address: account.address().as_bytes().to_vec(),
        payee_address: payee.as_bytes().to_vec(),
        asset_name: asset.name().into_bytes(),
        deposit: parse(amount, precision(&ledger, asset))?.to_i64(),
        voucher_scheme: SchemeId::ED25519.get().into(),
        voucher_key: account.public_key(),
        salt: rand::random::<[u8; 16]>().to_vec(),
        ledger: ledger.id().as_bytes().to_vec(),
        opened_at: ledger.head().number.get().cast_signed(),
        dispute: 10,
        ..ChannelOpen::default()
    };
    // Nothing was paid through it yet, which `pay` has to know for certain.
    let channel = Channel::id(&open);
    purse::keep_voucher(context, &channel.to_string(), &Voucher::new(channel, LANE, Seq::new(0), Units::ZERO))?;
    let (id, receipt) = books::apply(&mut ledger, &account, open)?;
    Ok(told(&ledger, id.to_string(), &receipt))
}

/// A voucher for what was paid before and so much more. It is on disk before it is signed.
fn pay(context: &Context, id: ChannelId, amount: &str, options: &Options) -> Result<Value, Failure> {
    let account = purse::account(context)?;
    // As long as the ledger is open here, nobody else pays with this wallet.
    let ledger = books::open(context)?;
    let channel = ledger.channel(&id).ok_or(Failure::Failed("the ledger has no such channel".into()))?;
    if channel.payer() != account.address() {
        return Err(Failure::Failed(format!("{} pays through this channel", channel.payer())));
    }
    if channel.phase() != Phase::Open {
        return Err(Failure::Failed("the channel is not open".into()));
    }
    let precision = precision(&ledger, channel.asset());
    let more = parse(amount, precision)?;
    if more.is_zero() {
        return Err(Failure::Usage("a voucher for nothing more is none".into()));
    }
    let told = options.paid.as_deref().map(|text| parse(text, precision)).transpose()?;
    let (paid, seq) = paid(context, &ledger, id, told)?;
    let claimed = channel.lanes().iter().find(|(lane, _)| *lane == LANE).map_or(Units::ZERO, |(_, claimed)| *claimed);
    if claimed > paid {
        let [claimed, paid] = [claimed, paid].map(|it| it.to_decimal(precision));
        let text =
            format!("{claimed} were claimed, and this wallet knows of {paid}: `--paid AMOUNT` tells what was paid");
        return Err(Failure::Failed(text));
    }
    let deposit = channel.deposit().unwrap_or(Units::MAX);
    let base = paid.checked_add(more).filter(|base| *base <= deposit);
    let left = deposit.saturating_sub(paid).to_decimal(precision);
    let base = base.ok_or(Failure::Failed(format!("the channel has {left} left")))?;
    let seq = seq.next().ok_or(Failure::Failed("the channel has had all vouchers that it can".into()))?;
    let voucher = Voucher::new(id, LANE, seq, base);
    purse::keep_voucher(context, &id.to_string(), &voucher)?;
    Ok(json!({ "paid": base.to_decimal(precision), "voucher": purse::sign(&account, &voucher)? }))
}

/// What was paid through a channel so far, and the number of the last voucher.
///
/// A voucher is for all that was paid over the channel's life. One that leaves out what the same words have paid elsewhere would be worth less than
/// it says, or nothing.
fn paid(
    context: &Context,
    ledger: &EmbeddedLedger,
    id: ChannelId,
    told: Option<Units>,
) -> Result<(Units, Seq), Failure> {
    let last = purse::voucher(context, &id.to_string())?.map(|it| (it.base, it.seq));
    let Some(told) = told else {
        let path = purse::voucher_path(context, &id.to_string());
        let text = format!(
            "the channel was not opened with this wallet file, or {} is gone: `--paid AMOUNT` tells what was paid so far",
            path.display()
        );
        return last.ok_or(Failure::Failed(text));
    };
    let (paid, seq) = last.unwrap_or((Units::ZERO, Seq::new(0)));
    // No voucher that was made elsewhere so far has such a number.
    let height = ledger.head().number.get().min(u32::MAX.into());
    Ok((told.max(paid), seq.max(Seq::new(height << 32))))
}

/// The payee closes at once; the payer has to wait for claims.
fn close(context: &Context, id: ChannelId) -> Result<Value, Failure> {
    let account = purse::account(context)?;
    let mut ledger = books::open(context)?;
    let view = ledger.channel(&id).ok_or(Failure::Failed("the ledger has no such channel".into()))?;
    let (owner_address, channel) = (account.address().as_bytes().to_vec(), id.as_bytes().to_vec());
    let contract: Contract = if view.payee() == account.address() {
        ChannelRelease { owner_address, channel, claims: Vec::new() }.into()
    } else {
        ChannelClose { owner_address, channel }.into()
    };
    let (transaction, receipt) = books::apply(&mut ledger, &account, contract)?;
    let mut line = told(&ledger, transaction.to_string(), &receipt);
    if let Some(Phase::Closing { deadline, .. }) = ledger.channel(&id).map(Channel::phase) {
        line["finish_at_height"] = deadline.get().into();
    }
    Ok(line)
}

/// Makes a contract of the account's address, hands it in and tells what came of it.
fn submit(context: &Context, make: impl FnOnce(Vec<u8>) -> Result<Contract, Failure>) -> Result<Value, Failure> {
    let account = purse::account(context)?;
    let mut ledger = books::open(context)?;
    let contract = make(account.address().as_bytes().to_vec())?;
    let (id, receipt) = books::apply(&mut ledger, &account, contract)?;
    Ok(told(&ledger, id.to_string(), &receipt))
}

fn told(ledger: &EmbeddedLedger, id: String, receipt: &Receipt) -> Value {
    let mut line = json!({ "transaction": id, "height": ledger.head().number.get() });
    if let Some(issued) = receipt.issued {
        line["asset"] = issued.get().into();
    }
    if let Some(channel) = receipt.channel {
        line["channel"] = channel.to_string().into();
    }
    if !receipt.received.is_zero() {
        line["received_units"] = receipt.received.get().into();
    }
    line
}

fn lane_claim(bytes: &[u8; 176]) -> LaneClaim {
    let (voucher, signature) = bytes.split_at(Voucher::LEN);
    LaneClaim { voucher: voucher.to_vec(), signature: signature.to_vec(), tick: 0, preimage: Vec::new() }
}

fn precision(ledger: &EmbeddedLedger, asset: AssetId) -> u8 {
    ledger.asset(asset).map_or(COIN_PRECISION, |asset| asset.precision)
}

fn parse(text: &str, precision: u8) -> Result<Units, Failure> {
    Units::parse(text, precision).map_err(|error| Failure::usage(&error))
}

fn asset_id(text: &str) -> Result<AssetId, Failure> {
    AssetId::parse(text.as_bytes()).ok_or_else(|| Failure::Usage(format!("{text} is no token's number")))
}

/// `AMOUNT:DAYS`.
fn frozen(text: &str, precision: u8) -> Result<FrozenSupply, Failure> {
    let bad = || Failure::Usage(format!("{text} is not AMOUNT:DAYS"));
    let (amount, days) = text.split_once(':').ok_or_else(bad)?;
    let frozen_days = days.parse().map_err(|_| bad())?;
    Ok(FrozenSupply { frozen_amount: parse(amount, precision)?.to_i64(), frozen_days })
}

/// `COINS:TOKENS`, in smallest units.
fn price(text: &str) -> Result<(i32, i32), Failure> {
    let bad = || Failure::Usage(format!("{text} is not COINS:TOKENS"));
    let (coins, tokens) = text.split_once(':').ok_or_else(bad)?;
    Ok((coins.parse().map_err(|_| bad())?, tokens.parse().map_err(|_| bad())?))
}

/// Digits behind the point of the coin.
const COIN_PRECISION: u8 = 6;
/// All is paid in one lane.
const LANE: Lane = Lane::new(0);
