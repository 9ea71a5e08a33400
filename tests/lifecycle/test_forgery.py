"""Three hundred changes to a signed flow, its fetched runs and its views, by one without the key.

Most of them compute every digest anew, as an attacker would. With the public key each is found,
and the file is named.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pytest_wf.evidence import chain
from pytest_wf.evidence.event_reader import EVENTS, event_line
from pytest_wf.evidence.folder import files_of
from pytest_wf.evidence.signing import make_key, read_public_key
from pytest_wf.evidence.verify import verify_flow
from pytest_wf.wire.files import parse_json, pretty_json, sha256_bytes, sha256_file
from tests.support import forger
from tests.support.flow_project import Project

pytestmark = pytest.mark.slow


class Scene(NamedTuple):
    """Two signed flows of one project; the second one is the one to forge."""

    root: Path
    older: Path
    flow: Path
    key: Ed25519PublicKey

    @property
    def runs(self) -> Path:
        return self.root / "reports" / "runs"

    def evidence(self, code: str) -> Path:
        return self.flow / chain.phase_file(code, "evidence")

    def reclose(self, **how: Any) -> None:
        forger.reclose(self.flow, **how)


#: Changes the scene and returns the ends of the names that have to be found.
Act = Callable[[Scene, random.Random], set[str]]


@pytest.fixture(scope="module")
def scene(signed: tuple[Project, Any]) -> Scene:
    """The flow that fetched the runs, and one after it that found them here."""
    project, first = signed
    older = first.folder
    second = project.flow("--wf-sweep=skip", "--wf-fetch=all")
    assert second.code == 0, second.output
    return Scene(project.root, older, second.folder, read_public_key(project.root / "key.pem.pub"))


@pytest.fixture
def undo(scene: Scene) -> Iterator[Callable[[], None]]:
    """Puts the project's reports back as they were."""
    reports = scene.root / "reports"
    before = {name: path.read_bytes() for name, path in files_of(reports).items()}

    def restore() -> None:
        for name, path in files_of(reports).items():
            if path.is_symlink() or name not in before or path.read_bytes() != before[name]:
                path.unlink()
        for name, raw in before.items():
            if not (reports / name).exists():
                (reports / name).parent.mkdir(parents=True, exist_ok=True)
                (reports / name).write_bytes(raw)

    yield restore
    restore()


# ---- records, made to fit again ---------------------------------------------------------------


def swap_the_results_of_two_rows(scene: Scene, draw: random.Random) -> set[str]:
    path = scene.evidence("P70")
    rows = parse_json(path.read_bytes())["rows"]
    for field in {"index", *draw.sample(sorted(set(rows["one"]) - {"run_id"}), 5)}:
        rows["one"][field], rows["two"][field] = rows["two"][field], rows["one"][field]
    forger.edit(path, rows=rows)
    scene.reclose(keep=True)
    return {path.name, chain.SUMMARY}


def edit_a_field_of_evidence(scene: Scene, draw: random.Random) -> set[str]:
    path = scene.evidence(draw.choice(["P00", "P30", "P50", "P80", "P99"]))
    field = draw.choice(["git_sha", "resolved_target", "error", "harness_version"])
    forger.edit(path, **{field: f"forged{draw.random()}"})
    scene.reclose(keep=True)
    return {path.name}


def edit_the_last_event(scene: Scene, draw: random.Random) -> set[str]:
    lines = (scene.flow / EVENTS).read_bytes().splitlines()
    event = parse_json(lines[-1])
    event["facts"]["end"]["cost_usd"] = draw.random()
    (scene.flow / EVENTS).write_bytes(b"\n".join([*lines[:-1], event_line(event)]))
    scene.reclose(keep=True)
    return {EVENTS, chain.SUMMARY}


def sign_all_of_it_with_another_key(scene: Scene, draw: random.Random) -> set[str]:
    path = scene.evidence("P50")
    forger.edit(path, git_sha=f"{draw.getrandbits(160):040x}")
    other = scene.root / f"other-{draw.getrandbits(64)}.pem"
    scene.reclose(key=make_key(other)[0])
    return {chain.SIGNATURE, chain.VIEWS_SIGNATURE}


