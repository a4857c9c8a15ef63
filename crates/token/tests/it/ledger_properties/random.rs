//! Transactions of all kinds, good and bad ones, as they come.

use crate::world::World;
use unchoke_core::{Rng, Seed};
use unchoke_token::contract::{
    AccountCreate, AssetIssue, ChannelClaim, ChannelClose, ChannelCloseMutual, ChannelFinish, ChannelOpen,
    ChannelRelease, ChannelTopUp, ExchangeCreate, ExchangeInject, ExchangeTransaction, ExchangeWithdraw, FrozenSupply,
    LaneClaim, ParticipateAssetIssue, Transfer, TransferAsset, UnfreezeAsset, UpdateAsset, VaultAllocate, VaultDeposit,
    VaultRelease, VaultReleaseFinish, VaultWithdraw, VaultWithdrawFinish,
};
use unchoke_token::ledger::Ledger as _;
use unchoke_token::tick::TickChain;
use unchoke_token::voucher::{Claim, CloseStatement, SignedVoucher, Voucher};
use unchoke_token::{AssetId, ChannelId, Contract, Height, Lane, SchemeId, Seq, Signable, Signer as _, Units};

/// A channel that was opened.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) id: ChannelId,
    pub(crate) payer: usize,
    pub(crate) payee: usize,
    /// What its ticks come from, if it takes no vouchers.
    chain: Option<TickChain>,
}

/// Where the transactions come from.
pub(crate) struct Source {
    pub(crate) rng: Rng,
    /// Of late.
    pub(crate) channels: Vec<Opened>,
    /// The one that the last contract opens, if it does.
    opening: Option<Opened>,
}

