//! What holds of a ledger whatever is done to it.

mod random;

use crate::world::{SharedStore, World, signer};
use random::Source;
use std::collections::BTreeMap;
use unchoke_token::channel::Channel;
use unchoke_token::channel::vault::Vault;
use unchoke_token::contract::{AssetIssue, ExchangeCreate, FrozenSupply, Transfer, VaultDeposit};
use unchoke_token::ledger::{
    Account, Asset, ChainParams, Exchange, Follower, Key, Ledger as _, Proven, Receipt, Totals, TxError,
    VerifiedTransaction,
};
use unchoke_token::{AssetId, Block, Height, SignedTransaction, Signer as _, Timestamp};

const SEQUENCES: u32 = 200;
const STEPS: usize = 200;
const FUNDED: u8 = 6;

/// A ledger, somebody who follows it, and what is done to it.
struct Run {
    world: World,
    store: SharedStore,
    follower: Follower,
    follower_store: SharedStore,
    source: Source,
    /// What was taken and has not lapsed.
    taken: Vec<SignedTransaction>,
    /// What was taken of each kind.
    kinds: BTreeMap<i32, u32>,
}

/// All that can be seen of a ledger.
#[derive(PartialEq, Debug)]
struct View {
    accounts: Vec<Option<Account>>,
    assets: Vec<Option<Asset>>,
    exchanges: Vec<Option<Exchange>>,
    vaults: Vec<Option<Vault>>,
    channels: Vec<Option<Channel>>,
    totals: Totals,
}

impl Run {
    fn new(seed: u32) -> Self {
        let (store, follower_store, mut source) = (SharedStore::default(), SharedStore::default(), Source::new(seed));
        let is_dear = source.one_in(2);
        let mut world = World::begin(FUNDED, Box::new(store.clone()), |params, genesis| {
            if is_dear {
                let fee = |units| crate::world::units(units);
                (params.asset_issue_fee, params.exchange_create_fee) = (fee(100), fee(70));
                (params.create_account_fee, params.create_new_account_fee) = (fee(3), fee(5));
                (params.fee_per_byte, params.memo_fee, params.channel_open_fee) = (fee(1), fee(2), fee(1));
                params.free_net_limit = 900;
            }
            cheap(params);
            genesis.net_limits = (0..3).map(|number| (signer(number).address(), 3000)).collect();
        });
        world.accounts.extend((FUNDED..FUNDED + 3).map(signer));
        let follower = world.follower(Box::new(follower_store.clone()));
        let mut run =
            Self { world, store, follower, follower_store, source, taken: Vec::new(), kinds: BTreeMap::new() };
        run.prepare();
        run
    }

    /// Two tokens that are sold, a pair, and vaults.
    fn prepare(&mut self) {
        let start_time = self.world.ledger.head().time.get() as i64 + 1;
        for by in [0, 1] {
            let issue = AssetIssue {
                owner_address: self.world.bytes(by),
                name: b"Token".to_vec(),
                total_supply: 1_000_000,
                frozen_supply: vec![FrozenSupply { frozen_amount: 70, frozen_days: 1 }; by],
                trx_num: 2,
                num: 3,
                start_time,
                end_time: start_time + 500_000_000,
                url: b"url".to_vec(),
                free_asset_net_limit: 1000,
                public_free_asset_net_limit: 3000,
                ..AssetIssue::default()
            };
            self.world.apply(by, issue).unwrap();
        }
        for by in [0, 1, 2] {
            let deposit = VaultDeposit { owner_address: self.world.bytes(by), asset_name: b"_".to_vec(), amount: 3000 };
            self.world.apply(by, deposit).unwrap();
        }
        let pair = ExchangeCreate {
            owner_address: self.world.bytes(0),
            first_token_id: b"_".to_vec(),
            first_token_balance: 10_000,
            second_token_id: b"1000001".to_vec(),
            second_token_balance: 20_000,
        };
        self.world.apply(0, pair).unwrap();
    }