def take_the_signatures_away(scene: Scene, draw: random.Random) -> set[str]:
    forger.edit(scene.evidence("P70"), git_sha=f"{draw.random()}")
    scene.reclose()
    return {chain.SIGNATURE, chain.VIEWS_SIGNATURE}


def remove_a_phase(scene: Scene, draw: random.Random) -> set[str]:
    code = draw.choice(["P10", "P30", "P40", "P60", "P90"])
    for path in scene.flow.glob(f"phase.{code}.*"):
        path.unlink()
    lines = (scene.flow / EVENTS).read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if parse_json(line)["phase"] != code]
    (scene.flow / EVENTS).write_bytes(b"".join(kept))
    _close_the_summary(scene, keep_views=True)
    return {chain.phase_file(code, kind) for kind in chain.KINDS}


def edit_the_summary(scene: Scene, draw: random.Random) -> set[str]:
    changes: list[dict[str, Any]] = [
        {"ok": False, "exit_code": 1},
        {"rows": []},
        {"counts": {"rows_ok": 7}},
        {"duration_s": draw.random()},
        {"has_views": False},
        {"signed_by": None},
    ]
    _close_the_summary(scene, **draw.choice(changes))
    return {chain.SUMMARY}


def truncate_the_events(scene: Scene, draw: random.Random) -> set[str]:
    lines = (scene.flow / EVENTS).read_bytes().splitlines(keepends=True)
    (scene.flow / EVENTS).write_bytes(b"".join(lines[: draw.randrange(1, len(lines))]))
    _close_the_summary(scene)
    return {EVENTS}


def write_a_record_otherwise(scene: Scene, draw: random.Random) -> set[str]:
    """The same content: a BOM, other blanks, a doubled key, another line end, an escape."""
    path = draw.choice(sorted(scene.flow.glob("*.json")))
    raw = path.read_bytes()
    first = json.dumps(next(iter(parse_json(raw))))
    ways = [
        b"\xef\xbb\xbf" + raw,
        raw.replace(b"\n", b"\r\n"),
        raw.replace(b"  ", b"\t"),
        raw.rstrip(b"\n"),
        raw + b"\n",
        raw.replace(b"{", b"{" + first.encode() + b": null,", 1),
        raw.replace(b"a", b"\\u0061", 1),
    ]
    path.write_bytes(draw.choice([way for way in ways if way != raw]))
    if path.name not in (chain.SUMMARY, chain.SIGNATURE, chain.VIEWS, chain.VIEWS_SIGNATURE):
        _close_the_summary(scene)
    return {path.name}


# ---- other flows in the place of this one -----------------------------------------------------


def replay_an_older_summary(scene: Scene, draw: random.Random) -> set[str]:
    for name in (chain.SUMMARY, chain.SIGNATURE):
        shutil.copy(scene.older / name, scene.flow / name)
    return {chain.START, EVENTS, chain.phase_file("P80", "verdict")}


def replay_older_views(scene: Scene, draw: random.Random) -> set[str]:
    for name in (chain.VIEWS, chain.VIEWS_SIGNATURE):
        shutil.copy(scene.older / name, scene.flow / name)
    return {chain.VIEWS}


def replay_an_older_phase(scene: Scene, draw: random.Random) -> set[str]:
    code = draw.choice(["P00", "P20", "P40", "P70", "P80"])
    for kind in chain.KINDS:
        name = chain.phase_file(code, kind)
        shutil.copy(scene.older / name, scene.flow / name)
    _close_the_summary(scene)
    return {chain.phase_file(code, "evidence"), chain.phase_file(code, "verdict")}


def put_the_older_flow_under_the_newer_name(scene: Scene, draw: random.Random) -> set[str]:
    for name, path in files_of(scene.flow).items():
        if not (scene.older / name).exists():
            path.unlink()
    shutil.copytree(scene.older, scene.flow, dirs_exist_ok=True)
    return {scene.flow.name}


# ---- fetched runs -----------------------------------------------------------------------------


def exchange_two_runs(scene: Scene, draw: random.Random) -> set[str]:
    one, two, aside = (scene.runs / name for name in ("one", "two", "aside"))
    one.rename(aside)
    two.rename(one)
    aside.rename(two)
    return {"one/FETCHED.json", "two/FETCHED.json"}


