//! The state of a ledger, and drafts: what a transaction changes lies beside the state until all of it is known to be right.

use super::record::{Account, Asset, Exchange, Record, Totals};
use crate::address::Address;
use crate::channel::adjudicator::Channel;
use crate::channel::vault::Vault;
use crate::ids::{AssetId, ChannelId};
use crate::proto::DecodeError;
use crate::units::Units;
use std::collections::HashMap;
use std::hash::Hash;

/// All that a ledger remembers.
#[derive(Clone, Default, Debug)]
pub(crate) struct State {
    accounts: HashMap<Address, Account>,
    assets: HashMap<AssetId, Asset>,
    exchanges: HashMap<u64, Exchange>,
    vaults: HashMap<(Address, AssetId), Vault>,
    channels: HashMap<ChannelId, Channel>,
    totals: Totals,
}

/// Of what something is remembered. In order, with bytes of its own: so it stands in the state root and on disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Key {
    /// What there is one of.
    Totals,
    /// An account.
    Account(Address),
    /// A token.
    Asset(AssetId),
    /// A pair.
    Exchange(u64),
    /// The vault of an owner for an asset.
    Vault(Address, AssetId),
    /// A channel.
    Channel(ChannelId),
}

/// What a transaction has changed so far.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    state: &'a State,
    accounts: Overlay<Address, Account>,
    assets: Overlay<AssetId, Asset>,
    exchanges: Overlay<u64, Exchange>,
    vaults: Overlay<(Address, AssetId), Vault>,
    channels: Overlay<ChannelId, Channel>,
    totals: Option<Totals>,
}

/// What a draft changes, without the state it was made for.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    accounts: Vec<(Address, Option<Account>)>,
    assets: Vec<(AssetId, Option<Asset>)>,
    exchanges: Vec<(u64, Option<Exchange>)>,
    vaults: Vec<((Address, AssetId), Option<Vault>)>,
    channels: Vec<(ChannelId, Option<Channel>)>,
    totals: Option<Totals>,
}

#[derive(Debug)]
struct Overlay<K, V>(Vec<(K, Option<V>)>);

impl<K: Copy + Eq + Hash, V: Clone> Overlay<K, V> {
    const fn new() -> Self {
        Self(Vec::new())
    }

    fn get<'a>(&'a self, base: &'a HashMap<K, V>, key: &K) -> Option<&'a V> {
        match self.0.iter().find(|(known, _)| known == key) {
            Some((_, value)) => value.as_ref(),
            None => base.get(key),
        }
    }

    fn slot(&mut self, base: &HashMap<K, V>, key: K) -> &mut Option<V> {
        let place = self.0.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            self.0.push((key, base.get(&key).cloned()));
            self.0.len().saturating_sub(1)
        });
        #[allow(clippy::indexing_slicing, reason = "the place was just found or made")]
        &mut self.0[place].1
    }
}

macro_rules! parts {
    ($($part:ident, $part_mut:ident: $key:ty => $value:ty;)*) => {
        impl State {
            $(pub(crate) const fn $part(&self) -> &HashMap<$key, $value> {
                &self.$part
            })*

            /// Takes over what a draft has changed. Tells the keys.
            pub(crate) fn apply(&mut self, changes: Changes, mut tell: impl FnMut(Key)) {
                if let Some(totals) = changes.totals {
                    self.totals = totals;
                    tell(Key::Totals);
                }
                $(for (key, value) in changes.$part {
                    match value {
                        Some(value) => drop(self.$part.insert(key, value)),
                        None => drop(self.$part.remove(&key)),
                    }
                    tell(key.into());
                })*
            }

            /// The same, and returns what undoes it.
            pub(crate) fn exchange(&mut self, changes: Changes, tell: impl FnMut(Key)) -> Changes {
                let before = Changes {
                    $($part: changes.$part.iter().map(|(key, _)| (*key, self.$part.get(key).cloned())).collect(),)*
                    totals: changes.totals.map(|_| self.totals),
                };
                self.apply(changes, tell);
                before
            }
        }

        impl<'a> Draft<'a> {
            pub(crate) const fn new(state: &'a State) -> Self {
                Self { state, $($part: Overlay::new(),)* totals: None }
            }

            $(
                /// As it stands in the draft.
                pub(crate) fn $part(&self, key: &$key) -> Option<&$value> {
                    self.$part.get(&self.state.$part, key)
                }

                /// To be changed, made or removed.
                pub(crate) fn $part_mut(&mut self, key: $key) -> &mut Option<$value> {
                    self.$part.slot(&self.state.$part, key)
                }
            )*

            /// What was changed.
            pub(crate) fn finish(self) -> Changes {
                Changes { $($part: self.$part.0,)* totals: self.totals }
            }
        }
    };
}

parts! {
    accounts, account_mut: Address => Account;
    assets, asset_mut: AssetId => Asset;
    exchanges, exchange_mut: u64 => Exchange;
    vaults, vault_mut: (Address, AssetId) => Vault;
    channels, channel_mut: ChannelId => Channel;
}

impl State {
    /// Accounts and nothing else.
    pub(crate) fn new(accounts: HashMap<Address, Account>, totals: Totals) -> Self {
        Self { accounts, totals, ..Self::default() }
    }