    fn view(&self) -> View {
        let (ledger, totals) = (&self.world.ledger, *self.world.ledger.totals());
        let assets: Vec<_> = (1_000_001..=totals.last_token).map(AssetId::new).collect();
        let addresses: Vec<_> = self.world.accounts.iter().map(|it| it.address()).collect();
        let vaults = |owner| {
            let all = assets.iter().copied().chain([AssetId::NATIVE]);
            all.map(move |asset| ledger.vault(owner, asset).cloned())
        };
        View {
            accounts: addresses.iter().map(|it| ledger.account(it).cloned()).collect(),
            assets: assets.iter().map(|id| ledger.asset(*id).cloned()).collect(),
            exchanges: (1..=totals.last_exchange).map(|id| ledger.exchange(id).cloned()).collect(),
            vaults: addresses.iter().flat_map(vaults).collect(),
            channels: self.source.channels.iter().map(|it| ledger.channel(&it.id).cloned()).collect(),
            totals,
        }
    }

    fn apply(&mut self, signed: SignedTransaction) -> Result<Receipt, TxError> {
        let verified = VerifiedTransaction::new(signed, self.world.ledger.schemes())?;
        self.world.ledger.apply(verified)
    }

    /// Somebody tries something.
    fn step(&mut self) {
        let (by, contract) = self.source.contract(&self.world);
        let signer = if self.source.one_in(50) { self.source.somebody(&self.world) } else { by };
        let (memo, permission) = (self.source.one_in(10), self.source.one_in(60));
        let kind = contract.number();
        let signed = self.world.sign_changed(signer, contract, |it| {
            it.data = if memo { b"memo".to_vec() } else { Vec::new() };
            it.permission_id = if permission { 2 } else { 0 };
        });
        let before = self.view();
        let outcome = self.apply(signed.clone());
        if outcome.is_err() {
            assert_eq!(self.view(), before);
            return;
        }
        self.source.handle_taken();
        *self.kinds.entry(kind).or_default() += 1;
        self.check_supply();
        assert_eq!(self.apply(signed.clone()), Err(TxError::Duplicate(signed.id())));
        self.taken.push(signed);
    }

    fn check_supply(&self) {
        let ledger = &self.world.ledger;
        assert_eq!(ledger.supply(AssetId::NATIVE), u128::from(FUNDED) * 1_000_000);
        for (id, asset) in ledger.assets() {
            assert_eq!(ledger.supply(id), u128::from(asset.total_supply.get()));
        }
    }

    /// A block, which is followed. Time passes now and then.
    fn seal(&mut self) {
        let passes = if self.source.one_in(6) { 90_000_000 } else { 3000 };
        let now = self.world.ledger.head().time.get() + passes;
        let block = self.world.ledger.seal(Timestamp::new(now)).unwrap();
        self.check_supply();
        let block = Block::decode(&block.encode()).unwrap();
        self.follower.follow(&block).unwrap();
        assert_eq!(self.follower.head(), self.world.ledger.head());
        let head = self.world.ledger.head().time;
        let mut taken = std::mem::take(&mut self.taken);
        for old in taken.extract_if(.., |it| it.transaction().expiration <= head) {
            assert!(matches!(self.apply(old), Err(TxError::Expired { .. })));
        }
        self.taken = taken;
    }

    /// Both start anew.
    fn reopen(&mut self) {
        self.seal();
        let (head, before) = (self.world.ledger.head(), self.view());
        self.world.reopen(Box::new(self.store.clone()));
        self.follower = self.world.follower(Box::new(self.follower_store.clone()));
        assert_eq!((self.world.ledger.head(), self.follower.head()), (head, head));
        assert_eq!(self.view(), before);
        for signed in self.taken.clone() {
            assert_eq!(self.apply(signed.clone()), Err(TxError::Duplicate(signed.id())));
        }
    }