def edit_a_result(scene: Scene, draw: random.Random) -> set[str]:
    """With the record beside it made to fit, as it was, or gone."""
    path = _a_result(scene, draw)
    run = scene.runs / path.relative_to(scene.runs).parts[0]
    path.write_bytes(path.read_bytes() + draw.choice([b" ", b"\n", b"\0"]))
    way = draw.randrange(3)
    if way == 1:
        _fit_the_record(run)
    elif way == 2:
        (run / "FETCHED.json").unlink()
    return {str(path.relative_to(scene.runs))}


def edit_a_result_and_both_records(scene: Scene, draw: random.Random) -> set[str]:
    path = _a_result(scene, draw)
    run = scene.runs / path.relative_to(scene.runs).parts[0]
    path.write_bytes(draw.randbytes(20))
    _fit_the_record(run)
    own = scene.flow / f"fetched.{run.name}.json"
    shutil.copy(run / "FETCHED.json", own)
    evidence = scene.evidence("P80")
    artifacts = parse_json(evidence.read_bytes())["artifacts"]
    for artifact in artifacts:
        if artifact["path"].endswith(own.name):
            artifact.update(sha256=sha256_file(str(own)), bytes=own.stat().st_size)
    forger.edit(evidence, artifacts=artifacts)
    scene.reclose(keep=True)
    return {own.name, evidence.name}


def remove_a_result(scene: Scene, draw: random.Random) -> set[str]:
    path = _a_result(scene, draw)
    path.unlink()
    return {str(path.relative_to(scene.runs))}


def plant_a_file(scene: Scene, draw: random.Random) -> set[str]:
    places = [scene.runs / "one", scene.runs / "two" / "out", scene.flow]
    odd = ["notes.txt", ".hidden", "a/b/c", "summary.json ", "\u0455ummary.json", "n\u0303", "x\ny"]
    folder, name = draw.choice(places), draw.choice(odd)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(draw.randbytes(3))
    return {chain.one_line(name)}


def put_a_link_in_a_result_s_place(scene: Scene, draw: random.Random) -> set[str]:
    path = _a_result(scene, draw)
    copy = scene.root / f"copy-{draw.getrandbits(64)}"
    path.rename(copy)
    path.symlink_to(copy)
    copy.write_bytes(copy.read_bytes())
    return {str(path.relative_to(scene.runs))}


# ---- views ------------------------------------------------------------------------------------


def edit_a_view(scene: Scene, draw: random.Random) -> set[str]:
    """Alone, or with the record of views made to fit."""
    record = parse_json((scene.flow / chain.VIEWS).read_bytes())
    view = draw.choice([v for v in record["views"] if v["files"] is None])
    path = scene.root / view["path"]
    path.write_bytes(path.read_bytes().replace(b"e", b"3", 1 + draw.randrange(9)))
    if draw.random() < 0.5:
        return {view["path"]}
    view["sha256"] = sha256_file(str(path))
    forger.write(scene.flow / chain.VIEWS, record)
    return {chain.VIEWS}


def edit_a_result_of_allure(scene: Scene, draw: random.Random) -> set[str]:
    path = draw.choice(sorted((scene.root / "reports" / "allure-results").iterdir()))
    draw.choice([Path.unlink, lambda p: p.write_bytes(p.read_bytes() + b" ")])(path)
    return {path.name}


def remove_the_record_of_views(scene: Scene, draw: random.Random) -> set[str]:
    (scene.flow / chain.VIEWS).unlink()
    if draw.random() < 0.5:
        (scene.flow / chain.VIEWS_SIGNATURE).unlink()
        _close_the_summary(scene, has_views=False)
        return {chain.SUMMARY}
    return {chain.VIEWS}


# ---- names ------------------------------------------------------------------------------------


def rename_a_file_to_a_name_that_looks_like_it(scene: Scene, draw: random.Random) -> set[str]:
    path = scene.flow / draw.choice([EVENTS, chain.START, "phase.P40.evidence.json"])
    other = path.with_name(
        draw.choice([path.name.upper(), path.name.replace("s", "\u0455"), f"{path.name}\u200b"])
    )
    path.rename(other)
    return {path.name, chain.one_line(other.name)}


