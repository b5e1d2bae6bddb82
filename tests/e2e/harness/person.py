"""A person at a terminal: the CLI with a home of its own."""
import os
import subprocess

from .client import pb


class Person:
    """Logs in, and says what the CLI answers."""

    def __init__(self, c):
        self.c = c
        self.home = f"{c.root}/home"
        os.makedirs(self.home, exist_ok=True)
        os.umask(0o077)
        with open(f"{c.root}/token", "w", encoding="ascii") as f:
            f.write(c.admin_token)
        self.sha = c.api.system.Info(pb.Empty()).ca_sha256

    def show_logs(self):
        self.c.show_logs()

    def dead(self):
        return self.c.dead()

    def sluice(self, *words, home=None, cwd=None, **env):
        fields = dict(os.environ, HOME=home or self.home, XDG_CONFIG_HOME=(home or self.home) +
                      "/.config", NO_COLOR="1", **env)
        return subprocess.run([f"{self.c.bin}/sluice", *map(str, words)], capture_output=True,
                              text=True, env=fields, cwd=cwd or self.c.root, timeout=120,
                              stdin=subprocess.DEVNULL, check=False)

    def start(self, *words):
        """A CLI that goes on while the test does."""
        fields = dict(os.environ, HOME=self.home, XDG_CONFIG_HOME=self.home + "/.config",
                      NO_COLOR="1")
        return subprocess.Popen([f"{self.c.bin}/sluice", *map(str, words)], env=fields, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                stdin=subprocess.DEVNULL)

    def login(self, address=None, token=None, sha=None, home=None):
        path = f"{self.c.root}/token"
        if token:
            path = f"{self.c.root}/token.{len(token)}"
            with open(path, "w", encoding="ascii") as f:
                f.write(token)
        return self.sluice("login", address or self.c.users_address, "--ca-sha256",
                           sha or self.sha, "--token-file", path, home=home)

    def file(self, name, text):
        with open(f"{self.c.root}/{name}", "w", encoding="utf-8") as f:
            f.write(text)
        return f"{self.c.root}/{name}"
