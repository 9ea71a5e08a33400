"""An account of Lium through its own SDK, with every error as one of three answers.

The SDK is an extra and slow to import; nothing here imports it before an account is opened.
Its rent is assembled by the SDK and sent by us, once: the SDK sends an unanswered one again.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import re
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.background import in_background
from pytest_wf.pods.base import Pod
from pytest_wf.pods.lium.records import bare_pod, offer_of, pod_of
from pytest_wf.pods.rental.account import (
    Account,
    Busy,
    NoResponse,
    NotFound,
    Offer,
    Refused,
    RentRequest,
    Requirements,
)
from pytest_wf.wire import user

if TYPE_CHECKING:
    from types import ModuleType

_OLDEST, _TOO_NEW = (0, 30), (0, 40)
#: Seconds to wait for a name's resolution before a request, which then resolves it, too.
_RESOLVE_S = 20.0
_INSTALL = "Run `pip install 'pytest-wf[lium]'`."
#: Several pods of a flow open the account side by side; the environment is changed by one.
_importing = threading.Lock()


class _Assembled(Exception):
    """Ends the SDK's rent before it sends anything."""


def import_sdk() -> ModuleType:
    """The module `lium`; importing it changes no environment variable.

    Raises OperationFailed if it is missing, or of a version that this release does not know.
    """
    try:
        installed = importlib.metadata.version("lium.io")
    except importlib.metadata.PackageNotFoundError:
        raise OperationFailed(
            "provider", "Pods of Lium need the package lium.io, which is not installed.", _INSTALL
        ) from None
    numbers = tuple(int(n) for n in re.findall(r"[0-9]+", installed)[:2])
    if not _OLDEST <= numbers < _TOO_NEW:
        raise OperationFailed(
            "provider",
            f"lium.io {installed} is installed; this release works with 0.30 to 0.39.",
            _INSTALL,
        )
    # its import loads a .env file of the project into os.environ, unless that is switched off
    with _importing:
        before = dict(os.environ)
        os.environ["PYTHON_DOTENV_DISABLED"] = "1"
        try:
            import lium
        except ImportError as e:
            raise OperationFailed("provider", f"lium.io cannot be imported: {e}.", _INSTALL) from e
        finally:
            for name in set(os.environ) - set(before):
                del os.environ[name]
            os.environ.update(before)
    module: ModuleType = lium
    return module


