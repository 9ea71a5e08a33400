"""`wf verify` and `wf keygen`: verification of a flow's evidence, and keys that sign it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pytest_wf.cli.output import Json, print_bare_header, print_lines, user_errors
from pytest_wf.errors import InputError, Problem
from pytest_wf.wire import user

app = typer.Typer()

_HEAD = re.compile(r"[0-9a-f]{64}")


@app.command()
def verify(
    flow_dir: Annotated[Path, typer.Argument(help="The folder of a flow's evidence")],
    head: Annotated[
        str,
        typer.Option(
            "--head",
            metavar="SHA256",
            help="The chain head or summary digest that was kept elsewhere: `wf.chain_head` or "
            "`wf.digest` of junit.xml, the flow's last lines, the copy on the pod",
        ),
    ] = "",
    public_key: Annotated[
        Path | None,
        typer.Option("--public-key", help="Demand a signature by this key (FILE.pub of wf keygen)"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Recompute a flow's evidence: ok, or which file was changed, removed, added or reordered.

    Needs only the folder, which may be a copy. A folder that was cut or replaced as
    a whole can still be consistent: --head detects that, and so does
    --public-key. Exit status 0 for ok, 1 for a finding, 4 for a mistake in the
    command.
    """
    from pytest_wf.evidence.verify import NoFlow, verify_flow

    with user_errors(as_json):
        print_bare_header(Path.cwd(), err=as_json)
        key = None
        if head and not _HEAD.fullmatch(head):
            raise _mistake("--head", "is not a SHA-256.", "Give its 64 hex digits, in lower case.")
        if public_key is not None:
            from pytest_wf.evidence.signing import read_public_key

            key = read_public_key(public_key)
        try:
            outcome = verify_flow(flow_dir, head=head or None, public_key=key)
        except NoFlow:
            raise _mistake(
                str(flow_dir),
                "no flow's evidence is there." if flow_dir.is_dir() else "not a flow's folder.",
                "Name one of WF_FLOW_EVIDENCE_DIR, such as reports/flows/<flow_id>.",
            ) from None
        if as_json:
            print_lines([json.dumps(asdict(outcome), sort_keys=True)])
        else:
            print_lines(f"not here: {path}" for path in outcome.not_here)
            print_lines(outcome.views)
            print_lines(outcome.findings)
            if outcome.head:
                print_lines([f"chain head: {outcome.head}"])
            if outcome.key_id:
                if key and outcome.ok:
                    signer = f"signed by the key {outcome.key_id}"
                else:
                    signer = f"says that it is signed by the key {outcome.key_id}"
                    signer += "" if key else "; check it with --public-key"
                print_lines([signer])
            print_lines([f"{flow_dir}: {'ok' if outcome.ok else 'NOT OK'}"])
    raise typer.Exit(0 if outcome.ok else 1)


@app.command()
def keygen(
    file: Annotated[
        Path | None,
        typer.Argument(help="Where the key goes; ~/.config/pytest-wf/signing-key.pem by default"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an Ed25519 key for WF_SIGNING_KEY_FILE: FILE is private, FILE.pub is public."""
    from pytest_wf.evidence.signing import default_place, make_key

    with user_errors(as_json):
        print_bare_header(Path.cwd(), err=as_json)
        place = Path(user.expanded(str(file or default_place()))).absolute()
        key, public_place, public = make_key(place)
        facts = {
            "private_key": str(place),
            "public_key": str(public_place),
            "key_id": key.signer.key_id,
        }
        if as_json:
            print_lines([json.dumps({**facts, "public_key_pem": public}, sort_keys=True)])
            return
        print_lines(f"{name}: {value}" for name, value in facts.items())
        print_lines(public.splitlines())
        print_lines([f"Set WF_SIGNING_KEY_FILE={place}, and keep {public_place.name} elsewhere."])


def _mistake(subject: str, reason: str, remedy: str) -> InputError:
    return InputError([Problem(subject, None, "", None, reason, remedy)])
