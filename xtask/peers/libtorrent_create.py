"""What it costs libtorrent 2.x to make a torrent of a file, or to check a file against its torrent.

usage: libtorrent_create.py create PATH PIECE_LENGTH v1|v2|hybrid
       libtorrent_create.py check TORRENT DIR

Prints a line of JSON with the seconds of wall clock and CPU, from the moment when the interpreter and the module are loaded
until the torrent is encoded, or until the file is checked.
"""

import json
import os
import resource
import sys
import time

import libtorrent as lt


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def create(path, piece_length, version):
    flags = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}[version]
    storage = lt.file_storage()
    lt.add_files(storage, path)
    torrent = lt.create_torrent(storage, piece_size=piece_length, flags=int(flags))
    lt.set_piece_hashes(torrent, os.path.dirname(path))
    return lt.torrent_info(torrent.generate()).info_hashes()


def check(torrent, folder):
    session = lt.session({
        "listen_interfaces": "",
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "hashing_threads": 2,
        "alert_mask": lt.alert.category_t.error_notification | lt.alert.category_t.status_notification,
    })
    parameters = lt.add_torrent_params()
    parameters.ti = lt.torrent_info(torrent)
    parameters.save_path = folder
    parameters.flags &= ~lt.torrent_flags.auto_managed
    parameters.flags &= ~lt.torrent_flags.paused
    begin, cpu_before = time.monotonic(), cpu()
    handle = session.add_torrent(parameters)
    checked = False
    while not checked:
        session.wait_for_alert(1000)
        checked = any(isinstance(alert, lt.torrent_checked_alert) for alert in session.pop_alerts())
    cost = (time.monotonic() - begin, cpu() - cpu_before)
    if not handle.status().is_seeding:
        sys.exit("the data is not right")
    return cost


if sys.argv[1] == "create":
    begin, cpu_before = time.monotonic(), cpu()
    hashes = create(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    cost = (time.monotonic() - begin, cpu() - cpu_before)
    told = [str(hash) for hash in (hashes.v1, hashes.v2) if not hash.is_all_zeros()]
else:
    cost, told = check(sys.argv[2], sys.argv[3]), []
print(json.dumps({"wall_s": cost[0], "cpu_s": cost[1], "hashes": told}))
