//! One of the two processes: it pays the other and is paid by it, at the same time and over one connection.

use crate::ledger::Client;
use crate::link::{Half, Link};
use crate::machine::{Outside, signer};
use crate::payee::Earning;
use crate::payer::{Bill, Paying};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;
use unchoke_examples::{Failure, say};
use unchoke_token::{Address, Units};

/// Which of the two. One waits for the other, and one of her ticks is worth less: if both paid the same, nobody could tell from what they have in
/// the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Alice,
    Bob,
}

/// What a process is told when it is started.
pub(crate) struct Orders<'a> {
    pub(crate) name: Name,
    pub(crate) ledger: SocketAddr,
    pub(crate) folder: &'a Path,
    /// Whom it pays.
    pub(crate) other: Address,
    pub(crate) ticks: u64,
}

impl Name {
    pub(crate) const ALL: [Self; 2] = [Self::Alice, Self::Bob];

    /// Its place in arrays of two.
    pub(crate) const fn place(self) -> usize {
        match self {
            Self::Alice => 0,
            Self::Bob => 1,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Alice => "alice",
            Self::Bob => "bob",
        }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Alice => Self::Bob,
            Self::Bob => Self::Alice,
        }
    }

    /// What each of the ticks is worth that it pays.
    pub(crate) const fn tick_value(self) -> u64 {
        match self {
            Self::Alice => 1,
            Self::Bob => 3,
        }
    }
}

/// Runs the process. Whatever goes wrong is told to who has started it, too.
pub(crate) fn run(orders: &Orders<'_>) -> Result<(), Failure> {
    let result = work(orders);
    if let Err(failure) = &result {
        // If nobody listens, there is the exit code.
        let _ = say(json!({ "error": failure.to_string() }));
    }
    result
}

fn work(orders: &Orders<'_>) -> Result<(), Failure> {
    let Orders { name, folder, other, ticks, .. } = *orders;
    let link = Link::default();
    let mut outside = Outside { ledger: Client::connect(orders.ledger)?, signer: signer(folder)?, link };
    let owed = Units::new(ticks.saturating_mul(name.other().tick_value())).unwrap_or(Units::MAX);
    let mut earning = Earning::begin(&mut outside, folder, owed)?;
    let bill = Bill { payee: other, ticks, value: name.tick_value() };
    let mut paying = Paying::begin(&mut outside, folder, bill)?;
    let door = if name == Name::Alice { Some(open_door(&mut outside)?) } else { None };
    let (mut told, mut is_busy) = (None, false);
    loop {
        meet(&mut outside, door.as_ref())?;
        let wait = if is_busy { Duration::ZERO } else { Duration::from_millis(5) };
        for (half, message) in outside.link.receive(wait) {
            match half {
                Half::Payer => earning.handle_message(&mut outside, message)?,
                Half::Payee => paying.handle_message(&outside, message)?,
            }
        }
        earning.go_on(&mut outside)?;
        is_busy = paying.go_on(&mut outside)?;
        if told != Some(earning.held()) {
            told = Some(earning.held());
            say(json!({ "earned": earning.held() }))?;
        }
        if let (Some(paid), Some(earned)) = (paying.settled(), earning.settled()) {
            return say(json!({ "paid": paid, "settled": earned }));
        }
    }
}

/// Where the other process can come.
fn open_door(outside: &mut Outside) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| Failure::failed(&error))?;
    listener.set_nonblocking(true).map_err(|error| Failure::failed(&error))?;
    let address = listener.local_addr().map_err(|error| Failure::failed(&error))?;
    outside.ledger.tell_meeting(address)?;
    Ok(listener)
}

/// Takes a connection, or makes one, if the other process can be reached.
fn meet(outside: &mut Outside, door: Option<&TcpListener>) -> Result<(), Failure> {
    let stream = match door {
        // Who comes anew has lost the connection that there is.
        Some(door) => door.accept().ok().map(|(stream, _)| stream),
        None if outside.link.session().is_some() => None,
        None => outside.ledger.meeting()?.and_then(|at| TcpStream::connect(at).ok()),
    };
    let Some(stream) = stream else { return Ok(()) };
    stream.set_nonblocking(false).map_err(|error| Failure::failed(&error))?;
    outside.link.connect(stream)
}
