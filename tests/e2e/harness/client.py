"""A gRPC client that shares no code with Sluice: Debian's python3-grpcio and stubs made by protoc."""
import atexit
import glob
import importlib
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid

from .processes import SOURCE

os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def _generate():
    out = tempfile.mkdtemp(prefix="sluice-stubs.")
    atexit.register(shutil.rmtree, out, True)
    protos = sorted(glob.glob(f"{SOURCE}/proto/sluice/v1/*.proto"))
    extra = "/usr/share/grpc-proto"
    standard = ["grpc/health/v1/health.proto", "grpc/reflection/v1alpha/reflection.proto",
                "grpc/reflection/v1/reflection.proto"]
    have = [p for p in standard if os.path.exists(f"{extra}/{p}")]
    subprocess.run(
        ["protoc", f"-I{SOURCE}/proto", f"-I{extra}", f"--python_out={out}", f"--grpc_out={out}",
         "--plugin=protoc-gen-grpc=" + (shutil.which("grpc_python_plugin") or "grpc_python_plugin"),
         f"--descriptor_set_out={out}/all.desc", "--include_imports", *protos, *have], check=True)
    sys.path.insert(0, out)
    # grpc/ belongs to grpcio: what was generated for health and reflection joins that package
    import grpc
    grpc.__path__.append(f"{out}/grpc")
    return out


STUBS = _generate()

import grpc  # noqa: E402


class Namespace:
    """Messages and enums of a few generated modules, by name."""

    def __init__(self, *modules):
        for module in modules:
            for name in dir(module):
                if not name.startswith("_"):
                    setattr(self, name, getattr(module, name))


def _modules(suffix):
    names = [os.path.basename(p)[:-6] for p in glob.glob(f"{SOURCE}/proto/sluice/v1/*.proto")]
    found = []
    for name in sorted(names):
        if os.path.exists(f"{STUBS}/sluice/v1/{name}{suffix}.py"):
            found.append(importlib.import_module(f"sluice.v1.{name}{suffix}"))
    return found


pb = Namespace(*_modules("_pb2"))
_stubs = Namespace(*_modules("_pb2_grpc"))
SERVICES = ("Agents", "Runs", "Logs", "Artifacts", "Releases", "Environments", "Tokens", "System",
            "Events")


def request_id():
    return str(uuid.uuid4())


def detail(error):
    """The ErrorDetail of a failed call, or None."""
    for key, value in error.trailing_metadata() or ():
        if key == "sluice-error-bin":
            d = pb.ErrorDetail()
            d.ParseFromString(value)
            return d
    return None


def raises(code, call, *args, **kw):
    """The call fails with this status code; returns the error."""
    try:
        reply = call(*args, **kw)
        if hasattr(reply, "__next__"):
            reply = list(reply)
    except grpc.RpcError as error:
        wanted = code if isinstance(code, (tuple, list, set)) else (code,)
        assert error.code() in wanted, (f"{error.code()} ({error.details()}) "
                                        f"instead of {[c.name for c in wanted]}")
        return error
    raise AssertionError(f"answered, instead of {code}: {str(reply)[:300]}")


class Client:
    """Stubs of every service, with a token."""

    def __init__(self, address, ca, token=None, cert=None, key=None, options=()):
        tls = grpc.ssl_channel_credentials(ca, key, cert)
        if token is not None:
            tls = grpc.composite_channel_credentials(tls, grpc.access_token_call_credentials(token))
        # Every client its own connection; a controller that was restarted is found again soon.
        options = [("grpc.use_local_subchannel_pool", 1),
                   ("grpc.initial_reconnect_backoff_ms", 100),
                   ("grpc.max_reconnect_backoff_ms", 500), *options]
        self.channel = grpc.secure_channel(address, tls, options)
        for name in SERVICES:
            setattr(self, name.lower(), getattr(_stubs, name + "Stub")(self.channel))

    def close(self):
        self.channel.close()


class Conversation:
    """A bidi stream from outside: say, hear, end. What it heard can be waited for."""

    def __init__(self, method, **kw):
        self._out = queue.Queue()
        self._in = queue.Queue()
        self.error = None
        self.call = method(iter(self._out.get, None), **kw)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self):
        try:
            for message in self.call:
                self._in.put(message)
        except grpc.RpcError as error:
            self.error = error
        self._in.put(None)

    def say(self, *messages):
        for message in messages:
            self._out.put(message)
        return self

    def hear(self, timeout=60):
        """The next message; None when the server has ended it (then see `error`)."""
        try:
            message = self._in.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"nothing was heard within {timeout} s") from None
        if message is None:
            self._in.put(None)
        return message

    def silent(self, seconds):
        """Nothing comes for that long."""
        try:
            message = self._in.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"heard {message} {self.error}")

    def ended(self, *codes, timeout=60):
        """The server ends it, with one of these codes; returns the error."""
        while self.hear(timeout) is not None:
            pass
        code = self.error.code() if self.error else grpc.StatusCode.OK
        text = self.error.details() if self.error else ""
        assert not codes or code in codes, f"{code} ({text}) instead of {[c.name for c in codes]}"
        return self.error

    def half_close(self):
        self._out.put(None)
        return self

    def cancel(self):
        self.call.cancel()
        self._out.put(None)
