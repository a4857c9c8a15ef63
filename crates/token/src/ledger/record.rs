//! What a ledger remembers of accounts, tokens and pairs, and the bytes by which each goes into the state root and to disk.

use crate::address::Address;
use crate::channel::adjudicator::{Channel, Phase, VoucherKey};
use crate::channel::vault::{Pending, Vault};
use crate::ids::SchemeId;
use crate::ids::{AssetId, Height, Lane, Timestamp};
use crate::proto::{DecodeError, Field, Reader, Writer};
use crate::units::Units;

/// An account.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Account {
    /// Smallest units of the native coin.
    pub balance: Units,
    /// By which it has signed; [`SchemeId::NONE`] until it has.
    pub scheme: u8,
    /// When it was opened.
    pub created: Timestamp,
    /// What it holds of tokens, by number, rising; nothing of a token is left out.
    pub assets: Vec<(AssetId, Units)>,
    /// The token that it has issued.
    pub issued: Option<AssetId>,
    /// What it gets later of that.
    pub frozen: Vec<Frozen>,
    /// What it has used of the bandwidth that all have for nothing.
    pub free_net: Usage,
    /// Bytes of bandwidth a day that are its own, which on TRON are staked for.
    pub net_limit: u64,
    /// What it has used of those.
    pub net: Usage,
    /// What it has used of the bandwidth that issuers pay for, by token, rising.
    pub asset_net: Vec<(AssetId, Usage)>,
}

/// A part of a token's supply that is not to be had yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Frozen {
    /// Smallest units.
    pub amount: Units,
    /// From then on.
    pub expires: Timestamp,
}

/// What was used of something that comes back in a day.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Usage {
    /// Bytes, as of then.
    pub bytes: u64,
    /// The slot of three seconds.
    pub slot: u64,
}

/// A token.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Asset {
    /// The issuer.
    pub owner: Address,
    /// 1 to 32 visible characters.
    pub name: Vec<u8>,
    /// Up to 32.
    pub abbr: Vec<u8>,
    /// All that there ever is, in smallest units.
    pub total_supply: Units,
    /// So many smallest units of the coin …
    pub trx_num: i32,
    /// … buy so many of the token.
    pub num: i32,
    /// Digits behind the point.
    pub precision: u8,
    /// When the sale begins.
    pub start: Timestamp,
    /// When it has ended.
    pub end: Timestamp,
    /// Up to 200 bytes.
    pub description: Vec<u8>,
    /// 1 to 256 bytes.
    pub url: Vec<u8>,
    /// Bytes a day that the issuer pays for each holder.
    pub net_limit: i64,
    /// Bytes a day that the issuer pays for all holders.
    pub public_net_limit: i64,
    /// What was used of that.
    pub public_net: Usage,
}

/// A pair that anybody may trade against.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Exchange {
    /// Who has made it.
    pub creator: Address,
    /// When.
    pub created: Timestamp,
    /// One side.
    pub first: (AssetId, Units),
    /// The other.
    pub second: (AssetId, Units),
}

/// What there is one of.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Totals {
    /// The number of the last token.
    pub last_token: u64,
    /// The number of the last pair.
    pub last_exchange: u64,
    /// What was burnt of the native coin.
    pub burnt: Units,
    /// What was used of the bandwidth that all share.
    pub public_net: Usage,
}

/// Something that has bytes.
pub(crate) trait Record: Sized {
    fn encode(&self) -> Vec<u8>;
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;
}

impl Account {
    /// What it holds of an asset.
    #[must_use]
    pub fn holds(&self, asset: AssetId) -> Units {
        if asset == AssetId::NATIVE {
            return self.balance;
        }
        let place = self.assets.binary_search_by_key(&asset, |(id, _)| *id).ok();
        place.and_then(|place| self.assets.get(place)).map_or(Units::ZERO, |(_, amount)| *amount)
    }

    /// Sets what it holds of an asset.
    pub(crate) fn set(&mut self, asset: AssetId, amount: Units) {
        if asset == AssetId::NATIVE {
            self.balance = amount;
            return;
        }
        match self.assets.binary_search_by_key(&asset, |(id, _)| *id) {
            Ok(place) if amount.is_zero() => drop(self.assets.remove(place)),
            Ok(place) => self.assets.get_mut(place).into_iter().for_each(|(_, held)| *held = amount),
            Err(_) if amount.is_zero() => {}
            Err(place) => self.assets.insert(place, (asset, amount)),
        }
    }

    /// Takes from what it holds; `None` if it has less.
    #[must_use]
    pub(crate) fn take(&mut self, asset: AssetId, amount: Units) -> Option<()> {
        self.set(asset, self.holds(asset).checked_sub(amount)?);
        Some(())
    }

