"""Runs a command and prints what it cost as one line of JSON.

usage: measure.py COMMAND [ARGUMENT]...

cpu_s is user and system time, rss_kib the most memory resident at a time, mapped pages of files included. Both are of
the command's own process, as wait4 reports them. The output of the command goes to standard error.
"""

import json
import os
import sys
import time

begin = time.monotonic()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_, status, usage = os.wait4(child, 0)
print(json.dumps({
    "status": os.waitstatus_to_exitcode(status),
    "wall_s": time.monotonic() - begin,
    "cpu_s": usage.ru_utime + usage.ru_stime,
    "rss_kib": usage.ru_maxrss,
}))
