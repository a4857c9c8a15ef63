//! Vaults and channels: money moves between accounts, vaults and channels; what they allow is theirs to say.

use super::{Context, Receipt, burn, opening_fee, owner, receiver};
use crate::address::Address;
use crate::channel::adjudicator::{Channel, ChannelError, Payout, Phase};
use crate::channel::vault::{Vault, VaultError};
use crate::contract::{
    ChannelClaim, ChannelClose, ChannelCloseMutual, ChannelFinish, ChannelOpen, ChannelRelease, ChannelTopUp,
    VaultAllocate, VaultDeposit, VaultRelease, VaultReleaseFinish, VaultWithdraw, VaultWithdrawFinish,
};
use crate::ids::{AssetId, ChannelId, Height};
use crate::ledger::error::{ContractError, words};
use crate::ledger::params::ChainParams;
use crate::ledger::state::Draft;
use crate::units::Units;

type Outcome = Result<Receipt, ContractError>;

pub(super) fn deposit(contract: &VaultDeposit, _cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let (address, asset) = (address(&contract.owner_address)?, asset(&contract.asset_name)?);
    let amount = units(contract.amount)?;
    vault(draft, address, asset).get_or_insert_default().deposit(amount)?;
    owner(draft, &address)?.take(asset, amount).ok_or(words("assetBalance is not sufficient."))?;
    Ok(Receipt::default())
}

pub(super) fn withdraw(contract: &VaultWithdraw, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let (address, asset) = (address(&contract.owner_address)?, asset(&contract.asset_name)?);
    let at = cx.height.saturating_add(cx.params.vault_delay);
    existing(draft, address, asset)?.request_withdrawal(units(contract.amount)?, at)?;
    Ok(Receipt::default())
}

pub(super) fn finish_withdrawal(contract: &VaultWithdrawFinish, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let (address, asset) = (address(&contract.owner_address)?, asset(&contract.asset_name)?);
    let received = existing(draft, address, asset)?.finish_withdrawal(cx.height)?;
    owner(draft, &address)?.give(asset, received).ok_or(ContractError::Overflow)?;
    forget_empty(draft, address, asset);
    Ok(Receipt { received, ..Receipt::default() })
}

pub(super) fn allocate(contract: &VaultAllocate, _cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let (address, asset) = (address(&contract.owner_address)?, asset(&contract.asset_name)?);
    let payee = self::address(&contract.payee_address)?;
    existing(draft, address, asset)?.allocate(payee, units(contract.amount)?)?;
    Ok(Receipt::default())
}

pub(super) fn release_reservation(contract: &VaultRelease, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let (address, asset) = (address(&contract.owner_address)?, asset(&contract.asset_name)?);
    let payee = self::address(&contract.payee_address)?;
    let at = cx.height.saturating_add(cx.params.vault_delay);
    existing(draft, address, asset)?.request_release(&payee, units(contract.amount)?, at)?;
    Ok(Receipt::default())
}

pub(super) fn finish_release(contract: &VaultReleaseFinish, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let (address, asset) = (address(&contract.owner_address)?, asset(&contract.asset_name)?);
    let payee = self::address(&contract.payee_address)?;
    let received = existing(draft, address, asset)?.finish_release(&payee, cx.height)?;
    Ok(Receipt { received, ..Receipt::default() })
}

pub(super) fn open(contract: &ChannelOpen, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let channel = Channel::open(contract, cx.ledger, cx.height, &cx.params.channels, cx.schemes)?;
    let id = Channel::id(contract);
    if draft.channels(&id).is_some() {
        return Err(words("the channel is there already"));
    }
    let (payer, payee, asset) = (channel.payer(), channel.payee(), channel.asset());
    // Without an account the payee could hand in nothing.
    let fee = cx.params.channel_open_fee.checked_add(opening_fee(draft, &payee, cx)).ok_or(ContractError::Overflow)?;
    receiver(draft, payee, cx);
    if let Some(deposit) = channel.deposit() {
        owner(draft, &payer)?.take(asset, deposit).ok_or(words("assetBalance is not sufficient."))?;
    } else {
        draft.vaults(&(payer, asset)).ok_or(words("no such vault"))?;
    }
    burn(draft, &payer, fee)?;
    *draft.channel_mut(id) = Some(channel);
    Ok(Receipt { fee, channel: Some(id), ..Receipt::default() })
}

pub(super) fn top_up(contract: &ChannelTopUp, _cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let (by, amount) = (address(&contract.owner_address)?, units(contract.amount)?);
    let (id, mut channel) = channel(draft, &contract.channel)?;
    channel.top_up(amount)?;
    owner(draft, &by)?.take(channel.asset(), amount).ok_or(words("assetBalance is not sufficient."))?;
    *draft.channel_mut(id) = Some(channel);
    Ok(Receipt { channel: Some(id), ..Receipt::default() })
}