    /// Adds to what it holds; `None` if that is no amount.
    #[must_use]
    pub(crate) fn give(&mut self, asset: AssetId, amount: Units) -> Option<()> {
        self.set(asset, self.holds(asset).checked_add(amount)?);
        Some(())
    }
}

/// Numbers and runs of bytes under one number, for records that are no messages of TRON's.
struct Tuple(Writer);

impl Tuple {
    fn of(parts: &[u64]) -> Vec<u8> {
        let mut out = Self(Writer::default());
        for (number, part) in (1_u32..).zip(parts) {
            out.0.int(number, part.cast_signed());
        }
        out.0.0
    }

    fn read<const N: usize>(field: Field<'_>) -> Result<[u64; N], DecodeError> {
        let (mut reader, mut out) = (Reader::new(field.message()?), [0; N]);
        while let Some(part) = reader.next()? {
            let place = (part.number as usize).checked_sub(1).and_then(|at| out.get_mut(at));
            *place.ok_or(DecodeError::Field(part.at))? = part.int()?.cast_unsigned();
        }
        Ok(out)
    }
}

fn units(value: u64, at: usize) -> Result<Units, DecodeError> {
    Units::new(value).ok_or(DecodeError::Number(at))
}

fn amount(field: Field<'_>) -> Result<Units, DecodeError> {
    units(field.int()?.cast_unsigned(), field.at)
}

fn number(field: Field<'_>) -> Result<u64, DecodeError> {
    Ok(field.int()?.cast_unsigned())
}

fn address(field: Field<'_>) -> Result<Address, DecodeError> {
    Address::from_slice(field.bytes()?).map_err(|_| DecodeError::Field(field.at))
}

impl Record for Account {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.int(1, self.balance.to_i64());
        out.int(2, self.scheme.into());
        out.int(3, self.created.get().cast_signed());
        self.assets.iter().for_each(|(id, held)| out.message(4, &Tuple::of(&[id.get(), held.get()])));
        out.int(5, self.issued.map_or(0, |id| id.get().cast_signed()));
        self.frozen.iter().for_each(|it| out.message(6, &Tuple::of(&[it.amount.get(), it.expires.get()])));
        if self.free_net != Usage::default() {
            out.message(7, &Tuple::of(&[self.free_net.bytes, self.free_net.slot]));
        }
        out.int(9, self.net_limit.cast_signed());
        if self.net != Usage::default() {
            out.message(10, &Tuple::of(&[self.net.bytes, self.net.slot]));
        }
        self.asset_net.iter().for_each(|(id, it)| out.message(11, &Tuple::of(&[id.get(), it.bytes, it.slot])));
        out.0
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut account, mut reader) = (Self::default(), Reader::new(bytes));
        while let Some(field) = reader.next()? {
            match field.number {
                1 => account.balance = amount(field)?,
                2 => account.scheme = u8::try_from(field.int()?).map_err(|_| DecodeError::Number(field.at))?,
                3 => account.created = Timestamp::new(number(field)?),
                4 => {
                    let [id, held] = Tuple::read(field)?;
                    account.assets.push((AssetId::new(id), units(held, field.at)?));
                }
                5 => account.issued = Some(AssetId::new(number(field)?)),
                6 => {
                    let [amount, expires] = Tuple::read(field)?;
                    account.frozen.push(Frozen { amount: units(amount, field.at)?, expires: Timestamp::new(expires) });
                }
                7 => account.free_net = usage(field)?,
                9 => account.net_limit = number(field)?,
                10 => account.net = usage(field)?,
                11 => {
                    let [id, bytes, slot] = Tuple::read(field)?;
                    account.asset_net.push((AssetId::new(id), Usage { bytes, slot }));
                }
                _ => return Err(DecodeError::Field(field.at)),
            }
        }
        Ok(account)
    }
}

fn usage(field: Field<'_>) -> Result<Usage, DecodeError> {
    let [bytes, slot] = Tuple::read(field)?;
    Ok(Usage { bytes, slot })
}

