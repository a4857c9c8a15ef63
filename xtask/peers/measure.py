"""Runs a command and prints what it cost as one line of JSON.

usage: measure.py [--sync FOLDER] COMMAND [ARGUMENT]...

cpu_s is user and system time, rss_kib the most memory resident at a time, mapped pages of files included. Both are of
the command's own process, as wait4 reports them. The output of the command goes to standard error. With --sync the time
ends when all files in the folder are durable; what was durable before costs nothing then.
"""

import json
import os
import sys
import time

command, folder = sys.argv[1:], None
if command[0] == "--sync":
    folder, command = command[1], command[2:]
begin = time.monotonic()
child = os.posix_spawnp(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_, status, usage = os.wait4(child, 0)
for place, _, names in os.walk(folder) if folder else ():
    for name in names:
        file = os.open(os.path.join(place, name), os.O_RDONLY)
        os.fsync(file)
        os.close(file)
print(json.dumps({
    "status": os.waitstatus_to_exitcode(status),
    "wall_s": time.monotonic() - begin,
    "cpu_s": usage.ru_utime + usage.ru_stime,
    "rss_kib": usage.ru_maxrss,
}))