    pub(crate) const fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The bytes that are remembered of something; `None` if nothing is.
    pub(crate) fn encode(&self, key: &Key) -> Option<Vec<u8>> {
        match key {
            Key::Totals => Some(self.totals.encode()),
            Key::Account(key) => self.accounts.get(key).map(Record::encode),
            Key::Asset(key) => self.assets.get(key).map(Record::encode),
            Key::Exchange(key) => self.exchanges.get(key).map(Record::encode),
            Key::Vault(owner, asset) => self.vaults.get(&(*owner, *asset)).map(Record::encode),
            Key::Channel(key) => self.channels.get(key).map(Record::encode),
        }
    }

    /// Takes bytes that [`encode`](Self::encode) has made.
    pub(crate) fn restore(&mut self, key: Key, bytes: &[u8]) -> Result<(), DecodeError> {
        match key {
            Key::Totals => self.totals = Totals::decode(bytes)?,
            Key::Account(key) => drop(self.accounts.insert(key, Account::decode(bytes)?)),
            Key::Asset(key) => drop(self.assets.insert(key, Asset::decode(bytes)?)),
            Key::Exchange(key) => drop(self.exchanges.insert(key, Exchange::decode(bytes)?)),
            Key::Vault(owner, asset) => drop(self.vaults.insert((owner, asset), Vault::decode(bytes)?)),
            Key::Channel(key) => drop(self.channels.insert(key, Channel::decode(bytes)?)),
        }
        Ok(())
    }

    /// All that something is remembered of, in no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        let accounts = self.accounts.keys().copied().map(Key::Account);
        let assets = self.assets.keys().copied().map(Key::Asset);
        let exchanges = self.exchanges.keys().copied().map(Key::Exchange);
        let vaults = self.vaults.keys().map(|(owner, asset)| Key::Vault(*owner, *asset));
        let channels = self.channels.keys().copied().map(Key::Channel);
        std::iter::once(Key::Totals).chain(accounts).chain(assets).chain(exchanges).chain(vaults).chain(channels)
    }
}

impl State {
    /// All that there is of an asset: in accounts, frozen, in vaults, channels and pairs, and burnt.
    pub(crate) fn supply(&self, asset: AssetId) -> u128 {
        let of = |units: Units| u128::from(units.get());
        let accounts = self.accounts.values().map(|account| {
            let frozen = account.frozen.iter().filter(|_| account.issued == Some(asset)).map(|it| of(it.amount));
            of(account.holds(asset)).saturating_add(frozen.fold(0, u128::saturating_add))
        });
        let vaults = self.vaults.iter().filter(|((_, id), _)| *id == asset).map(|(_, it)| of(it.total()));
        let channels = self.channels.values().filter(|it| it.asset() == asset).map(|it| of(it.held()));
        let sides = self.exchanges.values().flat_map(|it| [it.first, it.second]);
        let exchanges = sides.filter(|(id, _)| *id == asset).map(|(_, held)| of(held));
        let burnt = std::iter::once(if asset == AssetId::NATIVE { of(self.totals.burnt) } else { 0 });
        accounts.chain(vaults).chain(channels).chain(exchanges).chain(burnt).fold(0, u128::saturating_add)
    }
}

impl Draft<'_> {
    pub(crate) fn totals(&self) -> &Totals {
        self.totals.as_ref().unwrap_or(&self.state.totals)
    }

    pub(crate) fn totals_mut(&mut self) -> &mut Totals {
        self.totals.get_or_insert(self.state.totals)
    }
}

impl Key {
    /// The bytes of the key: its kind, then what tells it from others of the kind.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Totals => vec![0],
            Self::Account(address) => [&[1], &address.as_bytes()[..]].concat(),
            Self::Asset(id) => [&[2], &id.get().to_be_bytes()[..]].concat(),
            Self::Exchange(id) => [&[3], &id.to_be_bytes()[..]].concat(),
            Self::Vault(owner, asset) => [&[4], &owner.as_bytes()[..], &asset.get().to_be_bytes()].concat(),
            Self::Channel(id) => [&[5], &id.as_bytes()[..]].concat(),
        }
    }

    /// Reads them.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).ok();
        let address = |bytes: &[u8]| Address::from_slice(bytes).ok();
        match kind {
            0 => rest.is_empty().then_some(Self::Totals),
            1 => address(rest).map(Self::Account),
            2 => number(rest).map(|it| Self::Asset(AssetId::new(it))),
            3 => number(rest).map(Self::Exchange),
            4 => {
                let (owner, asset) = rest.split_at_checked(21)?;
                Some(Self::Vault(address(owner)?, AssetId::new(number(asset)?)))
            }
            5 => rest.try_into().ok().map(|it| Self::Channel(ChannelId::new(it))),
            _ => None,
        }
    }
}

impl From<Address> for Key {
    fn from(key: Address) -> Self {
        Self::Account(key)
    }
}

impl From<AssetId> for Key {
    fn from(key: AssetId) -> Self {
        Self::Asset(key)
    }
}

impl From<u64> for Key {
    fn from(key: u64) -> Self {
        Self::Exchange(key)
    }
}

impl From<(Address, AssetId)> for Key {
    fn from((owner, asset): (Address, AssetId)) -> Self {
        Self::Vault(owner, asset)
    }
}

impl From<ChannelId> for Key {
    fn from(key: ChannelId) -> Self {
        Self::Channel(key)
    }
}