impl Record for Asset {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(1, self.owner.as_bytes());
        out.bytes(2, &self.name);
        out.bytes(3, &self.abbr);
        out.int(4, self.total_supply.to_i64());
        out.int(5, self.trx_num.into());
        out.int(6, self.num.into());
        out.int(7, self.precision.into());
        out.int(8, self.start.get().cast_signed());
        out.int(9, self.end.get().cast_signed());
        out.bytes(10, &self.description);
        out.bytes(11, &self.url);
        out.int(12, self.net_limit);
        out.int(13, self.public_net_limit);
        if self.public_net != Usage::default() {
            out.message(14, &Tuple::of(&[self.public_net.bytes, self.public_net.slot]));
        }
        out.0
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut reader, mut owner) = (Reader::new(bytes), None);
        let mut asset = Self {
            owner: Address::from_digest(&[0; 32]),
            name: Vec::new(),
            abbr: Vec::new(),
            total_supply: Units::ZERO,
            trx_num: 0,
            num: 0,
            precision: 0,
            start: Timestamp::default(),
            end: Timestamp::default(),
            description: Vec::new(),
            url: Vec::new(),
            net_limit: 0,
            public_net_limit: 0,
            public_net: Usage::default(),
        };
        while let Some(field) = reader.next()? {
            match field.number {
                1 => owner = Some(address(field)?),
                2 => asset.name = field.bytes()?.to_vec(),
                3 => asset.abbr = field.bytes()?.to_vec(),
                4 => asset.total_supply = amount(field)?,
                5 => asset.trx_num = field.int32()?,
                6 => asset.num = field.int32()?,
                7 => asset.precision = u8::try_from(field.int()?).map_err(|_| DecodeError::Number(field.at))?,
                8 => asset.start = Timestamp::new(number(field)?),
                9 => asset.end = Timestamp::new(number(field)?),
                10 => asset.description = field.bytes()?.to_vec(),
                11 => asset.url = field.bytes()?.to_vec(),
                12 => asset.net_limit = field.int()?,
                13 => asset.public_net_limit = field.int()?,
                14 => asset.public_net = usage(field)?,
                _ => return Err(DecodeError::Field(field.at)),
            }
        }
        asset.owner = owner.ok_or(DecodeError::Count("the owner"))?;
        Ok(asset)
    }
}

impl Record for Exchange {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(1, self.creator.as_bytes());
        out.int(2, self.created.get().cast_signed());
        out.message(3, &Tuple::of(&[self.first.0.get(), self.first.1.get()]));
        out.message(4, &Tuple::of(&[self.second.0.get(), self.second.1.get()]));
        out.0
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut reader, mut creator, mut created) = (Reader::new(bytes), None, 0);
        let (mut first, mut second) = (None, None);
        let side = |field: Field<'_>| {
            let [id, held] = Tuple::read(field)?;
            Ok::<_, DecodeError>((AssetId::new(id), units(held, field.at)?))
        };
        while let Some(field) = reader.next()? {
            match field.number {
                1 => creator = Some(address(field)?),
                2 => created = number(field)?,
                3 => first = Some(side(field)?),
                4 => second = Some(side(field)?),
                _ => return Err(DecodeError::Field(field.at)),
            }
        }
        let missing = DecodeError::Count("creator and sides");
        Ok(Self {
            creator: creator.ok_or(missing)?,
            created: Timestamp::new(created),
            first: first.ok_or(missing)?,
            second: second.ok_or(missing)?,
        })
    }
}

impl Record for Totals {
    fn encode(&self) -> Vec<u8> {
        Tuple::of(&[self.last_token, self.last_exchange, self.burnt.get(), self.public_net.bytes, self.public_net.slot])
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut reader, mut parts) = (Reader::new(bytes), [0; 5]);
        while let Some(field) = reader.next()? {
            let place = (field.number as usize).checked_sub(1).and_then(|at| parts.get_mut(at));
            *place.ok_or(DecodeError::Field(field.at))? = number(field)?;
        }
        let [last_token, last_exchange, burnt, bytes, slot] = parts;
        Ok(Self { last_token, last_exchange, burnt: units(burnt, 0)?, public_net: Usage { bytes, slot } })
    }
}

impl Record for Vault {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.int(1, self.liquid().to_i64());
        if let Some(pending) = self.withdrawal() {
            out.message(2, &Tuple::of(&[pending.amount.get(), pending.at.get()]));
        }
        for (payee, reservation) in self.reservations() {
            let mut one = Writer::default();
            one.bytes(1, payee.as_bytes());
            one.int(2, reservation.amount.to_i64());
            if let Some(pending) = reservation.release {
                one.message(3, &Tuple::of(&[pending.amount.get(), pending.at.get()]));
            }
            out.message(3, &one.0);
        }
        out.0
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (mut liquid, mut withdrawal, mut all) = (Units::ZERO, None, Vec::new());
        while let Some(field) = reader.next()? {
            match field.number {
                1 => liquid = amount(field)?,
                2 => withdrawal = Some(pending(field)?),
                3 => {
                    let (mut inner, mut payee, mut held, mut release) =
                        (Reader::new(field.message()?), None, Units::ZERO, None);
                    while let Some(part) = inner.next()? {
                        match part.number {
                            1 => payee = Some(address(part)?),
                            2 => held = amount(part)?,
                            3 => release = Some(pending(part)?),
                            _ => return Err(DecodeError::Field(part.at)),
                        }
                    }
                    all.push((payee.ok_or(DecodeError::Count("the payee"))?, held, release));
                }
                _ => return Err(DecodeError::Field(field.at)),
            }
        }
        Self::from_parts(liquid, withdrawal, all).ok_or(DecodeError::Count("a vault within its limits"))
    }
}