impl Source {
    pub(crate) fn new(seed: u32) -> Self {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&seed.to_le_bytes());
        Self { rng: Seed::new(bytes).rng(), channels: Vec::new(), opening: None }
    }

    /// The last contract was taken.
    pub(crate) fn handle_taken(&mut self) {
        self.channels.extend(self.opening.take());
        if self.channels.len() > 10 {
            self.channels.remove(0);
        }
    }

    pub(crate) fn one_in(&mut self, times: u32) -> bool {
        self.rng.below(times) == 0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.rng.below(u32::try_from(bound).unwrap()) as usize
    }

    /// An account; most often one of the first three, so that they meet again.
    pub(crate) fn somebody(&mut self, world: &World) -> usize {
        let bound = if self.one_in(5) { world.accounts.len() } else { 3 };
        self.below(bound)
    }

    /// What somebody wants to do, and who.
    pub(crate) fn contract(&mut self, world: &World) -> (usize, Contract) {
        let by = self.somebody(world);
        self.opening = None;
        match self.rng.below(4) {
            0 => (by, self.asset_contract(world, by)),
            1 => self.exchange_contract(world, by),
            2 => (by, self.vault_contract(world, by)),
            _ => self.channel_contract(world, by),
        }
    }

    fn asset_contract(&mut self, world: &World, by: usize) -> Contract {
        let owner_address = self.address(world, by);
        let to_address = {
            let other = self.somebody(world);
            self.address(world, other)
        };
        let asset_name = self.asset(world);
        let amount = self.amount(world, by, &asset_name);
        match self.rng.below(7) {
            0 => AccountCreate { owner_address, account_address: to_address, kind: 0 }.into(),
            1 => {
                let amount = self.amount(world, by, b"_");
                Transfer { owner_address, to_address, amount }.into()
            }
            2 => TransferAsset { asset_name, owner_address, to_address, amount }.into(),
            3 => self.issue(world, owner_address, amount),
            4 => {
                let issuer = AssetId::parse(&asset_name).and_then(|id| world.ledger.asset(id));
                let to_address = issuer.map_or(to_address, |asset| asset.owner.as_bytes().to_vec());
                ParticipateAssetIssue { owner_address, to_address, asset_name, amount: i64::from(self.rng.below(5000)) }
                    .into()
            }
            5 => UnfreezeAsset { owner_address }.into(),
            _ => {
                let (new_limit, new_public_limit) = (self.small(), self.small() * 100);
                UpdateAsset {
                    owner_address,
                    description: b"new".to_vec(),
                    url: b"u".to_vec(),
                    new_limit,
                    new_public_limit,
                }
                .into()
            }
        }
    }

    fn issue(&mut self, world: &World, owner_address: Vec<u8>, amount: i64) -> Contract {
        let head = world.ledger.head().time.get() as i64;
        let frozen = |rng: &mut Rng| FrozenSupply {
            frozen_amount: i64::from(rng.below(500)),
            frozen_days: i64::from(rng.below(3)),
        };
        let count = self.below(3);
        let start_time = head + i64::from(self.rng.below(4000));
        AssetIssue {
            owner_address,
            name: b"Token".to_vec(),
            total_supply: if self.one_in(4) { amount } else { 100_000 },
            frozen_supply: (0..count).map(|_| frozen(&mut self.rng)).collect(),
            trx_num: self.rng.below(9) as i32,
            precision: self.rng.below(8) as i32,
            num: self.rng.below(9) as i32,
            start_time,
            end_time: start_time + i64::from(self.rng.below(400_000_000)),
            url: b"url".to_vec(),
            free_asset_net_limit: self.small() * 5,
            public_free_asset_net_limit: self.small() * 50,
            ..AssetIssue::default()
        }
        .into()
    }

    fn exchange_contract(&mut self, world: &World, by: usize) -> (usize, Contract) {
        let last = u32::try_from(world.ledger.totals().last_exchange).unwrap();
        let exchange_id = i64::from(self.rng.below(last)) + i64::from(!self.one_in(30));
        let pair = world.ledger.exchange(exchange_id.unsigned_abs()).filter(|_| !self.one_in(15));
        let (mut by, kind) = (by, self.rng.below(5));
        let Some(pair) = pair.filter(|_| kind > 0) else {
            let owner_address = self.address(world, by);
            let (first_token_id, second_token_id) = (self.asset(world), self.asset(world));
            let contract = ExchangeCreate {
                owner_address,
                first_token_balance: self.amount(world, by, &first_token_id),
                second_token_balance: self.amount(world, by, &second_token_id),
                first_token_id,
                second_token_id,
            };
            return (by, contract.into());
        };
        if kind < 3 && !self.one_in(10) {
            by = (0..world.accounts.len()).find(|it| world.address(*it) == pair.creator).unwrap();
        }
        let owner_address = self.address(world, by);
        let (id, held) = if self.one_in(2) { pair.first } else { pair.second };
        let token_id = if self.one_in(20) { self.asset(world) } else { id.name().into_bytes() };
        let quant = match self.rng.below(8) {
            0 => self.amount(world, by, &token_id),
            1 => held.to_i64(),
            _ => held.to_i64() / 2_i64.pow(self.rng.below(6)),
        };
        let contract = match kind {
            1 => ExchangeInject { owner_address, exchange_id, token_id, quant }.into(),
            2 => ExchangeWithdraw { owner_address, exchange_id, token_id, quant }.into(),
            _ => {
                let expected = i64::from(self.rng.below(3));
                ExchangeTransaction { owner_address, exchange_id, token_id, quant, expected }.into()
            }
        };
        (by, contract)
    }

    fn vault_contract(&mut self, world: &World, by: usize) -> Contract {
        let owner_address = self.address(world, by);
        let asset_name = if self.one_in(3) { self.asset(world) } else { b"_".to_vec() };
        let vault = AssetId::parse(&asset_name).and_then(|asset| world.ledger.vault(&world.address(by), asset));
        let known: Vec<_> = vault.iter().flat_map(|it| it.reservations()).map(|(payee, _)| *payee).collect();
        let payee = self.rng.choose(&known).copied().filter(|_| !self.one_in(4));
        let payee = payee.unwrap_or_else(|| world.address(self.somebody(world)));
        let payee_address = payee.as_bytes().to_vec();
        let amount = self.amount(world, by, &asset_name);
        let small = self.small();
        match self.rng.below(6) {
            0 => VaultDeposit { owner_address, asset_name, amount }.into(),
            1 => VaultWithdraw { owner_address, asset_name, amount: small }.into(),
            2 => VaultWithdrawFinish { owner_address, asset_name }.into(),
            3 => VaultAllocate { owner_address, payee_address, asset_name, amount: small }.into(),
            4 => VaultRelease { owner_address, payee_address, asset_name, amount: small / 8 }.into(),
            _ => VaultReleaseFinish { owner_address, payee_address, asset_name }.into(),
        }
    }

    fn channel_contract(&mut self, world: &World, by: usize) -> (usize, Contract) {
        let kind = self.rng.below(14);
        let known = self.below(self.channels.len().max(1));
        let Some(known) = self.channels.get(known).cloned().filter(|_| kind > 1) else {
            return (by, self.open(world, by));
        };
        let by = match kind {
            2 | 3 | 7 => by,
            4 | 5 => known.payer,
            _ => known.payee,
        };
        let by = if self.one_in(10) { self.somebody(world) } else { by };
        let owner_address = self.address(world, by);
        let channel = if self.one_in(20) { vec![1; 32] } else { known.id.as_bytes().to_vec() };
        let contract = match kind {
            2 => ChannelTopUp { owner_address, channel, amount: self.amount(world, by, b"_") }.into(),
            3 => ChannelFinish { owner_address, channel }.into(),
            4 => ChannelClose { owner_address, channel }.into(),
            5 => self.close_mutual(world, &known, owner_address, channel),
            6 => {
                let claims = if self.one_in(3) { Vec::new() } else { self.claims(world, &known) };
                ChannelRelease { owner_address, channel, claims }.into()
            }
            7 => self.open(world, by),
            _ => ChannelClaim { owner_address, channel, claims: self.claims(world, &known) }.into(),
        };
        (by, contract)
    }

    fn open(&mut self, world: &World, by: usize) -> Contract {
        let payee = self.somebody(world);
        let asset_name = if self.one_in(3) { self.asset(world) } else { b"_".to_vec() };
        let head = world.ledger.head().number.get();
        let mut salt = vec![0; 16];
        self.rng.fill(&mut salt);
        let mut open = ChannelOpen {
            owner_address: self.address(world, by),
            payee_address: self.address(world, payee),
            asset_name,
            deposit: if self.one_in(2) { 0 } else { self.small() },
            salt,
            ledger: if self.one_in(20) { vec![1; 32] } else { world.ledger.id().as_bytes().to_vec() },
            opened_at: head.saturating_sub(u64::from(self.rng.below(10))) as i64,
            dispute: i64::from(1 + self.rng.below(6)),
            ..ChannelOpen::default()
        };
        let chain = if self.one_in(3) {
            (open.tick_value, open.max_ticks) = (i64::from(self.rng.below(20)), 20);
            let chain = TickChain::new(unchoke_token::channel::Channel::id(&open), &Seed::new([9; 32]), 20);
            open.anchor = chain.anchor().to_vec();
            Some(chain)
        } else {
            (open.voucher_scheme, open.voucher_key) = (SchemeId::ED25519.get().into(), world.accounts[by].public_key());
            None
        };
        let id = unchoke_token::channel::Channel::id(&open);
        self.opening = Some(Opened { id, payer: by, payee, chain });
        open.into()
    }

    fn claims(&mut self, world: &World, known: &Opened) -> Vec<LaneClaim> {
        if let Some(chain) = &known.chain {
            let tick = chain
                .tick(self.rng.below(21))
                .map_or((0, Vec::new()), |it| (i64::from(it.index), it.preimage.to_vec()));
            return vec![LaneClaim { tick: tick.0, preimage: tick.1, ..LaneClaim::default() }];
        }
        let count = 1 + self.rng.below(2);
        (0..count).map(|lane| self.claim(world, known, lane)).collect()
    }

    fn claim(&mut self, world: &World, known: &Opened, lane: u32) -> LaneClaim {
        let id = if self.one_in(20) { ChannelId::new([3; 32]) } else { known.id };
        let base = Units::new(u64::from(self.rng.below(700))).unwrap();
        let mut voucher = Voucher::new(id, Lane::new(lane), Seq::new(1), base);
        if self.one_in(8) {
            voucher = voucher.with_end(Height::new(world.ledger.head().number.get() + u64::from(self.rng.below(2))));
        }
        let chain = TickChain::new(id, &Seed::new([8; 32]), 20);
        let ticks = self.rng.below(22);
        if ticks > 0 {
            voucher = voucher.with_ticks(*chain.anchor(), Units::new(5).unwrap(), 20);
        }
        let by = if self.one_in(20) { self.somebody(world) } else { known.payer };
        let signature = world.accounts[by].sign(&Signable::Voucher(&voucher)).unwrap();
        Claim::new(SignedVoucher::new(voucher, signature), chain.tick(ticks)).to_contract()
    }

    fn close_mutual(&mut self, world: &World, known: &Opened, owner_address: Vec<u8>, channel: Vec<u8>) -> Contract {
        let not_after = Height::new(world.ledger.head().number.get() + u64::from(self.rng.below(3)));
        let total = Units::new(u64::from(self.rng.below(900))).unwrap();
        let statement = CloseStatement::new(known.id, total, not_after);
        let sign = |by: usize| world.accounts[by].sign(&Signable::Close(&statement)).unwrap();
        let payee = if self.one_in(6) { known.payer } else { known.payee };
        ChannelCloseMutual {
            owner_address,
            channel,
            total: total.to_i64(),
            not_after: not_after.get() as i64,
            payer_signature: sign(known.payer),
            payee_signature: sign(payee),
        }
        .into()
    }

    /// The address of an account, and now and then none.
    fn address(&mut self, world: &World, number: usize) -> Vec<u8> {
        let mut bytes = world.bytes(number);
        if self.one_in(100) {
            bytes[0] ^= 1;
        }
        if self.one_in(200) {
            bytes.pop();
        }
        bytes
    }

    /// The coin, a token, or none.
    fn asset(&mut self, world: &World) -> Vec<u8> {
        let last = world.ledger.totals().last_token;
        match self.rng.below(30) {
            0 => b"01".to_vec(),
            1 => Vec::new(),
            2 => (last + 1).to_string().into_bytes(),
            3..10 => b"_".to_vec(),
            _ => (1_000_001 + u64::from(self.rng.below(u32::try_from(last - 1_000_000).unwrap().max(1))))
                .to_string()
                .into_bytes(),
        }
    }

    fn small(&mut self) -> i64 {
        i64::from(self.rng.below(1000))
    }

    /// An amount of an asset for an account to give: some, all, more, nothing, less than nothing.
    fn amount(&mut self, world: &World, of: usize, asset: &[u8]) -> i64 {
        let held = AssetId::parse(asset).map_or(0, |id| world.ledger.balance(&world.address(of), id).to_i64());
        match self.rng.below(24) {
            0 => 0,
            1 => -1,
            2 => i64::MAX,
            3 => i64::MIN,
            4 => held,
            5 => held.saturating_add(1),
            6..10 => held / 3,
            _ => 1 + self.small(),
        }
    }
}
