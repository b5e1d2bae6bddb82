"""What the scripts of tests/e2e and tests/interop share. See each module."""
from .client import Client, Conversation, detail, grpc, pb, raises, request_id  # noqa: F401
from .cluster import Cluster, ENDED, heard, job_of, parts_of, summary  # noqa: F401
from .person import Person  # noqa: F401
from .processes import LONG, PATIENCE, Program, SOURCE, Timeout, until  # noqa: F401
from . import fake  # noqa: F401
from . import oracles  # noqa: F401
from . import processes  # noqa: F401
from .suite import Skip, run, skip, test  # noqa: F401

Code = grpc.StatusCode
