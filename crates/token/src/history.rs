//! What has happened to accounts, as a ledger tells it: in pages, and as a table for spreadsheets.

use crate::address::Address;
use crate::contract::Contract;
use crate::ids::{AssetId, ChannelId, Height, Timestamp, TxId};
use crate::ledger::{LedgerEvent, Receipt};
use crate::transaction::Transaction;
use crate::units::Units;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

/// The history of accounts whose keys may be elsewhere: to watch needs an address alone.
#[derive(Clone, Default, Debug)]
pub struct History {
    watched: BTreeSet<Address>,
    entries: Vec<Entry>,
    channels: HashMap<ChannelId, Parties>,
    /// Tokens, by who has issued them.
    issued: HashMap<Address, AssetId>,
    /// The sides of pairs.
    pairs: HashMap<u64, [AssetId; 2]>,
}

/// Something that has happened to an account.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The account.
    pub account: Address,
    /// In which block.
    pub height: Height,
    /// When.
    pub time: Timestamp,
    /// By which transaction.
    pub id: TxId,
    /// What it was: the name of the contract.
    pub kind: &'static str,
    /// What came and went, by asset. What was paid for the transaction is in it, as far as it was the account's.
    pub changes: Vec<Change>,
    /// The other party, if there is one.
    pub other: Option<Address>,
    /// The channel that it was about.
    pub channel: Option<ChannelId>,
    /// The memo, as it came.
    pub memo: Vec<u8>,
}

/// What came or went of an asset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Change {
    /// Which.
    pub asset: AssetId,
    /// Smallest units; below zero is what went.
    pub amount: i128,
}

/// A part of a history, the newest entries first.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Page<'a> {
    /// The entries.
    pub entries: Vec<&'a Entry>,
    /// Where the next page begins; `None` if this is the last.
    pub next: Option<PageStart>,
}

/// Where a page begins. It stays right when new entries come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageStart(usize);

#[derive(Clone, Copy, Debug)]
struct Parties {
    payer: Address,
    payee: Address,
    asset: AssetId,
    deposit: Units,
    claimed: Units,
}

impl History {
    /// The history of these accounts. It has to hear of all that the ledger tells, from the first block on.
    #[must_use]
    pub fn new(accounts: impl IntoIterator<Item = Address>) -> Self {
        Self { watched: accounts.into_iter().collect(), ..Self::default() }
    }

    /// Takes note of what a ledger tells.
    pub fn handle_event(&mut self, event: &LedgerEvent) {
        let LedgerEvent::Applied { height, time, transaction, receipt } = event else { return };
        let (id, transaction) = (transaction.id(), transaction.transaction());
        let mut moves = Moves::default();
        let kind = self.moves(transaction, receipt, &mut moves);
        if let Ok(owner) = Address::from_slice(transaction.contract.owner_address()) {
            let cost = receipt.fee.checked_add(receipt.net_fee).unwrap_or(Units::MAX);
            moves.add(owner, AssetId::NATIVE, signed(cost).saturating_neg());
            // What moves nothing is told to who has done it.
            moves.0.entry(owner).or_default();
        }
        let parties: Vec<Address> = moves.0.keys().copied().collect();
        for (account, changes) in moves.0 {
            if !self.watched.contains(&account) {
                continue;
            }
            let changes = changes.into_iter().filter(|(_, amount)| *amount != 0);
            self.entries.push(Entry {
                account,
                height: *height,
                time: *time,
                id,
                kind,
                changes: changes.map(|(asset, amount)| Change { asset, amount }).collect(),
                other: parties.iter().copied().find(|it| *it != account),
                channel: receipt.channel,
                memo: transaction.data.clone(),
            });
        }
    }

