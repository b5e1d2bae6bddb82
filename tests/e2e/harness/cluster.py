"""A controller and its agents in a directory of their own, on ports of their own."""
import hashlib
import os
import shutil
import socket
import tempfile
import time

from . import processes
from .client import Client, Conversation, grpc, pb, request_id
from .processes import PATIENCE, Program, port_block, until

ENDED = (pb.RUN_SUCCEEDED, pb.RUN_FAILED, pb.RUN_CANCELLED)
MISSED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.ABORTED)


def accepts(address):
    host, port = address.rsplit(":", 1)
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex((host, int(port))) == 0


class Agent:
    """One sluice-agent: its directory, and the process while there is one."""

    def __init__(self, cluster, name, flags, within=None):
        self.cluster = cluster
        self.name = name
        self.within = within or (lambda *argv: argv)  # the words that run it elsewhere, on another network
        self.state = f"{cluster.root}/{name}"
        self.log = f"{cluster.root}/{name}.log"
        self.ports = port_block(16)
        self.flags = ["--state-dir", self.state, "--address", "127.0.0.1", "--service-ports",
                      f"{self.ports}-{self.ports + 15}", *flags]
        self.program = None
        self.id = ""

    def join(self, token, renew=False):
        path = f"{self.cluster.root}/{self.name}.token"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  encoding="ascii") as f:
            f.write(token)
        log = f"{self.log}.join"
        program = Program(self.within(f"{self.cluster.bin}/sluice-agent", "join", self.cluster.users_address,
                                      "--token-file", path, *(["--renew"] if renew else []),
                                      "--state-dir", self.state), log)
        assert program.process.wait(PATIENCE) == 0, program.text()

    def start(self, env=None, flags=()):
        """Without waiting for its session."""
        self.program = Program(self.within(f"{self.cluster.bin}/sluice-agent", "run", *self.flags, *flags),
                               self.log, env)
        return self

    def connected(self):
        """Waits until the controller knows this very process."""
        def probe():
            assert self.program.alive(), f"{self.name} ended: {self.program.text()[-2000:]}"
            agent = self.cluster.agent(self.name)
            return agent if agent.agent.connected else None
        return until(f"agent {self.name} is connected", probe)

    def gone(self):
        """Waits until the controller has noticed that it left."""
        until(f"agent {self.name} is disconnected",
              lambda: not self.cluster.agent(self.name).agent.connected)

    def kill(self):
        self.program.kill()

    def stop(self):
        assert self.program.term() == 0, self.program.text()[-3000:]

    def shims(self, keepers=False):
        """Pids of the shims below its directory (the parents of what they run), without their keepers
        (the first processes of their namespaces), or of those alone."""
        found = []
        for pid in processes.processes_of(self.state):
            words = processes.read_proc(pid, "cmdline").split(b"\0")
            if words and os.path.basename(words[0]) == b"sluice-shim" and keepers == (
                    processes.read_proc(pid, "comm").strip() == b"sluice-keeper"):
                found.append(pid)
        return found