fn pending(field: Field<'_>) -> Result<Pending, DecodeError> {
    let [amount, at] = Tuple::read(field)?;
    Ok(Pending { amount: units(amount, field.at)?, at: Height::new(at) })
}

impl Record for Channel {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(1, self.payer().as_bytes());
        out.bytes(2, self.payee().as_bytes());
        out.int(3, self.asset().get().cast_signed());
        out.int(4, self.deposit().map_or(0, Units::to_i64));
        match self.key() {
            VoucherKey::Signed { scheme, key } => {
                out.int(5, scheme.get().into());
                out.bytes(6, key);
            }
            VoucherKey::HashOnly { anchor, tick_value, max_ticks } => {
                out.message(7, anchor);
                out.message(8, &Tuple::of(&[tick_value.get(), (*max_ticks).into()]));
            }
        }
        out.int(9, self.opened_at().get().cast_signed());
        out.int(10, self.dispute().cast_signed());
        out.int(11, self.claimed().to_i64());
        out.int(12, self.paid().to_i64());
        match self.phase() {
            Phase::Open => {}
            Phase::Closing { deadline, is_extended } => {
                out.message(13, &Tuple::of(&[1, deadline.get(), is_extended.into()]));
            }
            Phase::Done => out.message(13, &Tuple::of(&[2])),
        }
        self.lanes().iter().for_each(|(lane, held)| out.message(14, &Tuple::of(&[lane.get().into(), held.get()])));
        out.0
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (mut payer, mut payee, mut asset, mut deposit) = (None, None, 0, None);
        let (mut scheme, mut key, mut anchor, mut ticks) = (SchemeId::NONE, Vec::new(), None, None);
        let (mut opened_at, mut dispute, mut claimed, mut paid) = (0, 0, Units::ZERO, Units::ZERO);
        let (mut phase, mut lanes) = (Phase::Open, Vec::new());
        while let Some(field) = reader.next()? {
            match field.number {
                1 => payer = Some(address(field)?),
                2 => payee = Some(address(field)?),
                3 => asset = number(field)?,
                4 => deposit = Some(amount(field)?),
                5 => scheme = SchemeId::new(u8::try_from(field.int()?).map_err(|_| DecodeError::Number(field.at))?),
                6 => key = field.bytes()?.to_vec(),
                7 => anchor = field.message()?.try_into().ok(),
                8 => ticks = Some(Tuple::read::<2>(field)?),
                9 => opened_at = number(field)?,
                10 => dispute = number(field)?,
                11 => claimed = amount(field)?,
                12 => paid = amount(field)?,
                13 => {
                    phase = match Tuple::read(field)? {
                        [1, deadline, late @ (0 | 1)] => {
                            Phase::Closing { deadline: Height::new(deadline), is_extended: late == 1 }
                        }
                        [2, 0, 0] => Phase::Done,
                        _ => return Err(DecodeError::Field(field.at)),
                    }
                }
                14 => {
                    let [lane, held] = Tuple::read(field)?;
                    let lane = u32::try_from(lane).map_err(|_| DecodeError::Number(field.at))?;
                    lanes.push((Lane::new(lane), units(held, field.at)?));
                }
                _ => return Err(DecodeError::Field(field.at)),
            }
        }
        let missing = DecodeError::Count("parties and key");
        let key = match (anchor, ticks) {
            (None, None) if scheme != SchemeId::NONE => VoucherKey::Signed { scheme, key },
            (Some(anchor), Some([tick_value, max_ticks])) => VoucherKey::HashOnly {
                anchor,
                tick_value: units(tick_value, 0)?,
                max_ticks: u32::try_from(max_ticks).map_err(|_| missing)?,
            },
            _ => return Err(missing),
        };
        Ok(Self {
            payer: payer.ok_or(missing)?,
            payee: payee.ok_or(missing)?,
            asset: AssetId::new(asset),
            deposit,
            key,
            opened_at: Height::new(opened_at),
            dispute,
            lanes,
            claimed,
            paid,
            phase,
        })
    }
}
