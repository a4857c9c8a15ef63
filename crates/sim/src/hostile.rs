//! Two hosts that do no good, to begin with: one that is silent, and one that answers with noise.

use crate::host::Host;
use crate::network::Net;
use crate::stream::{StreamEvent, StreamId};
use std::marker::PhantomData;
use unchoke_core::{Path, Rng, Seed};

/// Takes everything and answers nothing. Streams to it open and stay silent.
#[derive(Clone, Debug)]
pub struct BlackHole<E>(PhantomData<fn() -> E>);

impl<E> BlackHole<E> {
    /// A host that swallows what it gets; it has no events of type `E`.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<E> Default for BlackHole<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Host for BlackHole<E> {
    type Event = E;

    fn handle_datagram(&mut self, _net: &mut Net<'_>, _path: Path, _datagram: &[u8]) {}

    fn handle_stream(&mut self, _net: &mut Net<'_>, _stream: StreamId, _event: StreamEvent) {}
}

/// Answers each datagram with what it got, damaged: some bytes changed, and cut or made longer.
#[derive(Debug)]
pub struct Garbage<E> {
    rng: Rng,
    events: PhantomData<fn() -> E>,
}

impl<E> Garbage<E> {
    /// A host that damages what it gets in ways that follow from `seed`.
    #[must_use]
    pub fn new(seed: &Seed) -> Self {
        Self { rng: seed.rng(), events: PhantomData }
    }
}

impl<E> Host for Garbage<E> {
    type Event = E;

    fn handle_datagram(&mut self, net: &mut Net<'_>, path: Path, datagram: &[u8]) {
        let mut answer = datagram.to_vec();
        let length = self.rng.below(u32::try_from(answer.len()).unwrap_or(0).saturating_add(32));
        answer.resize(length as usize, b'9');
        for _ in 0..=self.rng.below(4) {
            let at = self.rng.below(length) as usize;
            let byte = self.rng.next_u32().to_le_bytes()[0];
            if let Some(place) = answer.get_mut(at) {
                *place = byte;
            }
        }
        match path.local {
            Some(local) => net.send_from(local, path.remote, &answer),
            None => net.send(path.remote, &answer),
        }
    }
}
