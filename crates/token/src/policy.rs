//! A signer that keeps to limits, so that a program which has gone wrong cannot spend more than it was meant to.

use crate::address::Address;
use crate::contract::Contract;
use crate::ids::{AssetId, ChannelId, Lane, SchemeId, Timestamp};
use crate::signer::{Refused, Signable, Signer};
use crate::transaction::Transaction;
use crate::units::Units;
use crate::voucher::Voucher;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// What a signer may spend. Of an asset without limits nothing is spent.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// By asset.
    pub assets: BTreeMap<AssetId, Limit>,
    /// What vouchers of one channel may be worth together, and what a total may be at which it is closed, in smallest units of whatever the
    /// channel holds. It holds for whoever pays and for whoever is paid: a total does not say who signs it.
    pub channel: Units,
}

/// What may be spent of an asset, in smallest units.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Limit {
    /// By one transaction.
    pub once: Units,
    /// In any 24 hours, by the times that the transactions carry.
    pub day: Units,
}

/// Lets through to another signer what keeps to the limits.
///
/// Of vouchers it holds whoever asks to what a payer must never do: sign two of one number, or one that owes less than the last.
pub struct PolicySigner {
    inner: Box<dyn Signer>,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was spent, the oldest first.
    spent: VecDeque<(Timestamp, AssetId, Units)>,
    /// The last time that a transaction carried. Others may not be much older: time does not run back to make room.
    latest: Timestamp,
    vouchers: HashMap<ChannelId, BTreeMap<Lane, Voucher>>,
}

impl Limit {
    /// So much at once, so much a day.
    #[must_use]
    pub const fn new(once: Units, day: Units) -> Self {
        Self { once, day }
    }
}

impl PolicySigner {
    /// Keeps a signer to limits.
    #[must_use]
    pub fn new(inner: Box<dyn Signer>, limits: Limits) -> Self {
        Self { inner, limits, state: Mutex::default() }
    }

    /// What may be spent of an asset yet in the 24 hours before a time.
    #[must_use]
    pub fn left(&self, asset: AssetId, now: Timestamp) -> Units {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let day = self.limits.assets.get(&asset).map_or(Units::ZERO, |it| it.day);
        day.saturating_sub(state.spent_since(asset, now))
    }
}

impl State {
    fn spent_since(&self, asset: AssetId, now: Timestamp) -> Units {
        let from = now.get().saturating_sub(DAY);
        let recent =
            self.spent.iter().filter(|(at, of, _)| *of == asset && at.get() > from).map(|(.., amount)| *amount);
        recent.fold(Units::ZERO, |all, one| all.checked_add(one).unwrap_or(Units::MAX))
    }

    fn allow_transaction(&mut self, transaction: &Transaction, limits: &Limits) -> Result<(), Refused> {
        let now = transaction.timestamp;
        if now.get().saturating_add(SLACK) < self.latest.get() {
            return Err(Refused::Policy("the transaction's time is long ago"));
        }
        let Some(spends) = outflow(&transaction.contract) else {
            return Err(Refused::Policy("what the transaction spends cannot be told"));
        };
        let at = now.max(self.latest);
        for (&asset, &amount) in &spends {
            let limit = limits.assets.get(&asset).copied().unwrap_or_default();
            let day = self.spent_since(asset, at).checked_add(amount).unwrap_or(Units::MAX);
            if amount > limit.once {
                return Err(Refused::Policy("more than may be spent at once"));
            }
            if day > limit.day {
                return Err(Refused::Policy("more than may be spent in a day"));
            }
        }
        self.spent.extend(spends.into_iter().map(|(asset, amount)| (at, asset, amount)));
        self.latest = self.latest.max(now);
        while self.spent.front().is_some_and(|(at, ..)| at.get().saturating_add(DAY) <= self.latest.get()) {
            self.spent.pop_front();
        }
        Ok(())
    }

    fn allow_voucher(&mut self, voucher: &Voucher, limits: &Limits) -> Result<(), Refused> {
        let lanes = self.vouchers.entry(voucher.channel).or_default();
        if let Some(last) = lanes.get(&voucher.lane) {
            if last == voucher {
                return Ok(());
            }
            if voucher.seq <= last.seq {
                return Err(Refused::Policy("a voucher of this number was signed"));
            }
            if voucher.base < last.base {
                return Err(Refused::Policy("the voucher owes less than the last"));
            }
        }
        let all = |voucher: &Voucher| voucher.value(voucher.max_ticks);
        let others = lanes.iter().filter(|(lane, _)| **lane != voucher.lane).map(|(_, it)| all(it));
        let sum = others.chain([all(voucher)]).try_fold(Units::ZERO, |sum, it| sum.checked_add(it?));
        if sum.is_none_or(|sum| sum > limits.channel) {
            return Err(Refused::Policy("more than may be spent through a channel"));
        }
        lanes.insert(voucher.lane, *voucher);
        Ok(())
    }
}