class Cluster:
    """Use as a context: everything below `root` ends and goes when it is left."""

    def __init__(self, bin=None, flags=(), keep=False, address="127.0.0.1"):
        self.bin = bin or processes.BIN
        self.root = tempfile.mkdtemp(prefix="sluice-e2e.")
        os.chmod(self.root, 0o711)
        self.flags = ["--names", f"localhost,{address}", *flags]
        self.keep = keep or bool(os.environ.get("SLUICE_KEEP"))
        self.agents_by_name = {}
        self.controller = None
        self.state = f"{self.root}/controller"
        self.log = f"{self.root}/controller.log"
        port = port_block(16)
        self.users_address = f"{address}:{port}"
        self.agents_address = f"{address}:{port + 1}"
        self.users_port, self.agents_port = port, port + 1
        self.api = None
        self._clients = []
        self.init()

    # ---- life

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for client in self._clients:
            client.close()
        processes.kill_all_of(self.root)
        for program in [self.controller] + [a.program for a in self.agents_by_name.values()]:
            if program:
                program.process.wait()
        if kind and kind is not SystemExit:
            self.show_logs()
        if not self.keep:
            shutil.rmtree(self.root, ignore_errors=True)
        return False

    def dead(self):
        """The controller ended by itself: nothing can be learned from further tests."""
        return bool(self.controller and self.controller.process.poll() not in (None, 0, -9, -15))

    def show_logs(self, lines=25):
        for log in [self.log] + [a.log for a in self.agents_by_name.values()]:
            if os.path.exists(log):
                with open(log, encoding="utf-8", errors="replace") as f:
                    tail = f.read().splitlines()[-lines:]
                print(f"-- {os.path.basename(log)}:", *tail, sep="\n   ", flush=True)

    def init(self):
        program = Program([f"{self.bin}/sluice-controller", "init", "--state-dir", self.state],
                          f"{self.root}/init.log")
        assert program.process.wait(PATIENCE) == 0, program.text()
        with open(f"{self.state}/ca/ca.pem", "rb") as f:
            self.ca = f.read()
        with open(f"{self.state}/admin.token", encoding="ascii") as f:
            self.admin_token = f.read().strip()

    def start_controller(self, env=None, wait=True):
        self.controller = Program(
            [f"{self.bin}/sluice-controller", "run", "--state-dir", self.state, "--listen-users",
             self.users_address, "--listen-agents", self.agents_address, *self.flags], self.log, env)
        if wait:
            self.serving()
        return self

    def serving(self):
        def probe():
            assert self.controller.alive(), f"controller ended: {self.controller.text()[-3000:]}"
            return accepts(self.users_address) and accepts(self.agents_address)
        until("the controller serves", probe)
        if not self.api:
            self.api = self.client(self.admin_token)
        return self.retry(lambda: self.api.system.Info(pb.Empty(), wait_for_ready=True,
                                                       timeout=PATIENCE))

    def kill_controller(self):
        self.controller.kill()

    def stop_controller(self):
        assert self.controller.term() == 0, self.controller.text()[-3000:]

    def restart_controller(self, env=None):
        self.kill_controller()
        return self.start_controller(env)

    def client(self, token=None, **kw):
        client = Client(self.users_address, self.ca, token, **kw)
        self._clients.append(client)
        return client

    def agent_client(self, cert, key):
        client = Client(self.agents_address, self.ca, cert=cert, key=key)
        self._clients.append(client)
        return client

    # ---- agents

    def enrol_token(self, name, labels=None, **kw):
        request = pb.CreateEnrolTokenRequest(
            request_id=request_id(), name=name,
            labels=[pb.Variable(name=k, value=v) for k, v in (labels or {}).items()], **kw)
        return self.api.agents.CreateToken(request).token

    def add_agent(self, name, labels=None, slots=4, flags=(), start=True, env=None, within=None):
        agent = Agent(self, name, ["--slots", str(slots), "--cpus", "16", "--memory", "64G",
                                   *flags], within)
        self.agents_by_name[name] = agent
        agent.join(self.enrol_token(name, labels))
        if start:
            agent.start(env)
            agent.id = agent.connected().agent.id
        return agent

    def agent(self, name):
        return self.retry(lambda: self.api.agents.Get(pb.GetAgentRequest(agent=name), timeout=30))

    # ---- work

    def retry(self, call, timeout=PATIENCE):
        """For reads while the controller may be away."""
        end = time.monotonic() + timeout
        while True:
            try:
                return call()
            except grpc.RpcError as error:
                if error.code() not in MISSED or time.monotonic() > end or self.dead():
                    raise
                time.sleep(0.05)

    def submit(self, file, source="", api=None, **params):
        request = pb.SubmitRequest(
            request_id=request_id(), file_name="sluice.yaml", file=file, source=source,
            params=[pb.Variable(name=k, value=str(v)) for k, v in params.items()])
        return self.retry(lambda: (api or self.api).runs.Submit(request, timeout=60)).run

    def run(self, run):
        number = getattr(run, "number", run)
        return self.retry(
            lambda: self.api.runs.Get(pb.GetRunRequest(run=str(number)), timeout=30))

    def watch(self, run, enough, timeout=PATIENCE):
        """The first state of a run that is enough; follows the watch, also over restarts."""
        number = str(getattr(run, "number", run))
        end = time.monotonic() + timeout
        last = None
        while time.monotonic() < end:
            try:
                stream = self.api.runs.Watch(pb.GetRunRequest(run=number),
                                             timeout=max(0.1, end - time.monotonic()))
                for last in stream:
                    if enough(last):
                        stream.cancel()
                        return last
            except grpc.RpcError as error:
                if error.code() not in MISSED + (grpc.StatusCode.DEADLINE_EXCEEDED,) or self.dead():
                    raise
                time.sleep(0.05)
            else:
                if last and last.run.state in ENDED:
                    break
        raise processes.Timeout(f"run {number} did not come there: {summary(last)}")

    def finished(self, run, timeout=PATIENCE):
        return self.watch(run, lambda d: d.run.state in ENDED, timeout)

    def job_is(self, run, name, *states, timeout=PATIENCE):
        def enough(detail):
            return job_of(detail, name).state in states
        return job_of(self.watch(run, enough, timeout), name)

    def started(self, run, name):
        """The job has an attempt that runs: its agent has accepted it."""
        self.job_is(run, name, pb.JOB_ACTIVE)
        return self.job_is(run, name, pb.JOB_ACTIVE)

    def output(self, run, job, attempt=0, stream=0, offset=0):
        """The log as bytes; each chunk must begin where the one before ended."""
        request = pb.ReadLogRequest(run=str(getattr(run, "number", run)), job=job, attempt=attempt,
                                    stream=stream, offset=offset)
        data = b""
        for chunk in self.api.logs.Read(request, timeout=PATIENCE):
            assert chunk.offset == offset + len(data), f"{chunk.offset} after {offset + len(data)}"
            data += chunk.data
        return data

    def output_has(self, run, job, text, timeout=PATIENCE):
        """Follows the log until the text is in it."""
        want = text if isinstance(text, bytes) else text.encode()
        request = pb.ReadLogRequest(run=str(getattr(run, "number", run)), job=job, follow=True)
        data = b""
        stream = self.api.logs.Read(request, timeout=timeout)
        for chunk in stream:
            data += chunk.data
            if want in data:
                stream.cancel()
                return data
        raise AssertionError(f"the log of {job} ended without {want!r}: {data[-2000:]!r}")

    def environment(self, name):
        return self.retry(
            lambda: self.api.environments.Get(pb.GetEnvironmentRequest(environment=name),
                                              timeout=30))

    def environment_is(self, name, enough, what="it is as wanted", timeout=PATIENCE):
        try:
            return until(f"{name}: {what}",
                         lambda: (lambda d: d if enough(d) else None)(self.environment(name)),
                         timeout, 0.05)
        except processes.Timeout as error:
            raise processes.Timeout(f"{error}; it is {self.environment(name)}") from None

    def events(self, **filters):
        request = pb.WatchEventsRequest(**filters)
        return [e for batch in self.api.events.Watch(request, timeout=PATIENCE)
                for e in batch.events]

    # ---- artifacts

    def download(self, digest, api=None, **fields):
        """Manifest and bytes, hashed here: (Manifest, bytes)."""
        request = pb.DownloadRequest(digest=digest, **fields)
        packed, chunks = b"", {}
        for reply in (api or self.api).artifacts.Download(request, timeout=PATIENCE):
            packed += reply.manifest
            if reply.data:
                part = chunks.setdefault(reply.chunk, bytearray())
                assert reply.offset == len(part), "parts out of order"
                part += reply.data
        if not fields.get("chunks"):
            assert "sha256:" + hashlib.sha256(packed).hexdigest() == digest, "the manifest's digest"
        manifest = pb.Manifest.FromString(packed)
        for i, chunk in enumerate(manifest.chunks):
            assert len(chunks[i]) == chunk.size and \
                hashlib.sha256(chunks[i]).digest() == chunk.digest, f"chunk {i} is not its digest"
        return manifest, b"".join(bytes(chunks[i]) for i in range(len(manifest.chunks)))

    def upload(self, name, data, media="raw", api=None, chunk=1 << 20, **start):
        """A put as the protocol has it: only what is missing is sent. Returns the artifact."""
        pieces = [data[i:i + chunk] for i in range(0, len(data), chunk)]
        refs = [pb.ChunkRef(digest=hashlib.sha256(p).digest(), size=len(p)) for p in pieces]
        packed = pb.Manifest(version=1, media=media, size=len(data),
                             chunks=refs).SerializeToString(deterministic=True)
        talk = Conversation((api or self.api).artifacts.Upload)
        talk.say(pb.UploadRequest(start=pb.UploadStart(name=name, **start)))
        for at in range(0, len(pieces), 256):
            window = refs[at:at + 256]
            talk.say(pb.UploadRequest(have=pb.UploadHave(digests=[r.digest for r in window],
                                                         sizes=[r.size for r in window])))
            need = heard(talk, "need").need
            for i in range(len(window)):
                if need[i // 8] >> (i % 8) & 1:
                    talk.say(*parts_of(i, pieces[at + i]))
        talk.say(pb.UploadRequest(commit=pb.UploadCommit(manifest=packed)))
        return heard(talk, "committed").committed


def parts_of(chunk, data, size=256 << 10):
    return [pb.UploadRequest(chunk=chunk, offset=at, data=data[at:at + size])
            for at in range(0, len(data), size)]


def heard(talk, kind):
    """The next reply of an upload of this kind; words of progress between are skipped."""
    while True:
        reply = talk.hear()
        assert reply is not None, f"{talk.error.code()}: {talk.error.details()}"
        if reply.WhichOneof("body") == kind:
            return reply
        assert reply.WhichOneof("body") == "received", reply


def job_of(detail, name):
    for job in detail.jobs:
        if job.spec.name == name:
            return job
    raise AssertionError(f"no job '{name}' in {[j.spec.name for j in detail.jobs]}")


def summary(detail):
    if detail is None:
        return "nothing was seen of it"
    jobs = ", ".join(f"{j.spec.name} {pb.JobState.Name(j.state)} {j.reason}" for j in detail.jobs)
    waits = "; ".join(w.sentence for w in detail.waits)
    return f"{pb.RunState.Name(detail.run.state)} {detail.run.reason} [{jobs}] {waits}"
