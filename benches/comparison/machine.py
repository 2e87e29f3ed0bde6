"""The lines that say where and with what the comparison ran."""

import os
import platform
import subprocess
import time

# Load average of the last minute above which something else runs on the machine.
QUIET_LOAD = 0.5


def describe(context):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    quick = " (quick run: no measurement)" if context.quick else ""
    lines = [
        f"- Machine: {_cpu_model()}, {cores} cores, {memory:.0f} GB, Linux {platform.release()}",
        f"- Ours: {_version(context.ours)}",
        f"- Peer: {_version(context.peer)}",
        f"- Medians of {context.rounds} rounds of {context.seconds:g} s each, in turn{quick}; "
        f"load on the same machine; {time.strftime('%Y-%m-%d')}",
    ]
    busy = os.getloadavg()[0]
    if busy > QUIET_LOAD:
        lines.append(f"- The machine was busy with other things (load average {busy:.1f}): figures are not reliable")
    return "\n".join(lines)


def _cpu_model():
    with open("/proc/cpuinfo") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _version(path):
    shown = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return shown.splitlines()[0] if shown else path.name
