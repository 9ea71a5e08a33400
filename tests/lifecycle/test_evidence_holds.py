"""A flow's evidence against those who touch it: bytes, files, lines, the tail, the whole."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import in_toto_attestation.predicates.provenance.v1.provenance_pb2 as slsa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf import json_format
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage
from jsonschema import Draft202012Validator
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

from pytest_wf import schemas
from pytest_wf.evidence import chain, dsse
from pytest_wf.evidence.dsse import VIEWS_TYPE
from pytest_wf.evidence.event_reader import EVENTS, event_line, read_events
from pytest_wf.evidence.signing import read_public_key
from pytest_wf.evidence.verify import VerifyResult, verify_flow
from pytest_wf.wire.files import parse_json, sha256_file
from tests.support import forger
from tests.support.waiting import until

pytestmark = pytest.mark.slow

Change = tuple[set[str], dict[str, bytes | None]]


@pytest.fixture
def key(signed: Any) -> Ed25519PublicKey:
    """The public key that the flow's project signs with."""
    return read_public_key(signed[0].root / "key.pem.pub")


@pytest.fixture
def folder(signed: Any, tmp_path: Path) -> Path:
    """A copy of the signed flow's folder, to be touched."""
    copy = tmp_path / "copy"
    shutil.copytree(signed[1].folder, copy)
    return copy


# ---- what is written --------------------------------------------------------------------------


def test_events_fit_their_schema_and_tell_every_side_effect_in_pairs(signed: Any) -> None:
    raw = (signed[1].folder / EVENTS).read_bytes()
    read = read_events(raw)
    assert (read.broken, read.torn, read.open_intents) == (None, False, [])
    validator = Draft202012Validator(schemas.load("event.schema.json"))
    for event in read.events:
        validator.validate(event)
    ops = [e["op"] for e in read.events if e["kind"] == "intent"]
    assert ops.count("phase") == 11
    effects = [op for op in ops if op not in ("phase", "agent-start")]
    assert effects == [
        *("flow", "connect", "lease-take", "ready", "bootstrap", "upload"),
        *("checkout", "campaign-start", "fetch-begin", "fetch-commit", "fetch-end"),
    ]


def test_each_verdict_binds_the_events_before_it(signed: Any) -> None:
    digests = read_events((signed[1].folder / EVENTS).read_bytes()).digests
    counts = []
    for path in sorted(signed[1].folder.glob("phase.*.verdict.json")):
        verdict = json.loads(path.read_bytes())
        assert verdict["events_sha256"] == digests[verdict["events_count"] - 1]
        counts.append(verdict["events_count"])
    assert len(counts) == 11
    assert counts == sorted(set(counts))


def test_the_head_is_printed_in_junit_and_on_the_pod(signed: Any) -> None:
    project, flown = signed
    summary = flown.record("flow.summary")
    head, digest = summary["chain_head"], summary["digest"]
    assert flown.line("chain head: ") == f"chain head: {head}"
    assert flown.line("summary digest: ") == f"summary digest: {digest}"
    junit = (project.root / "reports" / "junit.xml").read_text()
    kept = dict(re.findall(r'name="wf\.(chain_head|digest)" value="([0-9a-f]{64})"', junit))
    assert kept == {"chain_head": head, "digest": digest}
    (copy,) = (project.outputs / "_manifests").glob("flow-f-*.json")
    assert json.loads(copy.read_bytes())["chain_head"] == head


def test_what_was_drawn_is_recorded_last_and_signed(signed: Any, key: Ed25519PublicKey) -> None:
    project, flown = signed
    raw = (flown.folder / chain.VIEWS).read_bytes()
    record = json.loads(raw)
    Draft202012Validator(schemas.load("flow.views.schema.json")).validate(record)
    views = {view["kind"]: view for view in record["views"]}
    assert sorted(views) == ["allure", "checklist", "junit", "page"]
    for kind in ("checklist", "junit", "page"):
        path = project.root / views[kind]["path"]
        assert views[kind]["sha256"] == sha256_file(str(path))
        assert path.stat().st_mtime_ns <= (flown.folder / chain.VIEWS).stat().st_mtime_ns
    assert dsse.opened((flown.folder / chain.VIEWS_SIGNATURE).read_bytes(), VIEWS_TYPE, key) == raw
    result = verify_flow(flown.folder, public_key=key)
    assert result.views == [f"{view['path']}: ok" for view in record["views"]]