/// The assets that leave the account's hands, and how much of each, without those of which it is nothing; `None` if that cannot be told.
fn outflow(contract: &Contract) -> Option<BTreeMap<AssetId, Units>> {
    let of = |name: &[u8], amount: i64| Some((AssetId::parse(name)?, Units::try_from(amount).ok()?));
    let one = match contract {
        Contract::Transfer(it) => of(b"_", it.amount),
        Contract::TransferAsset(it) => of(&it.asset_name, it.amount),
        Contract::ParticipateAssetIssue(it) => of(b"_", it.amount),
        Contract::ExchangeTransaction(it) => of(&it.token_id, it.quant),
        Contract::ExchangeCreate(it) => {
            let (asset, amount) = of(&it.second_token_id, it.second_token_balance)?;
            let (first, first_amount) = of(&it.first_token_id, it.first_token_balance)?;
            let mut both = BTreeMap::from([(asset, amount)]);
            let sum = both.entry(first).or_default();
            *sum = sum.checked_add(first_amount)?;
            both.retain(|_, amount| !amount.is_zero());
            return Some(both);
        }
        Contract::VaultDeposit(it) => of(&it.asset_name, it.amount),
        Contract::ChannelOpen(it) => of(&it.asset_name, it.deposit),
        // What the channel holds is not said, nor how much of its other side a pair takes.
        Contract::ChannelTopUp(_) | Contract::ExchangeInject(_) => None,
        Contract::AccountCreate(_)
        | Contract::AssetIssue(_)
        | Contract::UnfreezeAsset(_)
        | Contract::UpdateAsset(_)
        | Contract::ExchangeWithdraw(_)
        | Contract::VaultWithdraw(_)
        | Contract::VaultWithdrawFinish(_)
        | Contract::VaultAllocate(_)
        | Contract::VaultRelease(_)
        | Contract::VaultReleaseFinish(_)
        | Contract::ChannelClaim(_)
        | Contract::ChannelRelease(_)
        | Contract::ChannelCloseMutual(_)
        | Contract::ChannelClose(_)
        | Contract::ChannelFinish(_) => return Some(BTreeMap::new()),
    };
    one.map(|(asset, amount)| if amount.is_zero() { BTreeMap::new() } else { BTreeMap::from([(asset, amount)]) })
}

impl Signer for PolicySigner {
    fn scheme(&self) -> SchemeId {
        self.inner.scheme()
    }

    fn address(&self) -> Address {
        self.inner.address()
    }

    fn public_key(&self) -> Vec<u8> {
        self.inner.public_key()
    }

    fn sign(&self, what: &Signable<'_>) -> Result<Vec<u8>, Refused> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match what {
            Signable::Transaction(transaction) => state.allow_transaction(transaction, &self.limits)?,
            Signable::Voucher(voucher) => state.allow_voucher(voucher, &self.limits)?,
            Signable::Close(close) if close.total > self.limits.channel => {
                return Err(Refused::Policy("more than may be spent through a channel"));
            }
            Signable::Close(_) | Signable::Block(_) => {}
        }
        self.inner.sign(what)
    }
}

impl fmt::Debug for PolicySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicySigner").field("address", &self.address()).field("limits", &self.limits).finish()
    }
}

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;
/// By how many milliseconds a transaction may be older than the last one.
const SLACK: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Transfer, TransferAsset};
    use crate::ids::Seq;
    use crate::signer::KeySigner;
    use unchoke_core::Seed;
    use unchoke_core::keys::SecretKey;

    fn units(units: u64) -> Units {
        Units::new(units).unwrap()
    }

    fn signer() -> PolicySigner {
        let mut limits = Limits { channel: units(1000), ..Limits::default() };
        limits.assets.insert(AssetId::NATIVE, Limit::new(units(50), units(100)));
        let key = KeySigner::new(SecretKey::from_seed(&Seed::new([1; 32])));
        PolicySigner::new(Box::new(key), limits)
    }

    fn pay(signer: &PolicySigner, hour: u64, contract: impl Into<Contract>) -> Result<(), Refused> {
        let made = Timestamp::new(hour * 3_600_000);
        let transaction = Transaction::new(contract, 0, &[0; 32], made, Timestamp::new(made.get() + 1));
        signer.sign(&Signable::Transaction(&transaction)).map(drop)
    }

    fn transfer(amount: i64) -> Transfer {
        Transfer { amount, ..Transfer::default() }
    }

    #[test]
    fn what_is_spent_at_once_and_in_a_day_is_limited() {
        let signer = signer();
        assert_eq!(pay(&signer, 100, transfer(51)), Err(Refused::Policy("more than may be spent at once")));
        assert_eq!(pay(&signer, 100, transfer(50)), Ok(()));
        assert_eq!(pay(&signer, 101, transfer(50)), Ok(()));
        assert_eq!(pay(&signer, 102, transfer(1)), Err(Refused::Policy("more than may be spent in a day")));
        assert_eq!(signer.left(AssetId::NATIVE, Timestamp::new(102 * 3_600_000)), Units::ZERO);
        // A time in the past does not make room.
        assert!(pay(&signer, 70, transfer(1)).is_err());
        assert_eq!(pay(&signer, 124, transfer(50)), Ok(()));
        assert!(pay(&signer, 124, transfer(1)).is_err());
        let token = TransferAsset { asset_name: b"1000001".to_vec(), amount: 1, ..TransferAsset::default() };
        assert!(pay(&signer, 200, token).is_err());
        assert!(pay(&signer, 200, transfer(-1)).is_err());
    }

    #[test]
    fn no_two_vouchers_of_one_number_are_signed_and_none_that_owes_less() {
        let signer = signer();
        let sign = |lane, seq, base| {
            let voucher = Voucher::new(ChannelId::new([1; 32]), Lane::new(lane), Seq::new(seq), units(base));
            signer.sign(&Signable::Voucher(&voucher)).map(drop)
        };
        assert_eq!(sign(0, 1, 100), Ok(()));
        assert_eq!(sign(0, 1, 100), Ok(()));
        assert_eq!(sign(0, 1, 101), Err(Refused::Policy("a voucher of this number was signed")));
        assert_eq!(sign(0, 2, 99), Err(Refused::Policy("the voucher owes less than the last")));
        assert_eq!(sign(0, 2, 600), Ok(()));
        assert_eq!(sign(1, 1, 401), Err(Refused::Policy("more than may be spent through a channel")));
        assert_eq!(sign(1, 1, 400), Ok(()));
    }
}
