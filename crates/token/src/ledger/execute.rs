//! What contracts do.

mod asset;
mod bandwidth;
mod channels;
mod exchange;
mod native;

use super::error::{ContractError, words};
use super::params::ChainParams;
use super::record::Account;
use super::state::Draft;
use crate::address::Address;
use crate::contract::Contract;
use crate::ids::{AssetId, ChannelId, Height, LedgerId, Timestamp};
use crate::proto::{DecodeError, Reader, Writer};
use crate::scheme::Schemes;
use crate::units::Units;

pub(crate) use bandwidth::charge;
pub(crate) use channels::is_over;

/// What a contract is carried out under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) ledger: &'a LedgerId,
    pub(crate) params: &'a ChainParams,
    pub(crate) schemes: &'a Schemes,
    /// The block that it will stand in.
    pub(crate) height: Height,
    /// The time of the block before: java-tron's head block time.
    pub(crate) head_time: Timestamp,
}

/// What came of a transaction.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Receipt {
    /// What it cost, in smallest units of the coin, bandwidth apart.
    pub fee: Units,
    /// What was burnt for bandwidth.
    pub net_fee: Units,
    /// Bytes of bandwidth that it took.
    pub net_usage: u64,
    /// The token that it has issued.
    pub issued: Option<AssetId>,
    /// The pair that it has made or traded against.
    pub exchange: Option<u64>,
    /// What a sale, a trade, a claim or supply that is not frozen any more has brought, or what came from or went to the side of a pair that
    /// the contract does not name.
    pub received: Units,
    /// The channel that it was about.
    pub channel: Option<ChannelId>,
}

impl Receipt {
    /// Adds what a transaction costs whatever it does.
    pub(crate) fn add(&mut self, charged: &Self) {
        self.fee = self.fee.checked_add(charged.fee).unwrap_or(Units::MAX);
        (self.net_fee, self.net_usage) = (charged.net_fee, charged.net_usage);
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.int(1, self.fee.to_i64());
        out.int(2, self.net_fee.to_i64());
        out.int(3, self.net_usage.cast_signed());
        out.int(4, self.issued.map_or(0, |it| it.get().cast_signed()));
        out.int(5, self.exchange.map_or(0, u64::cast_signed));
        out.int(6, self.received.to_i64());
        out.bytes(7, self.channel.as_ref().map_or(&[], |it| &it.as_bytes()[..]));
        out.0
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut receipt, mut reader) = (Self::default(), Reader::new(bytes));
        while let Some(field) = reader.next()? {
            let units = || Units::try_from(field.int()?).map_err(|_| DecodeError::Number(field.at));
            match field.number {
                1 => receipt.fee = units()?,
                2 => receipt.net_fee = units()?,
                3 => receipt.net_usage = field.int()?.cast_unsigned(),
                4 => receipt.issued = Some(AssetId::new(field.int()?.cast_unsigned())),
                5 => receipt.exchange = Some(field.int()?.cast_unsigned()),
                6 => receipt.received = units()?,
                7 => receipt.channel = field.bytes()?.try_into().ok().map(ChannelId::new),
                _ => return Err(DecodeError::Field(field.at)),
            }
        }
        Ok(receipt)
    }
}

/// Carries out a contract, or says why not; what it leaves in the draft then is of no use.
pub(crate) fn execute(contract: &Contract, cx: &Context<'_>, draft: &mut Draft<'_>) -> Result<Receipt, ContractError> {
    match contract {
        Contract::AccountCreate(it) => native::create_account(it, cx, draft),
        Contract::Transfer(it) => native::transfer(it, cx, draft),
        Contract::TransferAsset(it) => asset::transfer(it, cx, draft),
        Contract::AssetIssue(it) => asset::issue(it, cx, draft),
        Contract::ParticipateAssetIssue(it) => asset::participate(it, cx, draft),
        Contract::UnfreezeAsset(it) => asset::unfreeze(it, cx, draft),
        Contract::UpdateAsset(it) => asset::update(it, cx, draft),
        Contract::ExchangeCreate(it) => exchange::create(it, cx, draft),
        Contract::ExchangeInject(it) => exchange::inject(it, cx, draft),
        Contract::ExchangeWithdraw(it) => exchange::withdraw(it, cx, draft),
        Contract::ExchangeTransaction(it) => exchange::trade(it, cx, draft),
        Contract::VaultDeposit(it) => channels::deposit(it, cx, draft),
        Contract::VaultWithdraw(it) => channels::withdraw(it, cx, draft),
        Contract::VaultWithdrawFinish(it) => channels::finish_withdrawal(it, cx, draft),
        Contract::VaultAllocate(it) => channels::allocate(it, cx, draft),
        Contract::VaultRelease(it) => channels::release_reservation(it, cx, draft),
        Contract::VaultReleaseFinish(it) => channels::finish_release(it, cx, draft),
        Contract::ChannelOpen(it) => channels::open(it, cx, draft),
        Contract::ChannelTopUp(it) => channels::top_up(it, cx, draft),
        Contract::ChannelClaim(it) => channels::claim(it, cx, draft),
        Contract::ChannelRelease(it) => channels::release(it, cx, draft),
        Contract::ChannelCloseMutual(it) => channels::close_mutual(it, cx, draft),
        Contract::ChannelClose(it) => channels::close(it, cx, draft),
        Contract::ChannelFinish(it) => channels::finish(it, cx, draft),
    }
}

/// The owner's account, which has to be there.
fn owner<'d>(draft: &'d mut Draft<'_>, address: &Address) -> Result<&'d mut Account, ContractError> {
    draft.account_mut(*address).as_mut().ok_or(ContractError::NoAccount(*address))
}

/// The address in a field, or the contract's word for it that it is none.
fn address(bytes: &[u8], otherwise: &'static str) -> Result<Address, ContractError> {
    Address::from_slice(bytes).map_err(|_| words(otherwise))
}

fn require(condition: bool, otherwise: &'static str) -> Result<(), ContractError> {
    condition.then_some(()).ok_or(words(otherwise))
}

/// An amount that is more than nothing.
fn positive(amount: i64, otherwise: &'static str) -> Result<Units, ContractError> {
    Units::try_from(amount).ok().filter(|it| !it.is_zero()).ok_or(words(otherwise))
}

/// The account of who receives something, opened if need be.
fn receiver<'d>(draft: &'d mut Draft<'_>, to: Address, cx: &Context<'_>) -> &'d mut Account {
    draft.account_mut(to).get_or_insert_with(|| Account { created: cx.head_time, ..Account::default() })
}

/// What a transaction that opens an account costs besides; nothing if the account is there.
fn opening_fee(draft: &Draft<'_>, to: &Address, cx: &Context<'_>) -> Units {
    if draft.accounts(to).is_some() { Units::ZERO } else { cx.params.create_new_account_fee }
}

/// Burns a fee out of an account.
fn burn(draft: &mut Draft<'_>, payer: &Address, fee: Units) -> Result<(), ContractError> {
    if fee.is_zero() {
        return Ok(());
    }
    owner(draft, payer)?.take(AssetId::NATIVE, fee).ok_or(words("No enough balance for fee!"))?;
    let totals = draft.totals_mut();
    totals.burnt = totals.burnt.checked_add(fee).ok_or(ContractError::Overflow)?;
    Ok(())
}

#[cfg(test)]
mod tests;
