"""A libtorrent 2.x peer: TCP only; no LSD, UPnP or NAT-PMP, and no DHT unless a node of it is named.

usage: libtorrent_peer.py seed|leech TORRENT|MAGNET DIR IP:PORT [--trust] [--many] [--dht=NODE_IP:PORT]... [PEER_IP:PORT]...

Prints "ready" when it listens. A seed checks its data first and runs until it is ended; with --trust it takes the
data for verified. With --many several peers may have one address. A leech ends when it has everything.
"""

import os
import sys
import time

import libtorrent as lt

mode, source, folder, listen = sys.argv[1:5]
trust = "--trust" in sys.argv[5:]
nodes = [node.removeprefix("--dht=") for node in sys.argv[5:] if node.startswith("--dht=")]
peers = [peer for peer in sys.argv[5:] if not peer.startswith("--")]


def split(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


session = lt.session({
    "listen_interfaces": listen,
    "outgoing_interfaces": listen.rsplit(":", 1)[0],
    "enable_dht": bool(nodes),
    "dht_bootstrap_nodes": "",
    "allow_multiple_connections_per_ip": "--many" in sys.argv[5:],
    "hashing_threads": os.cpu_count(),
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "alert_mask": lt.alert.category_t.error_notification,
})
for node in nodes:
    session.add_dht_node(split(node))
if source.startswith("magnet:"):
    parameters = lt.parse_magnet_uri(source)
else:
    parameters = lt.add_torrent_params()
    parameters.ti = lt.torrent_info(source)
parameters.save_path = folder
parameters.flags &= ~lt.torrent_flags.auto_managed
parameters.flags &= ~lt.torrent_flags.paused
if trust:
    # Seed mode alone hashes each piece again when it is first asked for.
    count = parameters.ti.num_pieces()
    parameters.have_pieces = [True] * count
    parameters.verified_pieces = [True] * count
    parameters.flags |= lt.torrent_flags.seed_mode
handle = session.add_torrent(parameters)
for peer in peers:
    handle.connect_peer(split(peer))
while mode == "seed" and not handle.status().is_seeding:
    time.sleep(0.02)
print("ready", flush=True)
asked = 0.0
while mode == "seed" or not handle.status().is_seeding:
    for alert in session.pop_alerts():
        print(alert, file=sys.stderr, flush=True)
    # By itself it asks as soon as it has one node, and then not for a quarter of an hour.
    if nodes and time.monotonic() - asked > 2:
        asked = time.monotonic()
        handle.force_dht_announce()
    time.sleep(0.02)
# Ending the session waits for the disk.
session.remove_torrent(handle)
del handle, session
print("done", flush=True)