    /// A page of so many entries of an account, or of all, from a place on; without one from the newest.
    #[must_use]
    pub fn page(&self, account: Option<&Address>, from: Option<PageStart>, entries: usize) -> Page<'_> {
        let end = from.map_or(self.entries.len(), |start| start.0.min(self.entries.len()));
        let wanted = |entry: &&Entry| account.is_none_or(|account| entry.account == *account);
        let all = self.entries.get(..end).unwrap_or_default().iter().enumerate().rev();
        let mut page = Page { entries: Vec::new(), next: None };
        for (at, entry) in all {
            if page.entries.len() < entries && wanted(&entry) {
                page.entries.push(entry);
            } else if wanted(&entry) {
                page.next = Some(PageStart(at.saturating_add(1)));
                break;
            }
        }
        page
    }

    /// The oldest first, as comma-separated values (RFC 4180): one row for each asset that an entry changes.
    ///
    /// A memo that a spreadsheet would take for a formula gets an apostrophe in front.
    #[must_use]
    pub fn to_csv(&self, precision: impl Fn(AssetId) -> u8) -> String {
        let mut out = String::from("time_ms,height,transaction,account,kind,asset,amount,other,channel,memo\r\n");
        for entry in &self.entries {
            let nothing = [Change { asset: AssetId::NATIVE, amount: 0 }];
            let changes = if entry.changes.is_empty() { &nothing[..] } else { &entry.changes };
            for change in changes {
                let units = u64::try_from(change.amount.unsigned_abs()).ok().and_then(Units::new).unwrap_or(Units::MAX);
                let sign = if change.amount < 0 { "-" } else { "" };
                let amount = units.to_decimal(precision(change.asset));
                let other = entry.other.map(|it| it.to_string()).unwrap_or_default();
                let channel = entry.channel.map(|it| it.to_string()).unwrap_or_default();
                let Entry { time, height, id, account, kind, .. } = entry;
                let (asset, memo) = (change.asset.name(), quoted(&entry.memo));
                // Writing to a string does not fail.
                let _ = write!(
                    out,
                    "{time},{height},{id},{account},{kind},{asset},{sign}{amount},{other},{channel},{memo}\r\n"
                );
            }
        }
        out
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What a transaction moves between whom, and its name.
    fn moves(&mut self, transaction: &Transaction, receipt: &Receipt, moves: &mut Moves) -> &'static str {
        let contract = &transaction.contract;
        let owner = Address::from_slice(contract.owner_address()).ok();
        let received = signed(receipt.received);
        match contract {
            Contract::Transfer(it) => {
                moves.pay(owner, &it.to_address, AssetId::NATIVE, it.amount.into());
                "Transfer"
            }
            Contract::TransferAsset(it) => {
                moves.pay_named(owner, &it.to_address, &it.asset_name, it.amount.into());
                "TransferAsset"
            }
            Contract::ParticipateAssetIssue(it) => {
                moves.pay(owner, &it.to_address, AssetId::NATIVE, it.amount.into());
                if let (Some(owner), Ok(issuer)) = (owner, Address::from_slice(&it.to_address)) {
                    moves.pay_named(Some(issuer), owner.as_bytes(), &it.asset_name, received);
                }
                "ParticipateAssetIssue"
            }
            Contract::AssetIssue(it) => {
                let frozen: i128 = it.frozen_supply.iter().map(|it| i128::from(it.frozen_amount)).sum();
                if let (Some(owner), Some(issued)) = (owner, receipt.issued) {
                    moves.add(owner, issued, i128::from(it.total_supply).saturating_sub(frozen));
                    self.issued.insert(owner, issued);
                }
                "AssetIssue"
            }
            Contract::UnfreezeAsset(_) => {
                if let Some((owner, issued)) = owner.and_then(|owner| Some((owner, *self.issued.get(&owner)?))) {
                    moves.add(owner, issued, received);
                }
                "UnfreezeAsset"
            }
            Contract::VaultDeposit(it) => {
                moves.named(owner, &it.asset_name, minus(it.amount));
                "VaultDeposit"
            }
            Contract::VaultWithdrawFinish(it) => {
                moves.named(owner, &it.asset_name, received);
                "VaultWithdrawFinish"
            }
            Contract::ChannelOpen(it) => {
                moves.named(owner, &it.asset_name, minus(it.deposit));
                let parties = (owner, Address::from_slice(&it.payee_address).ok(), AssetId::parse(&it.asset_name));
                if let ((Some(payer), Some(payee), Some(asset)), Some(id)) = (parties, receipt.channel) {
                    let deposit = Units::try_from(it.deposit).unwrap_or_default();
                    self.channels.insert(id, Parties { payer, payee, asset, deposit, claimed: Units::ZERO });
                    moves.0.entry(payee).or_default();
                }
                "ChannelOpen"
            }
            Contract::ChannelTopUp(it) => {
                if let Some(channel) = receipt.channel.and_then(|id| self.channels.get_mut(&id)) {
                    let more = Units::try_from(it.amount).unwrap_or_default();
                    channel.deposit = channel.deposit.checked_add(more).unwrap_or(Units::MAX);
                    owner.into_iter().for_each(|owner| moves.add(owner, channel.asset, minus(it.amount)));
                }
                "ChannelTopUp"
            }
            Contract::ChannelClaim(_) => {
                self.claimed(receipt, false, moves);
                "ChannelClaim"
            }
            Contract::ChannelRelease(_) => {
                self.claimed(receipt, true, moves);
                "ChannelRelease"
            }
            Contract::ChannelCloseMutual(_) => {
                self.claimed(receipt, true, moves);
                "ChannelCloseMutual"
            }
            Contract::ChannelFinish(_) => {
                self.claimed(receipt, true, moves);
                "ChannelFinish"
            }
            Contract::ExchangeTransaction(it) => {
                moves.named(owner, &it.token_id, minus(it.quant));
                self.other_side(receipt, owner, &it.token_id, received, moves);
                "ExchangeTransaction"
            }
            Contract::ExchangeCreate(it) => {
                moves.named(owner, &it.first_token_id, minus(it.first_token_balance));
                moves.named(owner, &it.second_token_id, minus(it.second_token_balance));
                let sides = [&it.first_token_id, &it.second_token_id].map(|name| AssetId::parse(name));
                if let ([Some(first), Some(second)], Some(id)) = (sides, receipt.exchange) {
                    self.pairs.insert(id, [first, second]);
                }
                "ExchangeCreate"
            }
            Contract::ExchangeInject(it) => {
                moves.named(owner, &it.token_id, minus(it.quant));
                self.other_side(receipt, owner, &it.token_id, received.saturating_neg(), moves);
                "ExchangeInject"
            }
            Contract::ExchangeWithdraw(it) => {
                moves.named(owner, &it.token_id, it.quant.into());
                self.other_side(receipt, owner, &it.token_id, received, moves);
                "ExchangeWithdraw"
            }
            other => other.type_name().rsplit('.').next().unwrap_or_default().trim_end_matches("Contract"),
        }
    }

    /// What comes or goes on the side of a pair that a contract does not name.
    fn other_side(&self, receipt: &Receipt, owner: Option<Address>, named: &[u8], amount: i128, moves: &mut Moves) {
        let Some(pair) = receipt.exchange.and_then(|id| self.pairs.get(&id)) else { return };
        let named = AssetId::parse(named);
        let other = pair.iter().find(|side| Some(**side) != named);
        owner.zip(other).into_iter().for_each(|(owner, other)| moves.add(owner, *other, amount));
    }

    /// A claim pays the payee; at the end the payer gets the rest.
    fn claimed(&mut self, receipt: &Receipt, is_end: bool, moves: &mut Moves) {
        let Some(channel) = receipt.channel.and_then(|id| self.channels.get_mut(&id)) else { return };
        channel.claimed = channel.claimed.checked_add(receipt.received).unwrap_or(Units::MAX);
        moves.add(channel.payee, channel.asset, signed(receipt.received));
        let rest = if is_end { channel.deposit.saturating_sub(channel.claimed) } else { Units::ZERO };
        moves.add(channel.payer, channel.asset, signed(rest));
    }
}

