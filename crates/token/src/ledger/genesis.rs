//! What a ledger begins with.

use super::params::ChainParams;
use super::record::{Account, Totals};
use super::state::{Key, State};
use super::store::StoreError;
use super::tree::{Leaf, Tree};
use crate::address::Address;
use crate::block::{BlockHeader, BlockId};
use crate::ids::{Height, LedgerId, Timestamp};
use crate::signer::Refused;
use crate::units::Units;
use std::collections::HashMap;

/// What a ledger begins with.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Genesis {
    /// When.
    pub time: Timestamp,
    /// Who has how much of the native coin, in smallest units: all that there ever is.
    pub balances: Vec<(Address, Units)>,
    /// Who has bandwidth of its own, in bytes a day. On TRON it is staked for.
    pub net_limits: Vec<(Address, u64)>,
}

/// A ledger could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The records do not have the root that was signed.
    #[error("the state of block {0} is not the one that was signed")]
    StateRoot(Height),
    /// The first block could not be signed.
    #[error("the operator does not sign: {0}")]
    Refused(#[from] Refused),
    /// The first block is not the one that the ledger's beginning gives, signed by its operator.
    #[error("the first block is not the beginning of the ledger")]
    First,
    /// It is another ledger.
    #[error("the ledger is {0}")]
    OtherLedger(LedgerId),
    /// The operator is another one.
    #[error("the ledger is {0}'s")]
    Operator(Address),
    /// The balances of the beginning are more than there can be.
    #[error("the balances of the beginning are too much")]
    Genesis,
    /// The beginning's time, in milliseconds, is one that no block can have.
    #[error("no block can have the time {0}")]
    Time(Timestamp),
}

/// The header of the first block, without its signature, what the ledger remembers after it, and the tree over that.
pub(crate) fn begin(
    genesis: &Genesis,
    params: &ChainParams,
    operator: Address,
) -> Result<(BlockHeader, State, Tree), OpenError> {
    if genesis.time > LAST_TIME {
        return Err(OpenError::Time(genesis.time));
    }
    let (mut accounts, mut all) = (HashMap::new(), Units::ZERO);
    let fresh = || Account { created: genesis.time, ..Account::default() };
    for (address, balance) in &genesis.balances {
        all = all.checked_add(*balance).ok_or(OpenError::Genesis)?;
        let account = accounts.entry(*address).or_insert_with(fresh);
        account.balance = account.balance.checked_add(*balance).ok_or(OpenError::Genesis)?;
    }
    for (address, limit) in &genesis.net_limits {
        accounts.entry(*address).or_insert_with(fresh).net_limit = *limit;
    }
    let state = State::new(accounts, Totals { last_token: params.token_id_start, ..Totals::default() });
    let leaf = |key: Key| state.encode(&key).map(|bytes| Leaf::new(&key.to_bytes(), &bytes));
    let mut tree = Tree::of(state.keys().filter_map(leaf));
    let header = BlockHeader {
        number: Height::new(0),
        time: genesis.time,
        parent: BlockId::NONE,
        ledger: None,
        tx_root: [0; 32],
        state_root: tree.root(),
        operator,
    };
    Ok((header, state, tree))
}

/// The last time that a block can have: TRON writes it as a number with a sign.
pub(crate) const LAST_TIME: Timestamp = Timestamp::new(u64::MAX >> 1);
