"""A network of our own: this process in a network namespace with a bridge, and hosts on veth pairs.

	if __name__ == "__main__":
		lan.enter()		the script again, in namespaces that end with it
		with lan.Lan() as net: ...

Nothing of the machine changes: the namespaces hold the bridge, every link and every mount. An unplugged
link is a real one: packets are lost, nobody is told, connections hang.
"""
import os
import subprocess
import sys

from .suite import skip

MARK = "SLUICE_IN_LAN"
NET = "10.77.0"
HERE = f"{NET}.1"  # of this process, on the bridge


def command(*argv, **kw):
    done = subprocess.run(argv, capture_output=True, text=True, **kw)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}"
    return done.stdout


def works(*argv):
    try:
        return subprocess.run(argv, capture_output=True).returncode == 0
    except OSError:
        return False


def enter():
    """Returns in the namespaces; skips the script where there can be none."""
    if os.environ.get(MARK):
        return
    if os.getuid() != 0:
        skip("needs root for network namespaces")
    for tool in ("unshare", "nsenter", "ip"):
        if not works(tool, "-V"):
            skip(f"the program '{tool}' is not there")
    if not works("unshare", "--mount", "--net", "ip", "link", "add", "lan0", "type", "bridge") or \
            not works("unshare", "--net", "ip", "link", "add", "lan0", "type", "veth"):
        skip("network namespaces with bridges and veth pairs are not to be had here")
    os.environ[MARK] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "--net", sys.executable,
                          *sys.argv])


class Link:
    """One host's place on the network: its namespace, its address, its cable."""

    def __init__(self, name, number):
        self.name = name
        self.address = f"{NET}.{number}"
        self.port = f"to-{number}"
        self.path = f"/run/netns/{name}"

    def unplug(self):
        command("ip", "link", "set", self.port, "down")

    def plug(self):
        command("ip", "link", "set", self.port, "up")

    def within(self, *argv):
        """The words that run something on this host's network."""
        return ["nsenter", f"--net={self.path}", "--", *argv]


class Lan:
    def __init__(self):
        self.links = []
        assert os.environ.get(MARK), "enter() first"
        command("mkdir", "-p", "/run/netns")
        command("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
        command("ip", "link", "set", "lo", "up")
        command("ip", "link", "add", "lan", "type", "bridge")
        command("ip", "address", "add", f"{HERE}/24", "dev", "lan")
        command("ip", "link", "set", "lan", "up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for link in self.links:
            subprocess.run(["ip", "netns", "delete", link.name], check=False)

    def link(self, name):
        link = Link(name, len(self.links) + 2)
        self.links.append(link)
        command("ip", "netns", "add", name)
        command("ip", "link", "add", link.port, "type", "veth", "peer", "name", "eth0", "netns", name)
        command("ip", "link", "set", link.port, "master", "lan", "up")
        command(*link.within("ip", "link", "set", "lo", "up"))
        command(*link.within("ip", "address", "add", f"{link.address}/24", "dev", "eth0"))
        command(*link.within("ip", "link", "set", "eth0", "up"))
        return link