/// What comes and goes, by account and asset.
#[derive(Default)]
struct Moves(BTreeMap<Address, BTreeMap<AssetId, i128>>);

impl Moves {
    fn add(&mut self, account: Address, asset: AssetId, amount: i128) {
        let sum = self.0.entry(account).or_default().entry(asset).or_default();
        *sum = sum.saturating_add(amount);
    }

    fn named(&mut self, account: Option<Address>, asset: &[u8], amount: i128) {
        if let (Some(account), Some(asset)) = (account, AssetId::parse(asset)) {
            self.add(account, asset, amount);
        }
    }

    fn pay(&mut self, from: Option<Address>, to: &[u8], asset: AssetId, amount: i128) {
        if let (Some(from), Ok(to)) = (from, Address::from_slice(to)) {
            self.add(from, asset, amount.saturating_neg());
            self.add(to, asset, amount);
        }
    }

    fn pay_named(&mut self, from: Option<Address>, to: &[u8], asset: &[u8], amount: i128) {
        if let Some(asset) = AssetId::parse(asset) {
            self.pay(from, to, asset, amount);
        }
    }
}

fn minus(amount: i64) -> i128 {
    i128::from(amount).saturating_neg()
}

fn signed(units: Units) -> i128 {
    units.get().into()
}

/// A field of CSV.
fn quoted(memo: &[u8]) -> String {
    let text = String::from_utf8_lossy(memo);
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.into_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
