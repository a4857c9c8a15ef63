//! The connection between the two processes. Each is a payer and a payee, and the first byte of a message says which of the two speaks.

use crate::ledger::{read, write};
use std::io::{BufReader, BufWriter, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;
use unchoke_examples::Failure;
use unchoke_token::channel::{Message, Session};

/// One of the two machines of a process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    Payer,
    Payee,
}

/// The last connection, if it is still there.
#[derive(Default)]
pub(crate) struct Link {
    count: u64,
    peer: Option<Peer>,
}

/// The other process.
struct Peer {
    out: BufWriter<TcpStream>,
    incoming: Receiver<(Half, Message)>,
}

impl Link {
    /// Takes a connection in place of the last one.
    pub(crate) fn connect(&mut self, stream: TcpStream) -> Result<(), Failure> {
        stream.set_nodelay(true).map_err(|error| Failure::failed(&error))?;
        let mut input = BufReader::new(stream.try_clone().map_err(|error| Failure::failed(&error))?);
        // This is more than both halves of the other side have under way, so that nobody waits for who waits for it.
        let (sender, incoming) = sync_channel(8192);
        std::thread::spawn(move || {
            while let Ok(bytes) = read(&mut input)
                && let Some(message) = decode(&bytes)
                && sender.send(message).is_ok()
            {}
        });
        self.count = self.count.saturating_add(1);
        self.peer = Some(Peer { out: BufWriter::new(stream), incoming });
        Ok(())
    }

    /// The connection that there is; a later one has a higher number.
    pub(crate) fn session(&self) -> Option<Session> {
        self.peer.is_some().then_some(Session::new(self.count))
    }

    /// Ends the connection. Another one will be made.
    pub(crate) fn hang_up(&mut self) {
        if let Some(peer) = self.peer.take() {
            // One that is gone is ended, too.
            let _ = peer.out.get_ref().shutdown(Shutdown::Both);
        }
    }

    /// The messages that have come, after a while at most.
    pub(crate) fn receive(&mut self, wait: Duration) -> Vec<(Half, Message)> {
        let mut all = Vec::new();
        let Some(peer) = &self.peer else {
            std::thread::sleep(wait);
            return all;
        };
        if !wait.is_zero() {
            all.extend(peer.incoming.recv_timeout(wait));
        }
        loop {
            match peer.incoming.try_recv() {
                Ok(message) => all.push(message),
                Err(TryRecvError::Empty) => return all,
                Err(TryRecvError::Disconnected) => {
                    self.peer = None;
                    return all;
                }
            }
        }
    }

    /// Sends what was meant for a session, if that has not ended.
    pub(crate) fn send(&mut self, session: Session, half: Half, message: &Message) {
        let bytes = [&[u8::from(half == Half::Payee)], &message.encode()[..]].concat();
        if self.session() == Some(session)
            && let Some(peer) = &mut self.peer
            && write(&mut peer.out, &bytes).is_err()
        {
            self.peer = None;
        }
    }

    pub(crate) fn flush(&mut self) {
        if self.peer.as_mut().is_some_and(|peer| peer.out.flush().is_err()) {
            self.peer = None;
        }
    }
}

fn decode(bytes: &[u8]) -> Option<(Half, Message)> {
    let (half, message) = bytes.split_first()?;
    let half = match half {
        0 => Half::Payer,
        1 => Half::Payee,
        _ => return None,
    };
    Message::decode(message).ok().map(|message| (half, message))
}
