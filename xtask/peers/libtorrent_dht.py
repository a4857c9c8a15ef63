"""A network of libtorrent 2.x DHT nodes on loopback, each at an address 127.A.B.1:6881.

usage: libtorrent_dht.py tell|find|follow|port COUNT INFO_HASH PEER_PORT VALUE SEED PUBLIC_KEY SALT NODE_IP:PORT...

The network knows the nodes that are named at the end. With `tell` it announces the torrent and stores VALUE as an immutable item and, signed
by the key (seed and public key in hex), as a mutable one with a salt; then it prints "ready" and runs until it is ended. With `find` it prints
"ready" as soon as its nodes know one another, and ends when it has found all three.

With `follow` it prints each version of the mutable torrent (BEP 46) of the public key and the salt, and runs until it is ended. `port` does the
same; what is named at the end are then no nodes but peers of the torrent. One node of the network connects to them, and so does another one
that knows nobody: it prints "told by its peer" when it has heard of a node.
"""

import hashlib
import sys
import tempfile
import time

import libtorrent as lt

mode, count, torrent, port, value, seed, public, salt = sys.argv[1:9]
others = [(host, int(number)) for host, number in (node.rsplit(":", 1) for node in sys.argv[9:])]
torrent = lt.sha1_hash(bytes.fromhex(torrent))
value, salt, public = value.encode(), salt.encode(), bytes.fromhex(public)
target = lt.sha1_hash(hashlib.sha1(b"%d:%s" % (len(value), value)).digest())
# libtorrent takes the secret key in its expanded form.
secret = bytearray(hashlib.sha512(bytes.fromhex(seed)).digest())
secret[0] &= 248
secret[31] = secret[31] & 63 | 64

category = lt.alert.category_t
sessions = []


def address(number):
    return f"127.{number + 10}.{number + 20}.1"


def start(number):
    session = lt.session({
        "listen_interfaces": f"{address(number)}:6881",
        "enable_dht": True,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "dht_bootstrap_nodes": "",
        "dht_upload_rate_limit": 10_000_000,
        "dht_block_ratelimit": 100_000,
        "alert_mask": category.dht_notification | category.dht_operation_notification | category.status_notification,
    })
    return session


for number in range(int(count)):
    session = start(number)
    sessions.append(session)
    for other in {0, *range(max(0, number - 3), number)} - {number}:
        session.add_dht_node((address(other), 6881))
    for other in others if mode != "port" else []:
        session.add_dht_node(other)


def contents(alert):
    # Some versions give the value, others a dictionary that has it.
    return alert.item.get("value") if isinstance(alert.item, dict) else alert.item


def until(session, kind, wanted, again=lambda: None):
    """Waits for an alert, and asks again each second."""
    asked = 0.0
    while True:
        if time.monotonic() - asked > 1:
            asked = time.monotonic()
            again()
        for alert in session.pop_alerts():
            if isinstance(alert, kind) and wanted(alert):
                return alert
        time.sleep(0.01)


def nodes(session):
    return session.status().dht_nodes


deadline = time.monotonic() + 30
while any(nodes(session) < 4 for session in sessions) and time.monotonic() < deadline:
    time.sleep(0.05)
print("nodes known:", sorted(nodes(session) for session in sessions), flush=True)

first, second = sessions[1], sessions[len(sessions) // 2]
if mode == "tell":
    # The torrent's peer is the node that announces it.
    until(first, lt.dht_get_peers_reply_alert, lambda alert: alert.num_peers(), lambda: (
        first.dht_announce(torrent, int(port), 0), first.dht_get_peers(torrent)))
    first.dht_put_immutable_item(value)
    put = until(first, lt.dht_put_alert, lambda alert: alert.num_success)
    print("immutable item on", put.num_success, "nodes", flush=True)
    first.dht_put_mutable_item(bytes(secret), public, value, salt)
    put = until(first, lt.dht_put_alert, lambda alert: alert.num_success)
    print("mutable item on", put.num_success, "nodes", flush=True)
    print("ready", flush=True)
    while True:
        for session in sessions:
            session.pop_alerts()
        time.sleep(0.1)

print("ready", flush=True)
if mode == "port":
    lone = start(int(count))
    for session in first, lone:
        parameters = lt.add_torrent_params()
        parameters.info_hashes = lt.info_hash_t(torrent)
        parameters.save_path = tempfile.mkdtemp()
        handle = session.add_torrent(parameters)
        for other in others:
            handle.connect_peer(other)
    while not nodes(lone):
        time.sleep(0.05)
    print("told by its peer", flush=True)

if mode in ("follow", "port"):
    newest = 0
    while True:
        found = until(second, lt.dht_mutable_item_alert, lambda alert: alert.authoritative and alert.seq > newest,
                      lambda: second.dht_get_mutable_item(public, salt))
        newest = found.seq
        item = found.item.get("value", found.item)
        print(f"version {newest}: {item.get(b'ih', item.get('ih')).hex()}", flush=True)

found = until(second, lt.dht_get_peers_reply_alert,
              lambda alert: any(peer[1] == int(port) for peer in alert.peers()),
              lambda: second.dht_get_peers(torrent))
print("peers", found.peers(), flush=True)
until(second, lt.dht_immutable_item_alert, lambda alert: contents(alert) == value,
      lambda: second.dht_get_immutable_item(target))
print("immutable item", flush=True)
found = until(second, lt.dht_mutable_item_alert,
              lambda alert: alert.authoritative and contents(alert) == value,
              lambda: second.dht_get_mutable_item(public, salt))
print("mutable item, sequence number", found.seq, flush=True)