    /// What is there and what is not is proved, and no change of any bit of the proof proves anything.
    fn prove(&mut self) {
        let number = u8::try_from(self.source.below(20)).unwrap();
        let (key, operator) = (Key::Account(signer(number).address()), signer(255).address());
        let proven = self.world.ledger.prove(&key).unwrap();
        assert_eq!(self.follower.prove(&key).as_ref(), Some(&proven));
        let schemes = self.world.ledger.schemes();
        assert!(proven.verify(&key, &operator, schemes));
        assert_eq!(proven.account().as_ref(), self.world.ledger.account(&signer(number).address()));
        let mut bytes = proven.encode();
        for _ in 0..8 {
            let at = self.source.below(bytes.len() * 8);
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(Proven::decode(&bytes).map_or(true, |bent| !bent.verify(&key, &operator, schemes)));
            bytes[at / 8] ^= 1 << (at % 8);
        }
    }
}

/// Short times, so that all ends come in one run.
fn cheap(params: &mut ChainParams) {
    (params.channels.min_dispute, params.channels.extension, params.channels.open_window) = (2, 1, 6);
    params.vault_delay = 2;
}

/// Runs some sequences. Returns what was taken of each kind.
fn run(seeds: std::ops::Range<u32>) -> BTreeMap<i32, u32> {
    let mut kinds = BTreeMap::new();
    for seed in seeds {
        let mut run = Run::new(seed);
        for step in 0..STEPS {
            run.step();
            if run.source.one_in(6) {
                run.seal();
                run.prove();
            }
            if step == STEPS / 2 {
                run.reopen();
            }
        }
        run.seal();
        for (kind, count) in run.kinds {
            *kinds.entry(kind).or_insert(0) += count;
        }
    }
    kinds
}

#[test]
fn whatever_is_done_money_is_conserved_refusals_change_nothing_and_followers_agree() {
    let half = SEQUENCES / 2;
    let (mut kinds, others) = std::thread::scope(|scope| {
        let other = scope.spawn(|| run(half..SEQUENCES));
        (run(0..half), other.join().unwrap())
    });
    for (kind, count) in others {
        *kinds.entry(kind).or_insert(0) += count;
    }
    // None of the kinds is only ever refused.
    let all = [0, 1, 2, 6, 9, 14, 15, 41, 42, 43, 44, 1001, 1002, 1003, 1004, 1005, 1006, 1011, 1012, 1013, 1014, 1015];
    for kind in all.into_iter().chain([1016, 1017]) {
        assert!(kinds.get(&kind).is_some_and(|count| *count > 20), "{kind}: {kinds:?}");
    }
}

#[test]
fn a_transaction_lapses_at_its_time_and_not_more_than_a_day_ahead() {
    let mut world = World::new(2, |_| {});
    world.seal(3);
    let head = world.ledger.head().time;
    let mut at = |expiration: u64| {
        let transfer = Transfer { owner_address: world.bytes(0), to_address: world.bytes(1), amount: 1 };
        let signed = world.sign_changed(0, transfer, |it| it.expiration = Timestamp::new(expiration));
        let verified = VerifiedTransaction::new(signed, world.ledger.schemes()).unwrap();
        world.ledger.apply(verified).map(drop)
    };
    let day = 86_400_000;
    for (expiration, is_taken) in [(0, false), (1, true), (day, true), (day + 1, false)] {
        let expiration = Timestamp::new(head.get() + expiration);
        let expected = if is_taken { Ok(()) } else { Err(TxError::Expired { expiration, head }) };
        assert_eq!(at(expiration.get()), expected);
    }
    world.seal(1);
    assert_eq!(world.ledger.balance(&world.address(1), AssetId::NATIVE).get(), 1_000_002);
}

