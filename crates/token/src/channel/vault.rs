//! Vaults: one deposit out of which many payees are paid. A part that is reserved for a payee is sure for it; the rest is credit, first come, first served.
//!
//! A reservation grows at once and shrinks only after a delay, in which the payee can claim. The same goes for taking money out.

use crate::address::Address;
use crate::ids::Height;
use crate::units::Units;
use std::collections::BTreeMap;

/// The vault of one owner and one asset.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Vault {
    liquid: Units,
    reserved: Units,
    hard: BTreeMap<Address, Reservation>,
    withdrawal: Option<Pending>,
}

/// What is sure for one payee.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Reservation {
    /// Smallest units.
    pub amount: Units,
    /// What shall be taken from it.
    pub release: Option<Pending>,
}

/// Something that was announced and may be done later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Pending {
    /// Smallest units.
    pub amount: Units,
    /// From this height on.
    pub at: Height,
}

/// Something that a vault does not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// There is not as much.
    #[error("{needed} units are needed, there are {has}")]
    Insufficient {
        /// What it would take.
        needed: Units,
        /// What there is.
        has: Units,
    },
    /// It has to wait.
    #[error("possible from height {0} on")]
    TooEarly(Height),
    /// It was not announced.
    #[error("nothing was announced")]
    NotAnnounced,
    /// There are as many payees as there may be.
    #[error("a vault has {MAX_PAYEES} payees at most")]
    TooManyPayees,
    /// The amount is nothing, or more than can be.
    #[error("the amount is nothing or too large")]
    Amount,
}

impl Vault {
    /// Adds to what is liquid.
    ///
    /// # Errors
    /// If the amount is nothing, or the sum none.
    pub fn deposit(&mut self, amount: Units) -> Result<(), VaultError> {
        let all = self.total().checked_add(amount).filter(|_| !amount.is_zero());
        all.ok_or(VaultError::Amount)?;
        self.liquid = self.liquid.checked_add(amount).ok_or(VaultError::Amount)?;
        Ok(())
    }

    /// Announces that so much shall be taken out; nothing takes an announcement back.
    ///
    /// # Errors
    /// If less is liquid.
    pub fn request_withdrawal(&mut self, amount: Units, at: Height) -> Result<(), VaultError> {
        self.liquid.checked_sub(amount).ok_or(VaultError::Insufficient { needed: amount, has: self.liquid })?;
        self.withdrawal = (!amount.is_zero()).then_some(Pending { amount, at });
        Ok(())
    }

    /// Takes out what was announced, or as much as is liquid yet.
    ///
    /// # Errors
    /// If nothing was announced, or its time has not come.
    pub fn finish_withdrawal(&mut self, height: Height) -> Result<Units, VaultError> {
        let pending = self.withdrawal.ok_or(VaultError::NotAnnounced)?;
        if height < pending.at {
            return Err(VaultError::TooEarly(pending.at));
        }
        let amount = pending.amount.min(self.liquid);
        self.liquid = self.liquid.saturating_sub(amount);
        self.withdrawal = None;
        Ok(amount)
    }

    /// Reserves more for a payee, out of what is liquid.
    ///
    /// # Errors
    /// If less is liquid, or there are too many payees.
    pub fn allocate(&mut self, payee: Address, amount: Units) -> Result<(), VaultError> {
        if amount.is_zero() {
            return Err(VaultError::Amount);
        }
        let insufficient = VaultError::Insufficient { needed: amount, has: self.liquid };
        let liquid = self.liquid.checked_sub(amount).ok_or(insufficient)?;
        if self.hard.len() >= MAX_PAYEES && !self.hard.contains_key(&payee) {
            return Err(VaultError::TooManyPayees);
        }
        let reserved = self.reserved.checked_add(amount).ok_or(VaultError::Amount)?;
        let reservation = self.hard.entry(payee).or_insert(Reservation { amount: Units::ZERO, release: None });
        reservation.amount = reservation.amount.checked_add(amount).ok_or(VaultError::Amount)?;
        (self.liquid, self.reserved) = (liquid, reserved);
        Ok(())
    }

