"""Lium's API through its own SDK, with every error in our words.

The SDK is an extra and slow to import; nothing here imports it before an account is opened.
Its rent is assembled by the SDK and sent by us, once: the SDK sends an unanswered one again.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_wf.errors import OperationFailed
from pytest_wf.pods.base import Pod
from pytest_wf.pods.lium.offers import Offer, Wish
from pytest_wf.pods.lium.records import bare_pod, offer_of, pod_of

if TYPE_CHECKING:
    from types import ModuleType

    from pytest_wf.config.reader import Config

__all__ = ["Account", "Busy", "NotThere", "Refused", "RentRequest", "Unanswered", "import_sdk"]

_OLDEST, _TOO_NEW = (0, 30), (0, 40)
_INSTALL = "Run `pip install 'pytest-wf[lium]'`."


class Refused(OperationFailed):
    """The API has said no: nothing was done. `stops` means that another node changes nothing."""

    def __init__(self, message: str, remedy: str = "", *, stops: bool = False) -> None:
        super().__init__("provider", message, remedy)
        self.stops = stops


class NotThere(Refused):
    """What was asked about does not exist (any more)."""


class Busy(OperationFailed):
    """The API has put us off: nothing was done. Ask again after `retry_after_s`."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(
            "provider",
            "Lium's API is busy and has put us off (429).",
            "Try again in a minute; 60 requests a minute and account are allowed.",
        )
        self.retry_after_s = retry_after_s


class Unanswered(OperationFailed):
    """No answer, or one that says nothing: it may have been done or not."""

    def __init__(self, what: str) -> None:
        super().__init__(
            "provider",
            f"Lium's API cannot be reached: {what}.",
            "Check the network and https://lium.io, and try again.",
        )


@dataclass(frozen=True)
class RentRequest:
    """A rent, ready to be sent."""

    endpoint: str
    payload: dict[str, Any]
    key: str


class _Assembled(Exception):
    """Ends the SDK's rent before it sends anything."""


