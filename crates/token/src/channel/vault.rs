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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn units(units: u64) -> Units {
        Units::new(units).unwrap()
    }

    fn payee(number: u8) -> Address {
        Address::from_digest(&[number; 32])
    }

    #[test]
    fn a_reservation_is_paid_first_and_the_rest_out_of_what_is_liquid() {
        let mut vault = Vault::default();
        vault.deposit(units(100)).unwrap();
        vault.allocate(payee(1), units(30)).unwrap();
        assert_eq!((vault.liquid(), vault.total()), (units(70), units(100)));
        assert_eq!(vault.pay(&payee(1), units(20)), units(20));
        assert_eq!(vault.pay(&payee(2), units(60)), units(60));
        assert_eq!(vault.pay(&payee(1), units(50)), units(20));
        assert_eq!(vault.pay(&payee(1), units(1)), Units::ZERO);
        assert_eq!(vault, Vault::default());
    }

    #[test]
    fn a_reservation_shrinks_only_when_its_time_has_come_and_by_what_is_left() {
        let mut vault = Vault::default();
        vault.deposit(units(100)).unwrap();
        vault.allocate(payee(1), units(30)).unwrap();
        let missing = VaultError::Insufficient { needed: units(31), has: units(30) };
        assert_eq!(vault.request_release(&payee(1), units(31), Height::new(10)), Err(missing));
        assert_eq!(vault.finish_release(&payee(1), Height::new(10)), Err(VaultError::NotAnnounced));
        vault.request_release(&payee(1), units(25), Height::new(10)).unwrap();
        assert_eq!(vault.sure_for(&payee(1), Height::new(9)), units(30));
        assert_eq!(vault.sure_for(&payee(1), Height::new(10)), units(5));
        assert_eq!(vault.finish_release(&payee(1), Height::new(9)), Err(VaultError::TooEarly(Height::new(10))));
        assert_eq!(vault.pay(&payee(1), units(20)), units(20));
        assert_eq!(vault.finish_release(&payee(1), Height::new(10)), Ok(units(10)));
        assert_eq!((vault.liquid(), vault.total()), (units(80), units(80)));
        assert_eq!(vault.reservations().count(), 0);
        assert_eq!(vault.finish_release(&payee(1), Height::new(10)), Err(VaultError::NotAnnounced));
    }

    #[test]
    fn an_announcement_of_nothing_takes_one_back() {
        let mut vault = Vault::default();
        vault.deposit(units(100)).unwrap();
        vault.allocate(payee(1), units(30)).unwrap();
        vault.request_release(&payee(1), units(25), Height::new(10)).unwrap();
        vault.request_release(&payee(1), Units::ZERO, Height::new(10)).unwrap();
        assert_eq!(vault.finish_release(&payee(1), Height::new(10)), Err(VaultError::NotAnnounced));
        vault.request_withdrawal(units(70), Height::new(10)).unwrap();
        vault.request_withdrawal(Units::ZERO, Height::new(10)).unwrap();
        assert_eq!(vault.finish_withdrawal(Height::new(10)), Err(VaultError::NotAnnounced));
        assert_eq!(vault.withdrawal(), None);
    }

    #[test]
    fn money_leaves_only_when_its_time_has_come_and_only_what_is_liquid_then() {
        let mut vault = Vault::default();
        assert_eq!(vault.deposit(Units::ZERO), Err(VaultError::Amount));
        vault.deposit(units(100)).unwrap();
        assert_eq!(vault.deposit(Units::MAX), Err(VaultError::Amount));
        let missing = VaultError::Insufficient { needed: units(101), has: units(100) };
        assert_eq!(vault.request_withdrawal(units(101), Height::new(5)), Err(missing));
        vault.request_withdrawal(units(100), Height::new(5)).unwrap();
        assert_eq!(vault.finish_withdrawal(Height::new(4)), Err(VaultError::TooEarly(Height::new(5))));
        vault.allocate(payee(1), units(60)).unwrap();
        assert_eq!(vault.finish_withdrawal(Height::new(5)), Ok(units(40)));
        assert_eq!(vault.total(), units(60));
        assert_eq!(vault.allocate(payee(1), Units::ZERO), Err(VaultError::Amount));
        let missing = VaultError::Insufficient { needed: units(1), has: Units::ZERO };
        assert_eq!(vault.allocate(payee(1), units(1)), Err(missing));
    }

    #[test]
    fn payees_are_limited() {
        let mut vault = Vault::default();
        vault.deposit(units(5000)).unwrap();
        let payee = |number: usize| {
            let mut digest = [0; 32];
            digest[24..].copy_from_slice(&number.to_be_bytes());
            Address::from_digest(&digest)
        };
        for number in 0..MAX_PAYEES {
            vault.allocate(payee(number), units(1)).unwrap();
        }
        assert_eq!(vault.allocate(payee(MAX_PAYEES), units(1)), Err(VaultError::TooManyPayees));
        assert_eq!(vault.allocate(payee(0), units(1)), Ok(()));
    }

    proptest! {
        /// Whatever is done, and in whichever order: what went in is there or went out, and reservations are covered.
        #[test]
        fn money_is_conserved(steps in proptest::collection::vec((0..7_u8, 0..3_u8, 0..50_u64), 0..60)) {
            let (mut vault, mut put_in, mut out) = (Vault::default(), 0, 0);
            for (height, (what, who, amount)) in steps.into_iter().enumerate() {
                let (who, amount, now) = (payee(who), units(amount), Height::new(height as u64));
                let later = now.saturating_add(3);
                match what {
                    0 => put_in += vault.deposit(amount).map_or(0, |()| amount.get()),
                    1 => drop(vault.allocate(who, amount)),
                    2 => drop(vault.request_release(&who, amount, later)),
                    3 => drop(vault.finish_release(&who, now)),
                    4 => drop(vault.request_withdrawal(amount, later)),
                    5 => out += vault.finish_withdrawal(now).map_or(0, Units::get),
                    _ => {
                        let sure = vault.sure_for(&who, now).min(amount);
                        let paid = vault.pay(&who, amount);
                        prop_assert!(paid >= sure && paid <= amount);
                        out += paid.get();
                    }
                }
                let hard: u64 = vault.reservations().map(|(_, it)| it.amount.get()).sum();
                prop_assert_eq!(vault.liquid().get() + hard, put_in - out);
                prop_assert_eq!(vault.total().get(), put_in - out);
            }
        }
    }
}
