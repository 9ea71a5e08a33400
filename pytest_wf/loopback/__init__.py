"""A Lium account on 127.0.0.1, for tests of flows and providers.

It speaks the part of Lium's HTTP API that its SDK uses, rents "pods" that are real sshd processes
if that is requested, and misbehaves on demand (`Behaviour`, `Fault`). The SDK itself runs unchanged
against it:

    with LoopbackLium() as api:
        environ = api.environ()     # LIUM_BASE_URL, LIUM_API_KEY, NO_PROXY
        ...
        assert api.account.billed() == []
"""

from pytest_wf.loopback.account import Account, Node, Rented
from pytest_wf.loopback.api import LoopbackLium
from pytest_wf.loopback.behaviour import Behaviour, Fault
from pytest_wf.loopback.sshd import SshdPods

__all__ = ["Account", "Behaviour", "Fault", "LoopbackLium", "Node", "Rented", "SshdPods"]
