"""A TCP proxy that misbehaves on command: between an agent and its controller."""
import selectors
import socket
import threading
import time


class Proxy:
    """Modes: `pass`; `stall` (open, nothing moves, new ones are taken and hang); `refuse` (new ones are
    reset, old ones end); `slow` (this many bytes a second each way)."""

    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.mode = "pass"
        self.rate = 0
        self.moved = 0
        self._pairs = {}
        self._lock = threading.Lock()
        self._stop = False
        self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def set(self, mode, rate=0):
        with self._lock:
            self.mode, self.rate = mode, rate
        if mode == "refuse":
            self.cut()
        self._wake[1].send(b"x")

    def cut(self):
        """Every open connection ends at once, with a reset."""
        with self._lock:
            for s in list(self._pairs):
                self._drop(s)

    def close(self):
        self._stop = True
        self._wake[1].send(b"x")
        self._thread.join()
        self.cut()
        self.listener.close()

    def _drop(self, s):
        for end in (s, self._pairs.pop(s, None)):
            if end is None:
                continue
            self._pairs.pop(end, None)
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            except OSError:
                pass
            end.close()

    def _accept(self):
        a, _ = self.listener.accept()
        if self.mode == "refuse":
            a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            a.close()
            return
        try:
            b = socket.create_connection(self.target, 10)
        except OSError:
            a.close()
            return
        for s in (a, b):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pairs[a], self._pairs[b] = b, a

    def _forward(self, s):
        other = self._pairs.get(s)
        size = 64 << 10
        if self.mode == "slow":
            size = max(1, self.rate // 50)
        try:
            data = s.recv(size)
            if data and other:
                other.sendall(data)
                self.moved += len(data)
                return
        except OSError:
            pass
        self._drop(s)

    def _run(self):
        while not self._stop:
            with selectors.DefaultSelector() as selector:
                selector.register(self._wake[0], selectors.EVENT_READ)
                selector.register(self.listener, selectors.EVENT_READ)
                with self._lock:
                    if self.mode != "stall":
                        for s in self._pairs:
                            selector.register(s, selectors.EVENT_READ)
                ready = [key.fileobj for key, _ in selector.select(0.5)]
            with self._lock:
                for s in ready:
                    if s is self._wake[0]:
                        s.recv(4096)
                    elif s is self.listener:
                        self._accept()
                    elif s in self._pairs:
                        self._forward(s)
            if self.mode == "slow":
                time.sleep(0.02)