def import_sdk() -> ModuleType:
    """The module `lium`; importing it changes no environment variable.

    Raises OperationFailed where it is missing, or of a version that this release does not know.
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
    # its import loads a .env file of the project into os.environ, unless it is told not to
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


class Account:
    """One account, by its API key. Each method is one question or one request.

    All of them raise Refused (NotThere), Busy or Unanswered; `settings` is the SDK's own
    `lium.Config`.
    """

    def __init__(self, settings: Any) -> None:
        self._lium = import_sdk()
        self._client = self._lium.Lium(settings)
        self.settings = settings

    @classmethod
    def open(cls, config: Config, project_dir: str = ".") -> Account:
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
        if config.ssh_identity_file:
            settings.ssh_key_path = Path(project_dir, Path(config.ssh_identity_file).expanduser())
        return cls(settings)

    @property
    def identity_file(self) -> str:
        """The private key whose public half is handed to rented pods; '' where there is none."""
        return str(self.settings.ssh_key_path or "")

    def identity(self) -> str:
        """Whose account it is: the same for all of its keys; '' where the key may not ask."""
        try:
            with self._asking():
                found = self._client.me()
                return str((found if isinstance(found, dict) else vars(found))["id"])
        except Refused:
            return ""

    def public_keys(self) -> list[str]:
        """The public keys that a rented pod will let in. Raises OperationFailed for none."""
        keys: list[str] = self.settings.ssh_public_keys
        if not keys:
            where = f"{self.identity_file}.pub" if self.identity_file else "~/.ssh/id_ed25519.pub"
            raise OperationFailed(
                "provider",
                f"there is no public SSH key for the pod to let in: {where} is missing.",
                "Run `ssh-keygen -t ed25519`, or set SSH_IDENTITY_FILE to a key with its .pub.",
            )
        return keys

    def offers(self, wish: Wish) -> list[Offer]:
        """Nodes on offer; of one GPU model where that is wished."""
        with self._asking():
            rows = self._client.ls(gpu_type=wish.gpu or None)
        return [offer_of(row) for row in rows]

    def offer(self, node_id: str) -> Offer | None:
        """One node as it is on offer now; None where it no longer is."""
        return next((o for o in self.offers(Wish()) if o.id == node_id), None)

    def pods(self) -> list[Pod]:
        """Every pod of the account, whoever rented it."""
        with self._asking():
            rows = self._client.ps()
        return [pod_of(row) for row in rows]

    def assemble(self, offer: Offer, wish: Wish, name: str, volume_id: str | None) -> RentRequest:
        """The request that would rent `offer` under `name`; nothing is rented."""
        taken: dict[str, Any] = {}

        def keep(request: dict[str, Any]) -> None:
            taken.update(request)
            raise _Assembled

        keys = self.public_keys()
        try:
            with self._asking():
                self._client.up(
                    executor_id=offer.id,
                    name=name,
                    gpu_count=wish.count,
                    ports=wish.ports,
                    ssh_keys=keys,
                    volume_id=volume_id,
                    termination_hours=wish.termination_hours,
                    enable_backups=False,
                    confirmed_only=True,
                    before_send=keep,
                )
        except _Assembled:
            return RentRequest(taken["endpoint"], taken["payload"], taken["idempotency_key"])
        raise Refused("the SDK sent a rent that it was told not to send.", _INSTALL, stops=True)

    def send(self, request: RentRequest, timeout_s: float) -> str:
        """Send a rent, once. The new pod's id; Unanswered where there may be one or not."""
        with self._asking():
            answer = self._client._request(
                "POST",
                request.endpoint,
                json=request.payload,
                headers={**self._client.headers, "Idempotency-Key": request.key},
                retry=False,
                timeout=timeout_s,
            ).json()
            pod_id = str(answer.get("pod_id") or answer.get("id") or "")
        if not pod_id:
            raise Unanswered("the rent was answered without a pod's id")
        return pod_id

    def delete(self, pod: Pod) -> None:
        """Ask for the end of one pod."""
        with self._asking():
            self._client.down(self._lium.PodInfo(**bare_pod(pod, self._lium.PodInfo)))

    def schedule_removal(self, pod_id: str, when: str) -> None:
        """Have the provider end the pod at `when` (RFC 3339) by itself."""
        with self._asking():
            self._client.schedule_termination(pod_id, termination_time=when)

    def cancel_removal(self, pod: Pod) -> None:
        """Take a scheduled removal back."""
        with self._asking():
            self._client.cancel_scheduled_termination(
                self._lium.PodInfo(**bare_pod(pod, self._lium.PodInfo))
            )

    def volumes(self) -> list[dict[str, Any]]:
        """The account's volumes: id, huid, name, size_gb."""
        with self._asking():
            return [
                {"id": v.id, "huid": v.huid, "name": v.name, "size_gb": v.current_size_gb}
                for v in self._client.volumes()
            ]

    def new_volume(self, name: str, description: str) -> str:
        """Make a volume; its id."""
        with self._asking():
            return str(self._client.volume_create(name, description=description).id)

    def billed_usd(self, pod_id: str) -> float | None:
        """What a pod has cost by the account's statement; None where it does not stand there."""
        with self._asking():
            rows = self._client.billing_statement()["pods"]
        for row in rows:
            if isinstance(row, dict) and str(row.get("pod_id")) == pod_id:
                return float(row.get("total") or 0.0)
        return None

    @contextmanager
    def _asking(self) -> Iterator[None]:
        import requests

        try:
            with warnings.catch_warnings():
                # keys that could not be registered, and the like: the rent itself tells
                warnings.simplefilter("ignore")
                yield
        except self._lium.LiumError as e:
            raise self._told(e) from e
        except requests.exceptions.ConnectionError as e:
            raise Unanswered("no connection, or it broke") from e
        except (requests.RequestException, OSError) as e:
            raise Unanswered(type(e).__name__) from e
        except (AttributeError, KeyError, TypeError) as e:
            raise Unanswered("its answer is not what its SDK expects") from e
        except ValueError as e:
            # what the SDK itself refuses before it asks: an unknown node, a bad argument
            raise Refused(f"{self._clean(e)}.") from e

    def _told(self, e: Any) -> OperationFailed:
        lium = self._lium
        if isinstance(e, lium.LiumRateLimitError):
            return Busy(min(60.0, max(0.0, e.retry_after if e.retry_after is not None else 2.0)))
        if isinstance(e, lium.LiumServerError) or _says_nothing(e):
            return Unanswered(self._clean(e))
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
            (lium.LiumNotFoundError, lambda e: NotThere(f"{self._clean(e)}.")),
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


def _of(lium: ModuleType, name: str) -> type[Exception]:
    from importlib import import_module

    found: type[Exception] = getattr(import_module(f"{lium.__name__}.sdk.exceptions"), name)
    return found


def _says_nothing(e: Any) -> bool:
    """Whether an error leaves open what became of a request."""
    return getattr(e, "code", None) in ("idempotency_in_progress", "idempotency_outcome_unknown")


def _one_line(e: BaseException) -> str:
    text = " ".join(str(e).split()) or type(e).__name__
    text = "".join(c for c in text if c.isprintable())
    return text if len(text) <= 240 else text[:237] + "..."
