//! Vouchers, messages and logs of channels, transactions, and machines that pay each other.

use std::sync::Arc;
use unchoke_core::Seed;
use unchoke_token::channel::{Log, Message, Payee, PayeeConfig, Payer, PayerConfig, Watcher, WatcherConfig, log};
use unchoke_token::tick::{Tick, TickCursor};
use unchoke_token::voucher::{Claim, CloseStatement, SignedVoucher, Voucher};
use unchoke_token::{Address, Block, ChannelId, Schemes, SignedTransaction};

/// Accounts pay each other while everything goes wrong that may. Three bytes are an action; more than 3000 bytes take too long.
pub fn channel_consistency(data: &[u8]) {
    crate::consistency::run(data.get(..3000).unwrap_or(data));
}

/// 112 bytes are a voucher that is written as it was read, or none. What follows is the number of a tick and its link.
pub fn voucher(data: &[u8]) {
    let (bytes, rest) = data.split_at(data.len().min(Voucher::LEN));
    let Ok(voucher) = Voucher::from_bytes(bytes) else { return };
    assert_eq!(voucher.to_bytes(), bytes);
    let statement = CloseStatement::new(voucher.channel, voucher.base, voucher.not_after);
    assert_ne!(statement.to_bytes().get(..8), bytes.get(..8));
    assert!(voucher.value(voucher.max_ticks) >= Some(voucher.base));
    let Some((index, link)) = rest.split_first_chunk::<4>() else { return };
    let Some(link) = link.first_chunk::<32>() else { return };
    let tick = Tick::new(u32::from_be_bytes(*index) % 5000, *link);
    let claim = Claim::new(SignedVoucher::new(voucher, Vec::new()), Some(tick));
    assert_eq!(claim.value().is_some(), tick.index <= voucher.max_ticks);
    let mut cursor = TickCursor::new(voucher.anchor, voucher.max_ticks);
    let is_taken = cursor.accept(&voucher.channel, tick).is_ok();
    assert_eq!(
        is_taken,
        claim.value().is_some() && cursor.last() == tick && tick.leads_to(&voucher.channel, &voucher.anchor)
    );
}

/// Any bytes are a message that is written as it was read, or none.
pub fn channel_message(data: &[u8]) {
    if let Ok(message) = Message::decode(data) {
        assert_eq!(message.encode(), data);
    }
}

/// Any bytes are a log. What it gives can be written and reads the same, and machines go on from it or say why not.
pub fn channel_log(data: &[u8]) {
    // Half of the inputs are records, so that the checksums are right.
    let made = data.strip_prefix(b"R").map(|records| {
        let mut bytes = Log::begin(unchoke_token::UpdateId::new(0), &[]).unwrap_or_default();
        for (number, record) in (1_u64..).zip(records.split(|byte| *byte == b'\n')) {
            let durable = unchoke_token::UpdateId::new(number / 2);
            assert!(log::append(&mut bytes, unchoke_token::UpdateId::new(number), durable, record).is_ok());
        }
        bytes
    });
    let log = Log::read(made.as_deref().unwrap_or(data));
    assert!(made.is_none() || log.damage.is_none());
    let kept: usize = log.records.iter().map(|(_, it)| it.len()).sum();
    assert!(kept <= data.len() && log.len <= made.as_ref().map_or(data.len(), Vec::len) as u64);
    if let Ok(payer) = Payer::restore(PayerConfig::default(), Seed::new([1; 32]), &log) {
        let _ = payer.snapshot();
    }
    let (address, schemes) = (Address::from_digest(&[1; 32]), Arc::new(Schemes::default()));
    if let Ok(watcher) = Watcher::restore(WatcherConfig::default(), address, Arc::clone(&schemes), &log) {
        assert!(watcher.channels().all(|id| watcher.held(&id) <= unchoke_token::Units::MAX));
        let _ = watcher.snapshot();
    }
    if let Ok(payee) = Payee::restore(PayeeConfig::default(), address, schemes, Seed::new([1; 32]).rng(), &log) {
        assert!(payee.channels().all(|id| payee.claims(&id).is_empty() || id != ChannelId::new([0; 32])));
        let _ = payee.snapshot();
    }
}

/// Any bytes are a transaction or a block that is written as it was read, or none.
pub fn transaction(data: &[u8]) {
    if let Ok(transaction) = SignedTransaction::decode(data) {
        assert_eq!(transaction.encode(), data);
    }
    if let Ok(block) = Block::decode(data) {
        assert_eq!(Block::decode(&block.encode()).as_ref(), Ok(&block));
    }
}