def test_another_implementation_accepts_the_signatures_and_rejects_changed_ones(
    signed: Any, key: Ed25519PublicKey
) -> None:
    theirs = SSlibKey.from_crypto(key)
    for name, kind in (
        (chain.START_SIGNATURE, "application/vnd.pytest-wf.flow-start+json"),
        (chain.SIGNATURE, "application/vnd.pytest-wf.flow-summary+json"),
        (chain.PROVENANCE_SIGNATURE, "application/vnd.in-toto+json"),
    ):
        raw = (signed[1].folder / name).read_bytes()
        envelope = Envelope.from_dict(json.loads(raw))
        assert envelope.verify([theirs], 1) == {theirs.keyid: theirs}
        assert envelope.payload_type == kind
        payload = (signed[1].folder / name.replace(".dsse", "")).read_bytes()
        assert envelope.payload == payload
        envelope.payload = payload.replace(b"true", b"null") + b" "
        with pytest.raises(VerificationError):
            envelope.verify([theirs], 1)


def test_the_provenance_is_slsa_v1_to_another_implementation(signed: Any) -> None:
    project, flown = signed
    raw = (flown.folder / chain.PROVENANCE).read_text()
    # refuses every field that the published definitions do not have
    statement = json_format.Parse(raw, StatementMessage())
    Statement.copy_from_pb(statement).validate()
    assert statement.predicate_type == "https://slsa.dev/provenance/v1"
    predicate = json.loads(raw)["predicate"]
    parsed = json_format.ParseDict(predicate, slsa.Provenance())
    assert parsed.run_details.metadata.invocation_id == flown.folder.name
    definition = predicate["buildDefinition"]
    assert definition["internalParameters"]["slsaBuildLevel"] == 1
    assert definition["internalParameters"]["claim"].startswith("SLSA Build L1: ")
    summary = flown.record("flow.summary")
    assert parsed.run_details.builder.id.endswith(f":key:{summary['signed_by']['key_id']}")
    (code,) = definition["resolvedDependencies"]
    assert code["digest"] == {"gitCommit": flown.record("phase.P50.evidence")["git_sha"]}
    runs = project.root / "reports" / "runs"
    stated = {s["name"]: s["digest"]["sha256"] for s in json.loads(raw)["subject"]}
    here = {
        p.relative_to(runs).as_posix(): sha256_file(str(p))
        for p in runs.rglob("*/*")
        if p.is_file() and p.name != "FETCHED.json"
    }
    assert stated == here
    assert {"one/metrics.jsonl", "two/stdout.log"} <= set(stated)


# ---- a thousand ways to touch it --------------------------------------------------------------


def edit_a_byte(files: dict[str, bytes], draw: random.Random) -> Change:
    name = draw.choice([n for n in sorted(files) if files[n]])
    raw = bytearray(files[name])
    at = draw.randrange(len(raw))
    raw[at] = draw.choice([b for b in range(256) if b != raw[at]])
    return {name}, {name: bytes(raw)}


def remove_a_file(files: dict[str, bytes], draw: random.Random) -> Change:
    name = draw.choice(sorted(files))
    return {name}, {name: None}


def insert_a_byte_or_a_file(files: dict[str, bytes], draw: random.Random) -> Change:
    if draw.random() < 0.5:
        name = draw.choice(["notes.txt", "phase.P40.extra.json", ".x", "flow.end.json"])
        return {name}, {name: draw.randbytes(draw.randrange(20))}
    name = draw.choice(sorted(files))
    at = draw.randrange(len(files[name]) + 1)
    return {name}, {name: files[name][:at] + draw.randbytes(1) + files[name][at:]}