    /// Announces that a reservation shall shrink; nothing takes an announcement back.
    ///
    /// # Errors
    /// If less is reserved.
    pub fn request_release(&mut self, payee: &Address, amount: Units, at: Height) -> Result<(), VaultError> {
        let insufficient = |has| VaultError::Insufficient { needed: amount, has };
        let reservation = self.hard.get_mut(payee).ok_or(insufficient(Units::ZERO))?;
        reservation.amount.checked_sub(amount).ok_or(insufficient(reservation.amount))?;
        reservation.release = (!amount.is_zero()).then_some(Pending { amount, at });
        self.take_reserved(payee, Units::ZERO);
        Ok(())
    }

    /// Shrinks a reservation as announced, or by as much as is left of it. Returns by how much.
    ///
    /// # Errors
    /// If nothing was announced, or its time has not come.
    pub fn finish_release(&mut self, payee: &Address, height: Height) -> Result<Units, VaultError> {
        let reservation = self.hard.get_mut(payee).ok_or(VaultError::NotAnnounced)?;
        let pending = reservation.release.ok_or(VaultError::NotAnnounced)?;
        if height < pending.at {
            return Err(VaultError::TooEarly(pending.at));
        }
        let amount = pending.amount.min(reservation.amount);
        reservation.release = None;
        self.take_reserved(payee, amount);
        // What is both liquid and reserved never was more than an amount.
        self.liquid = self.liquid.checked_add(amount).unwrap_or(Units::MAX);
        Ok(amount)
    }

    /// Pays a payee what is due, or as much as there is: out of its reservation first, then out of what is liquid.
    #[must_use]
    pub fn pay(&mut self, payee: &Address, due: Units) -> Units {
        let hard = self.hard.get(payee).map_or(Units::ZERO, |it| it.amount).min(due);
        self.take_reserved(payee, hard);
        let soft = due.saturating_sub(hard).min(self.liquid);
        self.liquid = self.liquid.saturating_sub(soft);
        hard.checked_add(soft).unwrap_or(due)
    }

    /// What is reserved for nobody.
    #[must_use]
    pub const fn liquid(&self) -> Units {
        self.liquid
    }

    /// All that is in it.
    #[must_use]
    pub fn total(&self) -> Units {
        self.liquid.checked_add(self.reserved).unwrap_or(Units::MAX)
    }

    /// What is reserved, by payee.
    pub fn reservations(&self) -> impl Iterator<Item = (&Address, &Reservation)> {
        self.hard.iter()
    }

    /// What shall be taken out.
    #[must_use]
    pub const fn withdrawal(&self) -> Option<Pending> {
        self.withdrawal
    }

    /// What a payee can count on at a height: its reservation without what may be taken from it by then.
    #[must_use]
    pub fn sure_for(&self, payee: &Address, until: Height) -> Units {
        let Some(reservation) = self.hard.get(payee) else { return Units::ZERO };
        let leaving = reservation.release.filter(|it| it.at <= until).map_or(Units::ZERO, |it| it.amount);
        reservation.amount.saturating_sub(leaving)
    }

    /// A vault that was written down; `None` if it breaks the rules of one.
    pub(crate) fn from_parts(
        liquid: Units,
        withdrawal: Option<Pending>,
        all: impl IntoIterator<Item = (Address, Units, Option<Pending>)>,
    ) -> Option<Self> {
        let mut vault = Self { liquid, withdrawal, ..Self::default() };
        for (payee, amount, release) in all {
            vault.reserved = vault.reserved.checked_add(amount)?;
            let is_new = vault.hard.insert(payee, Reservation { amount, release }).is_none();
            Some(()).filter(|()| is_new && vault.hard.len() <= MAX_PAYEES)?;
        }
        vault.liquid.checked_add(vault.reserved).map(|_| vault)
    }

    /// Takes from a reservation; one of nothing goes away.
    fn take_reserved(&mut self, payee: &Address, amount: Units) {
        let Some(reservation) = self.hard.get_mut(payee) else { return };
        let amount = amount.min(reservation.amount);
        reservation.amount = reservation.amount.saturating_sub(amount);
        self.reserved = self.reserved.saturating_sub(amount);
        if reservation.amount.is_zero() && reservation.release.is_none() {
            self.hard.remove(payee);
        }
    }
}

/// Payees of one vault, at most.
pub const MAX_PAYEES: usize = 1024;

#[cfg(test)]
mod tests;
