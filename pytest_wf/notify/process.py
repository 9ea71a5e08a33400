"""Sends a flow's messages, in a process of its own: ``python -m pytest_wf.notify.process``.

The protocol is JSON lines. The first line on stdin is ``{"urls": {name: text}}``; each text is one
or more Apprise URLs. The answer is ``{"unusable": [names]}``. Every later line is a message,
``{"id", "title", "body", "kind"}``, and gets one answer per name: ``{"id", "name", "ok"}``.

It is separate from the flow's process so that a service that hangs can be killed, no argument
list contains a URL, and no log of Apprise or an HTTP library reaches pytest's capture.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
from collections.abc import Mapping
from typing import Any

#: How long messages may take after the flow's process has gone.
_LEFT_ALONE_S = 20.0

_Messages = queue.SimpleQueue  # one queue per name; None ends it


def main() -> int:
    """Serve until stdin ends."""
    logging.disable(logging.CRITICAL)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # output of libraries must not mix with the answers
        os.dup2(nowhere.fileno(), 2)
    lock = threading.Lock()

    def answer(record: Mapping[str, Any]) -> None:
        with lock:
            try:
                answers.write(json.dumps(record) + "\n")
                answers.flush()
            except OSError:
                pass  # the reader is gone

    urls = json.loads(sys.stdin.readline())["urls"]
    services, unusable = _services(urls)
    answer({"unusable": unusable})
    workers = []
    for name, service in services.items():
        waiting: _Messages[Any] = queue.SimpleQueue()
        worker = threading.Thread(target=_serve, args=(name, service, waiting, answer), daemon=True)
        worker.start()
        workers.append((worker, waiting))
    for line in sys.stdin:
        message = json.loads(line)
        for _, waiting in workers:
            waiting.put(message)
        for name in unusable:
            answer({"id": message["id"], "name": name, "ok": False})
    for _, waiting in workers:
        waiting.put(None)
    for worker, _ in workers:
        worker.join(_LEFT_ALONE_S)
    os._exit(0)  # do not wait for a service that hangs


def _services(urls: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Apprise's services by the name of the variable, and the names without any."""
    import apprise

    # no part of a message is stored on this machine's disk
    asset = apprise.AppriseAsset(storage_mode=apprise.PersistentStoreMode.MEMORY)
    services, unusable = {}, []
    for name, text in urls.items():
        service = apprise.Apprise(asset=asset)
        if service.add(text) and len(service):
            services[name] = service
        else:
            unusable.append(name)
    return services, unusable


def _serve(name: str, service: Any, waiting: _Messages[Any], answer: Any) -> None:
    """Send the messages of one name, one after another."""
    while (message := waiting.get()) is not None:
        try:
            ok = service.notify(
                body=message["body"],
                title=message["title"],
                notify_type=message["kind"],
                body_format="text",
            )
        except Exception:  # noqa: BLE001 - whatever a service's code raises, it was not sent
            ok = False
        answer({"id": message["id"], "name": name, "ok": bool(ok)})


if __name__ == "__main__":
    sys.exit(main())
