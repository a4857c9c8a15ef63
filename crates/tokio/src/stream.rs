//! Carries a sans-IO stream protocol that moves no payload over a TCP connection.

use bytes::BytesMut;
use std::io;
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use unchoke_core::{Outgoing, StreamProtocol};

/// Writes out what the protocol has to send.
pub(crate) async fn flush<P: StreamProtocol>(protocol: &mut P, stream: &mut TcpStream) -> io::Result<()> {
    while let Some(outgoing) = protocol.poll_transmit(Instant::now(), 0) {
        if let Outgoing::Bytes(bytes) = outgoing {
            stream.write_all(&bytes).await?;
            protocol.handle_sent(Instant::now(), bytes.len());
        }
    }
    Ok(())
}

/// Carries the protocol on until it has an event, or the connection ends (`None`).
pub(crate) async fn next_event<P: StreamProtocol>(
    protocol: &mut P,
    stream: &mut TcpStream,
    input: &mut BytesMut,
) -> io::Result<Option<P::Event>> {
    let mut ended = false;
    loop {
        flush(protocol, stream).await?;
        if let Some(event) = protocol.poll_event() {
            return Ok(Some(event));
        }
        if ended {
            return Ok(None);
        }
        let deadline = protocol.poll_timeout();
        let sleep = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = stream.read_buf(input) => {
                if read? == 0 {
                    ended = true;
                    protocol.handle_end(Instant::now()).map_err(io::Error::other)?;
                } else {
                    protocol.handle_input(Instant::now(), input).map_err(io::Error::other)?;
                }
            }
            () = sleep => protocol.handle_timeout(Instant::now()).map_err(io::Error::other)?,
        }
    }
}
