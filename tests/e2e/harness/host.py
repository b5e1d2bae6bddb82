"""A throw-away machine: this one's files under an overlay, its own network, processes and cgroups, and
systemd as its first process. What is installed, enabled, started or broken there is gone with it.

It can be switched off as by its plug and on again: its disk stays, its boot id changes.
"""
import os
import shutil
import subprocess
import tempfile
import uuid

from . import processes
from .lan import command, works
from .processes import until
from .suite import skip

INIT = "/lib/systemd/systemd"

# Runs in namespaces of its own but the network's, which is the link's; then it is systemd.
BOOT = r"""
set -eu
disk=$1 root=$1/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount --bind "$disk/boot_id" "$root/proc/sys/kernel/random/boot_id"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
	: >"$root/dev/$name"
	mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root/before"
cd "$root"
pivot_root . before
umount -l before
exec env -i container=sluice-test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	/lib/systemd/systemd --system --log-target=journal --show-status=0
"""

# What of this machine a fresh one does not have: services that it would start, and an earlier Sluice.
PREPARE = r"""
set -eu
cd "$1"
rm -rf etc/systemd/system/*.wants etc/rc?.d lib/systemd/system-generators/* var/log/journal etc/sluice \
	var/lib/sluice var/lib/sluice-agent etc/systemd/system/sluice-* usr/bin/sluice usr/bin/sluice-*
mkdir -p etc/tmpfiles.d etc/systemd/system
tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
ln -sf /dev/null etc/tmpfiles.d/tmp.conf
ln -sf /lib/systemd/system/multi-user.target etc/systemd/system/default.target
for unit in console-getty.service getty@tty1.service; do
	ln -sf /dev/null "etc/systemd/system/$unit"
done
touch etc/subuid
sed -i '/^sluice[-:]/d' etc/passwd etc/shadow etc/group etc/gshadow etc/subuid
"""


def needed():
    """Skips the script where no such machine can be."""
    if not os.path.exists(INIT):
        skip("systemd is not installed")
    if not works("unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "true"):
        skip("namespaces are not to be had here")
    with open("/proc/filesystems", encoding="ascii") as f:
        known = f.read().split()
    for kind in ("overlay", "cgroup2"):
        if kind not in known:
            skip(f"this kernel has no {kind}")


class Host:
    def __init__(self, link):
        self.name = link.name
        self.link = link
        self.process = None
        self.pid = 0
        self.disk = tempfile.mkdtemp(prefix="sluice-host.")
        # An upper layer may not lie in the lower one: it has a file system of its own.
        command("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", self.disk)
        for name in ("upper", "work", "root", "cgroup"):
            os.mkdir(f"{self.disk}/{name}")
        command("mount", "-t", "overlay", "overlay", "-o",
                f"lowerdir=/,upperdir={self.disk}/upper,workdir={self.disk}/work", f"{self.disk}/root")
        command("sh", "-c", PREPARE, "sh", f"{self.disk}/root")
        command("umount", f"{self.disk}/root")
        self.write("/etc/hostname", self.name + "\n", f"{self.disk}/upper")
        command("mount", "-t", "cgroup2", "cgroup2", f"{self.disk}/cgroup")
        self.cgroup = f"{self.disk}/cgroup/{os.path.basename(self.disk)}"

    def write(self, path, text, root=None, mode=0o644):
        """A file there: before it is booted in the upper layer, then through its root."""
        with open((root or self.root) + path, "w", encoding="utf-8") as f:
            os.fchmod(f.fileno(), mode)
            f.write(text)

    @property
    def root(self):
        return f"/proc/{self.pid}/root"

    # ---- power

    def boot(self):
        self.write("/boot_id", str(uuid.uuid4()) + "\n", self.disk)
        os.makedirs(self.cgroup, exist_ok=True)
        inside = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child",
                  "sh", "-c", BOOT, "sh", self.disk]
        # in its cgroup before that becomes the root of a cgroup namespace
        self.process = subprocess.Popen(
            self.link.within("sh", "-c", 'echo $$ >"$0/cgroup.procs"; exec "$@"', self.cgroup, *inside),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.pid = until(f"{self.name} has a first process", self._first_process)
        until(f"{self.name} is up", self._is_up, 60, 0.1)
        self.sh(f"hostname {self.name}")
        return self

    def _first_process(self):
        assert self.process.poll() is None, self.process.stdout.read().decode()
        pid = self.process.pid
        children = processes.read_proc(pid, f"task/{pid}/children").split()
        if not children or processes.read_proc(int(children[0]), "comm").strip() != b"systemd":
            return 0
        return int(children[0])

    def _is_up(self):
        assert self.process.poll() is None, self.process.stdout.read().decode()
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def off(self):
        """As by its plug: everything there is dead at once."""
        if not self.process:
            return
        with open(f"{self.cgroup}/cgroup.kill", "w", encoding="ascii") as f:
            f.write("1")
        self.process.wait()
        self.process.stdout.close()
        self.process, self.pid = None, 0
        for path, _, _ in os.walk(self.cgroup, topdown=False):
            until(f"the cgroup '{path}' is empty", lambda p=path: self._removed(p), 10)

    @staticmethod
    def _removed(path):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return True

    def close(self):
        self.off()
        command("umount", f"{self.disk}/cgroup")
        command("umount", "-l", self.disk)
        shutil.rmtree(self.disk, ignore_errors=True)

    # ---- work

    def run(self, *argv, check=True, cwd=None, env=None, timeout=120, user=None):
        """A command there, as root; its stdout and stderr apart."""
        words = ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
                 "--root", f"--wdns={cwd or '/'}"]
        settings = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/srv", "LC_ALL": "C.UTF-8",
                    "TMPDIR": "/tmp", **(env or {})}
        if user:
            argv = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", *argv]
        done = subprocess.run([*words, "--", *argv], capture_output=True, text=True, env=settings,
                              timeout=timeout, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, \
            f"on {self.name}: {' '.join(argv)}: {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def sh(self, text, **kw):
        """Lines as a person types them; the answer."""
        return self.run("sh", "-ec", text, **kw).stdout

    def property(self, unit, name):
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

    def journal(self, unit=None, lines=1000):
        only = ["--unit", unit] if unit else []
        return self.run("journalctl", "--no-pager", "-o", "cat", "-n", str(lines), *only, check=False).stdout

    def says(self, unit, text, timeout=60):
        until(f"{unit} on {self.name} says '{text}'", lambda: text in self.journal(unit), timeout, 0.2)

    def pids(self, name):
        """Of its processes with this name, as they are known on the outside."""
        found = []
        for path, _, files in os.walk(self.cgroup):
            if "cgroup.procs" not in files:
                continue
            with open(f"{path}/cgroup.procs", encoding="ascii") as f:
                found += [int(pid) for pid in f.read().split()]
        return [p for p in found if processes.read_proc(p, "comm").strip().decode() == name]

    def wait_port(self, port, timeout=60):
        until(f"something listens on port {port} of {self.name}", lambda: self.run(
            "sh", "-c", f"ss -Hltn 'sport = :{port}' | grep -q .", check=False).returncode == 0, timeout, 0.1)