class LiumAccount(Account):
    """One account of Lium, by its API key.

    `settings` is the SDK's own `lium.Config`; `volume` is LIUM_VOLUME.
    """

    def __init__(self, settings: Any, volume: str = "") -> None:
        self._lium = import_sdk()
        self._client = self._lium.Lium(settings)
        self._count_requests()
        self.settings = settings
        self.identity_file = str(settings.ssh_key_path or "")
        self._volume = volume
        self._volume_id: str | None = None

    @classmethod
    def open(cls, volume: str, identity_file: str, project_dir: str) -> LiumAccount:
        """The account of LIUM_API_KEY or ``~/.lium/config.ini``, with the key pair that our
        connections use. Contacts nothing. Raises OperationFailed with the remedy."""
        lium = import_sdk()
        try:
            settings = lium.Config.load()
        except ValueError as e:
            raise OperationFailed(
                "provider",
                "there is no API key of Lium."
                if "No API key found" in str(e)
                else f"the configuration of lium is not usable: {_one_line(e)}.",
                "Export LIUM_API_KEY, or run `lium init`.",
            ) from None
        if identity_file:
            settings.ssh_key_path = Path(project_dir, user.expanded(identity_file))
        return cls(settings, volume)

    def identity(self) -> str:
        """The owner of the account; '' if the API key may not read that."""
        try:
            with self._asking():
                found = self._client.me()
                return str((found if isinstance(found, dict) else vars(found))["id"])
        except Refused:
            return ""

    def public_keys(self) -> list[str]:
        """The public keys that a rented pod accepts. Raises OperationFailed for none."""
        keys: list[str] = self.settings.ssh_public_keys
        if not keys:
            where = f"{self.identity_file}.pub" if self.identity_file else "~/.ssh/id_ed25519.pub"
            raise OperationFailed(
                "provider",
                f"there is no public SSH key for the pod to accept: {where} is missing.",
                "Run `ssh-keygen -t ed25519`, or set SSH_IDENTITY_FILE to a key with its .pub.",
            )
        return keys

    def offers(self, wanted: Requirements) -> list[Offer]:
        """Nodes on offer; of one GPU model if that is wanted.

        Raises OperationFailed before any request if there is no public key for a pod to accept.
        """
        self.public_keys()
        with self._asking():
            rows = self._client.ls(gpu_type=wanted.gpu or None)
        return [offer_of(row) for row in rows]

    def pods(self) -> list[Pod]:
        """Every pod of the account, whoever rented it."""
        with self._asking():
            rows = self._client.ps()
        return [pod_of(row) for row in rows]

    def prepare(self, offer: Offer, wanted: Requirements, name: str) -> RentRequest:
        """The request that would rent `offer` under `name`; creates the volume if needed."""
        taken: dict[str, Any] = {}

        def keep(request: dict[str, Any]) -> None:
            taken.update(request)
            raise _Assembled

        keys = self.public_keys()
        self._volume_id = self._volume_id or self._find_volume()
        try:
            with self._asking():
                self._client.up(
                    executor_id=offer.id,
                    name=name,
                    gpu_count=wanted.count,
                    ports=wanted.ports,
                    ssh_keys=keys,
                    volume_id=self._volume_id,
                    termination_hours=_whole_hours(wanted.ttl_s),
                    enable_backups=False,
                    confirmed_only=True,
                    before_send=keep,
                )
        except _Assembled:
            return RentRequest(taken["idempotency_key"], taken)
        raise Refused("the SDK sent a rent that it had only to prepare.", _INSTALL, stops=True)

    def rent(self, request: RentRequest, timeout_s: float) -> str:
        """Send a rent, once. The new pod's id."""
        with self._asking():
            answer = self._client._request(
                "POST",
                request.payload["endpoint"],
                json=request.payload["payload"],
                headers={**self._client.headers, "Idempotency-Key": request.key},
                retry=False,
                timeout=timeout_s,
            ).json()
            pod_id = str(answer.get("pod_id") or answer.get("id") or "")
        if not pod_id:
            raise _no_response("the rent was answered without a pod's id")
        return pod_id

    def honours_keys(self) -> bool:
        """Whether the API says that a rent sent again under its key is one rent."""
        with self._asking():
            return bool(self._client.supports("rent_idempotency"))

    def delete(self, pod: Pod) -> None:
        """Request the deletion of one pod."""
        with self._asking():
            self._client.down(self._bare(pod))

    def schedule_removal(self, pod: Pod, when: str) -> None:
        """Have Lium remove the pod at `when` by itself; '' for never."""
        with self._asking():
            if when:
                self._client.schedule_termination(pod.id, termination_time=when)
            else:
                self._client.cancel_scheduled_termination(self._bare(pod))

    def volumes(self) -> list[dict[str, Any]]:
        """The account's volumes: id, huid, name, size_gb."""
        with self._asking():
            return [
                {"id": v.id, "huid": v.huid, "name": v.name, "size_gb": v.current_size_gb}
                for v in self._client.volumes()
            ]

    def new_volume(self, name: str, description: str) -> str:
        """Create a volume; its id."""
        with self._asking():
            return str(self._client.volume_create(name, description=description).id)

    def billed_usd(self, pod_id: str) -> float | None:
        """What a pod has cost by the account's statement; None if it is not listed there."""
        with self._asking():
            rows = self._client.billing_statement()["pods"]
        for row in rows:
            if isinstance(row, dict) and str(row.get("pod_id")) == pod_id:
                return float(row.get("total") or 0.0)
        return None

    def _count_requests(self) -> None:
        """Have `before_request` called for each request of the SDK, its own repetitions too."""
        name = "_request_once" if hasattr(self._client, "_request_once") else "_request"
        send = getattr(self._client, name)

        def counted(*args: Any, **options: Any) -> Any:
            self.before_request()
            return send(*args, **options)

        setattr(self._client, name, counted)

    def _find_volume(self) -> str | None:
        """The id of the volume that LIUM_VOLUME means, created if needed.

        `id:<huid>` names a volume; `new:name=<name>[,desc=…]` creates one, once: one that exists
        under its name is reused. Raises OperationFailed.
        """
        if not self._volume:
            return None
        try:
            volumes = self.volumes()
            if self._volume.startswith("id:"):
                wanted = self._volume[3:]
                found = [v for v in volumes if wanted in (v["id"], v["huid"])]
            else:
                name, _, text = self._volume[len("new:name=") :].partition(",desc=")
                found = [v for v in volumes if v["name"] == name]
                if not found:
                    return self.new_volume(name, text)
        except Refused as e:
            raise Refused(e.message, e.remedy, stops=True) from e
        if len(found) != 1:
            listed = ", ".join(f"{v['huid']} ({v['name']})" for v in volumes) or "none"
            raise OperationFailed(
                "volume",
                f"LIUM_VOLUME={self._volume} means {len(found)} volumes; there are: {listed}.",
                "Write id:<id> of one of them, or new:name=<name>.",
            )
        return str(found[0]["id"])

    def _bare(self, pod: Pod) -> Any:
        return self._lium.PodInfo(**bare_pod(pod, self._lium.PodInfo))

    @contextmanager
    def _asking(self) -> Iterator[None]:
        import requests

        _resolve(self.settings.base_url)
        try:
            with warnings.catch_warnings():
                # keys that could not be registered, and the like: the rent itself reports it
                warnings.simplefilter("ignore")
                yield
        except self._lium.LiumError as e:
            raise self._told(e) from e
        except requests.exceptions.ConnectionError as e:
            raise _no_response("no connection, or it broke") from e
        except (requests.RequestException, OSError) as e:
            raise _no_response(type(e).__name__) from e
        except (AttributeError, KeyError, TypeError) as e:
            raise _no_response("its answer is not what its SDK expects") from e
        except ValueError as e:
            # what the SDK itself refuses before a request: an unknown node, a bad argument
            raise Refused(f"{self._clean(e)}.") from e

    def _told(self, e: Any) -> OperationFailed:
        lium = self._lium
        if isinstance(e, lium.LiumRateLimitError):
            wait_s = e.retry_after if e.retry_after is not None else 2.0
            return Busy(
                min(60.0, max(0.0, wait_s)),
                "Lium's API is busy (429).",
                "Try again in a minute; 60 requests a minute and account are allowed.",
            )
        if isinstance(e, lium.LiumServerError) or _says_nothing(e):
            return _no_response(self._clean(e), is_error=True)
        for known, refused in self._refusals():
            if isinstance(e, known):
                return refused(e)
        return Refused(f"Lium refuses: {self._clean(e)}.")

    def _refusals(self) -> list[tuple[type[Exception], Callable[[Any], Refused]]]:
        lium = self._lium
        return [
            (
                lium.LiumAuthError,
                lambda e: Refused(
                    "Lium does not know the API key.",
                    "Export the right LIUM_API_KEY, or run `lium init`.",
                    stops=True,
                ),
            ),
            (lium.LiumNotFoundError, lambda e: NotFound(f"{self._clean(e)}.")),
            (
                _of(lium, "LiumInsufficientBalanceError"),
                lambda e: Refused(
                    "the account's balance is too low"
                    + (f": ${e.required:g} are needed" if e.required is not None else "")
                    + (f", ${e.available:g} are there" if e.available is not None else "")
                    + ".",
                    "Top it up with `lium fund`, or set a lower WF_MAX_USD_PER_HOUR.",
                    stops=True,
                ),
            ),
            (
                _of(lium, "LiumBudgetExceededError"),
                lambda e: Refused(
                    "the API key's budget is used up.",
                    "Raise it with `lium keys budget`, or use another key.",
                    stops=True,
                ),
            ),
            (
                _of(lium, "LiumScopeError"),
                lambda e: Refused(
                    f"the API key lacks the scope {e.scope or 'that this needs'!r}.",
                    "Make one that has it: `lium keys create`.",
                    stops=True,
                ),
            ),
            (
                lium.LiumPermissionError,
                lambda e: Refused(
                    "the account may not do this.",
                    "Check the account and its verification at https://lium.io.",
                    stops=True,
                ),
            ),
        ]

    def _clean(self, e: BaseException) -> str:
        return _one_line(e).replace(str(self.settings.api_key), "***").rstrip(".")


