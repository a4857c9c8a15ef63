//! The native coin: accounts are opened, and amounts move. Order and words are java-tron's.

use super::{Context, Receipt, address, burn, opening_fee, owner, positive, receiver};
use crate::contract::{AccountCreate, Transfer};
use crate::ids::AssetId;
use crate::ledger::error::{ContractError, words};
use crate::ledger::state::Draft;

type Outcome = Result<Receipt, ContractError>;

pub(super) fn create_account(contract: &AccountCreate, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let by = address(&contract.owner_address, "Invalid ownerAddress")?;
    let fee = cx.params.create_new_account_fee;
    let payer = draft.accounts(&by).ok_or(ContractError::NoOwner(by))?;
    if payer.balance < fee {
        return Err(words("Validate CreateAccountActuator error, insufficient fee."));
    }
    let account = address(&contract.account_address, "Invalid account address")?;
    if draft.accounts(&account).is_some() {
        return Err(words("Account has existed"));
    }
    receiver(draft, account, cx);
    burn(draft, &by, fee)?;
    Ok(Receipt { fee, ..Receipt::default() })
}

pub(super) fn transfer(contract: &Transfer, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let by = address(&contract.owner_address, "Invalid ownerAddress!")?;
    let to = address(&contract.to_address, "Invalid toAddress!")?;
    if by == to {
        return Err(words("Cannot transfer TRX to yourself."));
    }
    let payer = draft.accounts(&by).ok_or(words("Validate TransferContract error, no OwnerAccount."))?;
    let amount = positive(contract.amount, "Amount must be greater than 0.")?;
    let fee = opening_fee(draft, &to, cx);
    if payer.balance < amount.checked_add(fee).ok_or(ContractError::Overflow)? {
        return Err(words("Validate TransferContract error, balance is not sufficient."));
    }
    receiver(draft, to, cx).give(AssetId::NATIVE, amount).ok_or(ContractError::Overflow)?;
    burn(draft, &by, fee)?;
    owner(draft, &by)?.take(AssetId::NATIVE, amount).ok_or(ContractError::Overflow)?;
    Ok(Receipt { fee, ..Receipt::default() })
}