def touch_lines_of_the_log(files: dict[str, bytes], draw: random.Random) -> Change:
    lines = files[EVENTS].splitlines(keepends=True)
    one, other = draw.sample(range(len(lines)), 2)
    act = draw.randrange(4)
    if act == 0:
        lines[one], lines[other] = lines[other], lines[one]
    elif act == 1:
        lines.insert(other, lines.pop(one))
    elif act == 2:
        lines.insert(other, lines[one])
    else:
        del lines[one:]
    return {EVENTS}, {EVENTS: b"".join(lines)}


def swap_two_files(files: dict[str, bytes], draw: random.Random) -> Change:
    one, other = draw.sample([n for n in sorted(files) if n != chain.SUMMARY], 2)
    same = files[one] == files[other]
    return (set() if same else {one, other}), {one: files[other], other: files[one]}


ACTS = (
    edit_a_byte,
    remove_a_file,
    insert_a_byte_or_a_file,
    touch_lines_of_the_log,
    swap_two_files,
)


def named(result: VerifyResult) -> set[str]:
    return {line.partition(":")[0] for line in result.findings}


@pytest.mark.parametrize("with_key", [False, True], ids=["without a key", "with the key"])
@pytest.mark.parametrize("act", ACTS)
def test_whatever_is_touched_is_found_and_named(
    folder: Path, key: Ed25519PublicKey, act: Callable[..., Change], with_key: bool
) -> None:
    given = key if with_key else None
    assert verify_flow(folder, public_key=given).findings == []
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    draw = random.Random(f"{act.__name__} {with_key}")
    done = 0
    while done < 100:
        expected, change = act(files, draw)
        if all(files.get(name) == raw for name, raw in change.items()):
            continue  # nothing was changed: lines moved onto themselves, twins swapped
        write(folder, change)
        result = verify_flow(folder, public_key=given)
        assert (result.ok, named(result)) == (False, expected), result.findings
        write(folder, {name: files.get(name) for name in change})
        done += 1
    assert verify_flow(folder, public_key=given).ok


def write(folder: Path, change: dict[str, bytes | None]) -> None:
    for name, raw in change.items():
        if raw is None:
            (folder / name).unlink(missing_ok=True)
        else:
            (folder / name).write_bytes(raw)


def test_moved_lines_and_swapped_files_are_called_reordered(folder: Path) -> None:
    lines = (folder / EVENTS).read_bytes().splitlines(keepends=True)
    lines[7], lines[9] = lines[9], lines[7]
    (folder / EVENTS).write_bytes(b"".join(lines))
    one, other = folder / "phase.P40.evidence.json", folder / "phase.P50.evidence.json"
    swapped = one.read_bytes(), other.read_bytes()
    other.write_bytes(swapped[0])
    one.write_bytes(swapped[1])
    kinds = [line.split(":")[:2] for line in verify_flow(folder).findings]
    assert kinds == [[p, " reordered"] for p in (EVENTS, one.name, other.name)]


# ---- the tail, and the whole ------------------------------------------------------------------


def cut(folder: Path) -> None:
    """Take the last two phases away, and close the rest as one who may write it could."""
    for path in folder.glob("phase.P9*"):
        path.unlink()
    lines = (folder / EVENTS).read_bytes().splitlines(keepends=True)
    events = [parse_json(line) for line in lines]
    kept = [line for line, e in zip(lines, events, strict=True) if (e["phase"] or "") < "P90"]
    (folder / EVENTS).write_bytes(b"".join(kept))
    forger.reclose(folder)