def _no_response(what: str, *, is_error: bool = False) -> NoResponse:
    return NoResponse(
        f"Lium's API {'fails' if is_error else 'cannot be reached'}: {what}.",
        "Check the network and https://lium.io, and try again.",
        is_error=is_error,
    )


def _resolve(url: str) -> None:
    """Resolve the name in `url` so that Ctrl-C can end it; the request itself raises errors."""
    from requests.utils import get_environ_proxies

    name = urlsplit(url).hostname
    if name and not get_environ_proxies(url):
        with suppress(OSError):
            in_background(lambda: socket.getaddrinfo(name, None), _RESOLVE_S)


def _whole_hours(ttl_s: int) -> int | None:
    """A time to live in the form of Lium's rent: whole hours, 1 to 720."""
    return min(720, max(1, math.ceil(ttl_s / 3600))) if ttl_s else None


def _of(lium: ModuleType, name: str) -> type[Exception]:
    from importlib import import_module

    found: type[Exception] = getattr(import_module(f"{lium.__name__}.sdk.exceptions"), name)
    return found


def _says_nothing(e: Any) -> bool:
    """Whether an error leaves open whether a request was carried out."""
    return getattr(e, "code", None) in ("idempotency_in_progress", "idempotency_outcome_unknown")


def _one_line(e: BaseException) -> str:
    text = " ".join(str(e).split()) or type(e).__name__
    text = "".join(c for c in text if c.isprintable())
    return text if len(text) <= 240 else text[:237] + "..."