pub(super) fn claim(contract: &ChannelClaim, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let (id, mut channel) = channel(draft, &contract.channel)?;
    let payout = channel.claim(&id, &contract.claims, cx.height, &cx.params.channels, cx.schemes)?;
    pay_out(cx, draft, id, channel, payout)
}

pub(super) fn release(contract: &ChannelRelease, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let by = address(&contract.owner_address)?;
    let (id, mut channel) = channel(draft, &contract.channel)?;
    let payout = channel.release(&id, &by, &contract.claims, cx.height, &cx.params.channels, cx.schemes)?;
    pay_out(cx, draft, id, channel, payout)
}

pub(super) fn close_mutual(contract: &ChannelCloseMutual, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let (id, mut channel) = channel(draft, &contract.channel)?;
    let payout = channel.close_mutual(&id, contract, cx.height, cx.schemes)?;
    pay_out(cx, draft, id, channel, payout)
}

pub(super) fn close(contract: &ChannelClose, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let by = address(&contract.owner_address)?;
    let (id, mut channel) = channel(draft, &contract.channel)?;
    channel.close(&by, cx.height)?;
    *draft.channel_mut(id) = Some(channel);
    Ok(Receipt { channel: Some(id), ..Receipt::default() })
}

pub(super) fn finish(contract: &ChannelFinish, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let (id, mut channel) = channel(draft, &contract.channel)?;
    let payout = channel.finish(cx.height)?;
    pay_out(cx, draft, id, channel, payout)
}

/// Moves what leaves a channel to its parties, and forgets a channel of which nothing can come any more.
fn pay_out(cx: &Context<'_>, draft: &mut Draft<'_>, id: ChannelId, mut channel: Channel, payout: Payout) -> Outcome {
    let (payer, payee, asset) = (channel.payer(), channel.payee(), channel.asset());
    let received = if channel.deposit().is_some() {
        payout.payee
    } else {
        let paid = vault(draft, payer, asset).as_mut().map_or(Units::ZERO, |vault| vault.pay(&payee, payout.payee));
        channel.settle(paid);
        forget_empty(draft, payer, asset);
        paid
    };
    for (party, amount) in [(payee, received), (payer, payout.payer)] {
        if !amount.is_zero() {
            receiver(draft, party, cx).give(asset, amount).ok_or(ContractError::Overflow)?;
        }
    }
    *draft.channel_mut(id) = Some(channel);
    Ok(Receipt { received, channel: Some(id), ..Receipt::default() })
}

/// From which height on a channel can be forgotten, if it is done and all is paid: when its like cannot be opened again.
pub(crate) fn is_over(channel: &Channel, params: &ChainParams) -> Option<Height> {
    let is_over = channel.phase() == Phase::Done && channel.unpaid().is_zero();
    let last = channel.opened_at().saturating_add(params.channels.open_window);
    is_over.then(|| last.saturating_add(1))
}

fn channel(draft: &Draft<'_>, id: &[u8]) -> Result<(ChannelId, Channel), ContractError> {
    let id = ChannelId::new(id.try_into().map_err(|_| ChannelError::Field("channel"))?);
    let channel = draft.channels(&id).cloned().ok_or(words("no such channel"))?;
    Ok((id, channel))
}

fn vault<'d>(draft: &'d mut Draft<'_>, owner: Address, asset: AssetId) -> &'d mut Option<Vault> {
    draft.vault_mut((owner, asset))
}

fn existing<'d>(draft: &'d mut Draft<'_>, owner: Address, asset: AssetId) -> Result<&'d mut Vault, ContractError> {
    vault(draft, owner, asset).as_mut().ok_or(words("no such vault"))
}

fn forget_empty(draft: &mut Draft<'_>, owner: Address, asset: AssetId) {
    let vault = vault(draft, owner, asset);
    if vault.as_ref().is_some_and(|it| it.total().is_zero() && *it == Vault::default()) {
        *vault = None;
    }
}

fn address(bytes: &[u8]) -> Result<Address, ContractError> {
    Address::from_slice(bytes).map_err(|error| ChannelError::from(error).into())
}

fn asset(name: &[u8]) -> Result<AssetId, ContractError> {
    AssetId::parse(name).ok_or(words("No asset!"))
}

fn units(amount: i64) -> Result<Units, ContractError> {
    Units::try_from(amount).map_err(|_| VaultError::Amount.into())
}