def test_a_cut_tail_is_found_through_the_head_and_through_the_signature(
    signed: Any, folder: Path, key: Ed25519PublicKey
) -> None:
    head = signed[1].record("flow.summary")["chain_head"]
    assert verify_flow(folder, head=head, public_key=key).ok
    cut(folder)
    assert verify_flow(folder).findings == []  # it fits itself: nothing in it tells
    (line,) = verify_flow(folder, head=head).findings
    assert line.startswith("phase.P80.verdict.json: cut: the chain was cut or replaced")
    assert named(verify_flow(folder, public_key=key)) == {chain.SIGNATURE, chain.VIEWS_SIGNATURE}
    told = signed[0].wf("verify", str(folder), "--head", head)
    assert (told.returncode, "phase.P80.verdict.json: cut" in told.stdout) == (1, True)


def test_a_summary_written_anew_is_found_through_its_digest(
    signed: Any, folder: Path, key: Ed25519PublicKey
) -> None:
    summary = json.loads((folder / chain.SUMMARY).read_bytes())
    digest, head = summary["digest"], summary["chain_head"]
    assert verify_flow(folder, head=digest).ok
    lines = (folder / EVENTS).read_bytes().splitlines()
    end = parse_json(lines[-1])
    end["facts"]["end"]["cost_usd"] = 1.0
    (folder / EVENTS).write_bytes(b"\n".join([*lines[:-1], event_line(end)]))
    forger.reclose(folder)
    assert verify_flow(folder, head=head).ok  # the head is that of the verdicts alone
    assert not verify_flow(folder, head=digest).ok
    assert not verify_flow(folder, public_key=key).ok


def test_another_flow_in_its_place_is_found_by_key_and_head(signed: Any, project: Any) -> None:
    head = signed[1].record("flow.summary")["chain_head"]
    mine = str(signed[0].root / "key.pem.pub")
    assert project.wf("verify", str(signed[1].folder), "--public-key", mine).returncode == 0
    assert project.wf("keygen", "other.pem").returncode == 0
    project.configure(WF_SIGNING_KEY_FILE="other.pem")
    replaced = str(project.flow("--wf-sweep=skip").folder)
    whole = project.wf("verify", replaced, "--public-key", "other.pem.pub")
    assert whole.returncode == 0, whole.stdout  # as good as the first, and somebody else's
    told = project.wf("verify", replaced, "--public-key", mine)
    assert told.returncode == 1
    assert f"{chain.SIGNATURE}: changed: it names key " in told.stdout
    assert project.wf("verify", replaced, "--head", head).returncode == 1


# ---- flows that do not come to a good end -----------------------------------------------------


def test_of_a_flow_killed_in_mid_work_verify_tells_what_was_under_way(project: Any) -> None:
    begun, go_on = project.root / "begun", project.root / "go-on"
    script = project.root / "wait.sh"
    script.write_text(f"touch {begun}\nwhile [ ! -e {go_on} ]; do sleep 0.05; done\n")
    project.configure(BOOTSTRAP_SCRIPT=str(script))
    run = project.start()
    until(begun.exists, "the bootstrap script begins")
    run.kill()
    go_on.touch()
    told = project.wf("verify", str(run.folder))
    assert told.returncode == 1
    found = re.search(r"flow\.summary\.json: removed: the flow has not ended.*", told.stdout)
    assert found is not None, told.stdout
    assert re.search(r"event \d+ has no outcome: bootstrap in P40 was under way", found[0])
    assert len([line for line in told.stdout.splitlines() if line.startswith("phase.")]) == 0


def test_a_key_that_others_can_read_stops_the_flow_before_anything_remote(project: Any) -> None:
    assert project.wf("keygen", "key.pem").returncode == 0
    (project.root / "key.pem").chmod(0o644)
    project.configure(WF_SIGNING_KEY_FILE="key.pem")
    flown = project.flow()
    assert flown.code == 1
    assert "others may read it (mode 644). Run `chmod 600" in flown.output
    assert not project.outputs.exists()
    assert flown.record("flow.summary")["failed_phase"] == "P00"
    assert not (flown.folder / chain.SIGNATURE).exists()