def drop_one_envelope(scene: Scene, draw: random.Random) -> set[str]:
    name = draw.choice([chain.SIGNATURE, chain.VIEWS_SIGNATURE, chain.PROVENANCE_SIGNATURE])
    (scene.flow / name).unlink()
    return {name}


def swap_the_envelopes(scene: Scene, draw: random.Random) -> set[str]:
    one, other = (scene.flow / n for n in (chain.SIGNATURE, chain.VIEWS_SIGNATURE))
    raw = one.read_bytes()
    shutil.copy(other, one)
    other.write_bytes(raw)
    return {one.name, other.name}


ACTS: tuple[Act, ...] = (
    swap_the_results_of_two_rows,
    edit_a_field_of_evidence,
    edit_the_last_event,
    sign_all_of_it_with_another_key,
    take_the_signatures_away,
    remove_a_phase,
    edit_the_summary,
    truncate_the_events,
    write_a_record_otherwise,
    replay_an_older_summary,
    replay_older_views,
    replay_an_older_phase,
    put_the_older_flow_under_the_newer_name,
    exchange_two_runs,
    edit_a_result,
    edit_a_result_and_both_records,
    remove_a_result,
    plant_a_file,
    put_a_link_in_a_result_s_place,
    edit_a_view,
    edit_a_result_of_allure,
    remove_the_record_of_views,
    rename_a_file_to_a_name_that_looks_like_it,
    drop_one_envelope,
    swap_the_envelopes,
)


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_with_the_public_key_each_change_is_found_and_named(
    scene: Scene, undo: Callable[[], None], act: Act
) -> None:
    assert verify_flow(scene.flow, public_key=scene.key).ok
    draw = random.Random(act.__name__)
    for _ in range(300 // len(ACTS)):
        expected = act(scene, draw)
        findings = verify_flow(scene.flow, public_key=scene.key).findings
        named = [line.split(": ")[0] for line in findings]
        assert all(any(name.endswith(end) for name in named) for end in expected), findings
        undo()
    assert verify_flow(scene.flow, public_key=scene.key).ok


def test_a_consistent_rewrite_is_found_through_the_key_and_through_nothing_else_in_the_folder(
    scene: Scene, undo: Callable[[], None]
) -> None:
    edit_a_field_of_evidence(scene, random.Random(1))
    scene.reclose()
    assert verify_flow(scene.flow).findings == []
    assert not verify_flow(scene.flow, public_key=scene.key).ok


def test_times_modes_and_hard_links_are_no_change(scene: Scene, undo: Callable[[], None]) -> None:
    for path in [*files_of(scene.flow).values(), *files_of(scene.runs).values()]:
        copy = scene.root / "copy"
        shutil.copyfile(path, copy)
        path.unlink()
        os.link(copy, path)
        copy.unlink()
        path.chmod(0o600)
        os.utime(path, (1, 1))
    assert verify_flow(scene.flow, public_key=scene.key).findings == []


# ---- tools of the forger ----------------------------------------------------------------------


def _close_the_summary(scene: Scene, *, keep_views: bool = False, **changes: Any) -> None:
    """Let the summary state what the files are now; the records may contradict it."""
    path = scene.flow / chain.SUMMARY
    later = (chain.SUMMARY, chain.SIGNATURE, chain.VIEWS, chain.VIEWS_SIGNATURE)
    files = {n: sha256_file(str(p)) for n, p in files_of(scene.flow).items() if n not in later}
    summary = {**parse_json(path.read_bytes()), "files": files, **changes}
    forger.write(path, {**summary, "chain_head": chain.last_head(files)})


def _a_result(scene: Scene, draw: random.Random) -> Path:
    files = [path for name, path in files_of(scene.runs).items() if path.name != "FETCHED.json"]
    return draw.choice([path for path in files if ".superseded" not in path.parts])


def _fit_the_record(run: Path) -> None:
    """Let the record beside a run's results state what they are now."""
    record = parse_json((run / "FETCHED.json").read_bytes())
    for file in record["files"]:
        raw = (run / file["path"]).read_bytes()
        file.update(bytes=len(raw), sha256=sha256_bytes(raw))
    (run / "FETCHED.json").write_bytes(pretty_json(record))
