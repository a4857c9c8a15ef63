//! What decoding costs in memory, counted by the allocator. B2: many tiny values are what makes a decoder take the most.

#![expect(unsafe_code, reason = "an allocator that counts can only be written so")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use unchoke_bencode::{DecodeLimits, Error, ErrorKind, decode};

/// Counts for each thread by itself, because tests run side by side.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

fn changed(by: isize) {
    LIVE.set(LIVE.get() + by);
    PEAK.set(PEAK.get().max(LIVE.get()));
    CALLS.set(CALLS.get() + usize::from(by > 0));
}

// SAFETY: every call is handed to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        changed(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        changed(-layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Until the old memory is let go both are there.
        changed(size.cast_signed());
        changed(-layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What decoding gives, the most memory that it had at a time, and how often it asked for some.
fn cost(input: &[u8], limits: &DecodeLimits) -> (Result<(), Error>, usize, usize) {
    let (live, calls) = (LIVE.get(), CALLS.get());
    PEAK.set(live);
    let result = decode(input, limits).map(drop);
    (result, usize::try_from(PEAK.get() - live).unwrap_or_default(), CALLS.get() - calls)
}

/// What is in the way of many tiny values: what comes first, what is repeated, and what ends it.
const SHAPES: &[(&str, &str, &str)] = &[
    ("l", "0:", "e"),
    ("l", "le", "e"),
    ("l", "de", "e"),
    ("l", "i0e", "e"),
    ("l", "ldelee", "e"),
    ("l", "d0:lee", "e"),
    ("d", "0:0:", "e"),
    // Out of order at the start, so that all keys are sorted at the end.
    ("d1:b0:", "0:0:", "e"),
    ("d1:b0:", "0:le", "e"),
    ("d", "1:b0:1:a0:", "e"),
    ("ld", "1:b0:1:a0:eld", "ee"),
    ("l", "d1:b0:0:0:e", "e"),
    ("l", "3:abc", "e"),
    ("l", "d1:a", "e"),
    ("l", "000:", "e"),
    // Lists that are not closed are the only values of one byte, and nesting is limited.
    ("", "l", ""),
    ("ll", "d1:ad", "e"),
];

#[test]
fn b2_a_value_costs_eight_bytes_and_no_input_more_than_five_times_its_length() {
    for (first, repeated, last) in SHAPES {
        for length in [1_000, 65_537, 600_000] {
            let whole = format!("{first}{}{last}", repeated.repeat(length / repeated.len()));
            for input in [&whole[..], &whole[..whole.len() - 1], &whole[..whole.len() / 2]] {
                for limits in [DecodeLimits::default(), DecodeLimits::strict()] {
                    let (_, peak, calls) = cost(input.as_bytes(), &limits);
                    let allowed = 5 * input.len() + (1 << 20);
                    assert!(peak <= allowed, "{peak} bytes for {} of {first}{repeated}…{last}", input.len());
                    // The first few values, all others at once, what is open as it grows, and the keys of each dictionary that is out of order.
                    let unsorted = whole.matches("b0:0:").count() + whole.matches("b0:1:a").count();
                    assert!(calls <= 16 + unsorted, "{calls} allocations for {first}{repeated}…{last}");
                }
            }
        }
    }
}

#[test]
fn b2_a_lone_short_value_costs_no_more_than_there_can_be_values() {
    for (input, values) in [("i1e", 1), ("0:", 1), ("4:abcd", 3), ("10:0123456789", 6)] {
        let (result, peak, calls) = cost(input.as_bytes(), &DecodeLimits::default());
        assert!(result.is_ok() && peak <= 8 * values && calls == 1, "{peak} bytes in {calls} pieces for {input}");
    }
}

#[test]
fn b2_three_million_values_are_the_most_and_beyond_them_nothing_is_reserved() {
    let limits = DecodeLimits::default();
    let most = format!("l{}e", "0:".repeat(2_999_999));
    let (result, peak, _) = cost(most.as_bytes(), &limits);
    assert!(result.is_ok() && peak <= 8 * 3_000_000 + 4096, "{result:?}, {peak} bytes");
    let more = format!("l{}e", "0:".repeat(4_900_000));
    let (result, peak, _) = cost(more.as_bytes(), &limits);
    let error = result.map_err(|error| (error.kind(), error.offset()));
    assert_eq!(error, Err((ErrorKind::TooManyTokens, 1 + 2 * 2_999_999)));
    assert!(peak <= 8 * 3_000_000 + 4096, "{peak} bytes");
}

#[test]
fn b1_deep_nesting_and_long_claims_cost_next_to_nothing() {
    for input in
        ["l".repeat(2_000_000), "d1:a".repeat(500_000), format!("l{}", "9".repeat(2_000_000)), format!("{}:", i64::MAX)]
    {
        let (result, peak, _) = cost(input.as_bytes(), &DecodeLimits::default());
        assert!(result.is_err() && peak < 1 << 17, "{result:?}, {peak} bytes");
    }
}