/// Tries a transfer that refers to a block, with a change of what it says of it.
fn refer(world: &mut World, to: u64, change: impl FnOnce(&mut [u8; 2], &mut [u8; 8])) -> Result<(), TxError> {
    let id = world.ledger.block(Height::new(to)).unwrap().unwrap().header.header.id();
    let transfer = Transfer { owner_address: world.bytes(0), to_address: world.bytes(1), amount: 1 };
    let signed = world.sign_changed(0, transfer, |it| {
        it.ref_block_bytes.copy_from_slice(&to.to_be_bytes()[6..]);
        it.ref_block_hash.copy_from_slice(&id.as_bytes()[8..16]);
        change(&mut it.ref_block_bytes, &mut it.ref_block_hash);
    });
    let verified = VerifiedTransaction::new(signed, world.ledger.schemes()).unwrap();
    world.ledger.apply(verified).map(drop)
}

#[test]
fn a_transaction_refers_to_one_of_the_last_blocks() {
    let mut world = World::new(2, |params| params.reference_window = 10);
    world.seal(20);
    for (to, is_taken) in [(20, true), (11, true), (10, false), (0, false)] {
        assert_eq!(refer(&mut world, to, |_, _| {}), if is_taken { Ok(()) } else { Err(TxError::Tapos) });
    }
    for at in 0..64 {
        let outcome = refer(&mut world, 15, |_, hash| hash[at / 8] ^= 1 << (at % 8));
        assert_eq!(outcome, Err(TxError::Tapos));
    }
    for at in 0..16 {
        let outcome = refer(&mut world, 15, |number, _| number[at / 8] ^= 1 << (at % 8));
        assert_eq!(outcome, Err(TxError::Tapos));
    }
    assert_eq!(refer(&mut world, 20, |number, _| number[1] += 1), Err(TxError::Tapos));
    // As far back as two bytes reach; there and then the number is that of a later block.
    let mut world = World::new(2, |_| {});
    world.seal(65_535);
    refer(&mut world, 0, |_, _| {}).unwrap();
    world.seal(1);
    assert_eq!(refer(&mut world, 0, |_, _| {}), Err(TxError::Tapos));
    refer(&mut world, 1, |_, _| {}).unwrap();
}

#[test]
fn a_block_with_any_bit_changed_is_refused_and_leaves_nothing_behind() {
    let mut world = World::new(3, |_| {});
    let mut follower = world.follower(Box::new(SharedStore::default()));
    for amount in 1..4 {
        let transfer = Transfer { owner_address: world.bytes(0), to_address: world.bytes(1), amount };
        let signed = world.sign_changed(0, transfer, |it| it.data = b"memo".to_vec());
        world.ledger.submit(&signed).unwrap();
    }
    let deposit = VaultDeposit { owner_address: world.bytes(1), asset_name: b"_".to_vec(), amount: 5 };
    world.apply(1, deposit).unwrap();
    world.seal(1);
    let mut bytes = world.ledger.block(Height::new(1)).unwrap().unwrap().encode();
    let key = Key::Account(world.address(1));
    let before = (follower.head(), follower.prove(&key));
    let mut read = 0;
    for at in 0..bytes.len() * 8 {
        bytes[at / 8] ^= 1 << (at % 8);
        if let Ok(block) = Block::decode(&bytes) {
            follower.follow(&block).unwrap_err();
            read += 1;
        }
        bytes[at / 8] ^= 1 << (at % 8);
    }
    assert!(read > bytes.len());
    assert_eq!((follower.head(), follower.prove(&key)), before);
    follower.follow(&Block::decode(&bytes).unwrap()).unwrap();
    assert_eq!(follower.head(), world.ledger.head());
    // One that is here already is not replaced either.
    for at in 0..bytes.len() * 8 {
        bytes[at / 8] ^= 1 << (at % 8);
        assert!(Block::decode(&bytes).is_err() || follower.follow(&Block::decode(&bytes).unwrap()).is_err());
        bytes[at / 8] ^= 1 << (at % 8);
    }
    assert_eq!(follower.prove(&key), world.ledger.prove(&key));
}
