"""Programs under test as processes: started with a log, ended by pid, waited for by events.

Nothing here kills by name. What a cluster leaves behind is found by its directory: a process whose
environment, arguments, working directory or open files lie below it.
"""
import fcntl
import os
import random
import signal
import socket
import subprocess
import time

SOURCE = os.environ.get("SLUICE_SOURCE") or os.path.realpath(
    os.path.join(os.path.dirname(__file__), "../../.."))
BIN = os.environ.get("SLUICE_BIN") or os.path.join(SOURCE, "build/asan/bin")
RELEASE_BIN = os.environ.get("SLUICE_RELEASE_BIN") or os.path.join(SOURCE, "build/release/bin")
LONG = bool(os.environ.get("SLUICE_LONG"))
PATIENCE = 90  # seconds that anything may take on a busy machine before it counts as never


class Timeout(AssertionError):
    pass


def until(what, probe, timeout=PATIENCE, pause=0.02):
    """Returns probe()'s first true value; the probe must be cheap."""
    end = time.monotonic() + timeout
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise Timeout(f"waited {timeout} s in vain until {what}")
        time.sleep(pause)


# ---- ports

_port_locks = []


def port_block(count=16):
    """The first of `count` ports that no other test of this machine takes while we live.

    They lie below the kernel's ephemeral range, so that no outgoing connection gets one.
    """
    directory = "/tmp/sluice-test-ports"
    os.makedirs(directory, mode=0o777, exist_ok=True)
    blocks = list(range(20100, 32000, count))
    random.SystemRandom().shuffle(blocks)
    for base in blocks:
        fd = os.open(f"{directory}/{base}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for port in range(base, base + count):
                with socket.socket() as s:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    s.bind(("127.0.0.1", port))
        except OSError:
            os.close(fd)
            continue
        _port_locks.append(fd)
        return base
    raise RuntimeError("no free ports")


# ---- processes

class Program:
    """One process with its output in a log."""

    def __init__(self, argv, log, env=None, cwd=None):
        self.argv = [str(a) for a in argv]
        self.log = log
        self.env = dict(os.environ, **(env or {}))
        with open(log, "ab") as out:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=out, env=self.env, cwd=cwd)

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def kill(self):
        """SIGKILL, and gone when this returns."""
        if self.alive():
            self.process.kill()
        return self.process.wait(PATIENCE)

    def term(self, number=signal.SIGTERM, timeout=PATIENCE):
        if self.alive():
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Timeout(f"{self.argv[0]} did not end within {timeout} s of signal {number}")


def read_proc(pid, name):
    try:
        with open(f"/proc/{pid}/{name}", "rb") as f:
            return f.read()
    except OSError:
        return b""


def links_below(pid, prefix):
    for name in ("cwd", "exe"):
        try:
            if os.readlink(f"/proc/{pid}/{name}").startswith(prefix):
                return True
        except OSError:
            pass
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                if os.readlink(f"/proc/{pid}/fd/{fd}").startswith(prefix):
                    return True
            except OSError:
                pass
    except OSError:
        pass
    return False


def is_zombie(pid):
    stat = read_proc(pid, "stat")
    return not stat or stat.rsplit(b")", 1)[1].split()[0] in (b"Z", b"X")


def processes_of(directory):
    """Pids, but our own, that have to do with a directory."""
    mark = directory.encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid() or is_zombie(entry):
            continue
        if (mark in read_proc(entry, "cmdline") or mark in read_proc(entry, "environ") or
                links_below(entry, directory)):
            found.append(int(entry))
    return found


def describe(pid):
    return f"{pid}: " + read_proc(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")


def kill_all_of(directory):
    for _ in range(50):
        pids = processes_of(directory)
        if not pids:
            return
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)


def descriptors(pid):
    """How many descriptors it has open."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0
