#![doc = include_str!("../README.md")]

pub mod report;

mod address_map;
mod churn;
mod counters;
mod cut;
mod datagram_host;
mod dice;
mod distribution;
mod histogram;
mod host;
mod host_id;
mod hostile;
mod link;
mod math;
mod nat;
mod network;
mod slab;
mod sorted;
mod stream;
mod stream_host;
mod wheel;
mod world;

pub use churn::{Birth, Churn, ChurnId, Memory};
pub use counters::{Counters, TraceHash, Traffic};
pub use cut::{Cut, Groups};
pub use datagram_host::DatagramHost;
pub use distribution::Distribution;
pub use histogram::Histogram;
pub use host::{Either, Host};
pub use host_id::HostId;
pub use hostile::{BlackHole, Garbage};
pub use link::{Link, LinkId, Loss, Rate, Route};
pub use nat::{NatConfig, NatId, NatKind};
pub use network::{Net, Unreachable, WorldConfig};
pub use stream::{ConnectError, StreamEvent, StreamId};
pub use stream_host::{Acceptor, BlockSource, NoticeKind, StreamHost, StreamNotice};
pub use world::{HostConfig, Notice, World};
