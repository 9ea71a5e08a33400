"""The checkpoint that an attempt goes on from is the newest one that is whole."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_wf.agent.results.checkpoints import Checkpoints
from pytest_wf.agent.run.resume.checkpoint import Search, newest
from tests.support.run_on_pod import PATTERNS


def _torch(size: int = 100) -> bytes:
    """What torch.save writes: a zip archive without compression."""
    raw = BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * size)
    return raw.getvalue()


def _safetensors(size: int = 12) -> bytes:
    tensor = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "w": tensor}).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * size


TORCH, SAFE = _torch(), _safetensors()
#: The files of a checkpoint as Hugging Face's Trainer leaves it.
HF = {
    "model.safetensors": SAFE,
    "training_args.bin": TORCH,
    "optimizer.pt": TORCH,
    "trainer_state.json": b'{"global_step": 1}\n',
}


class Out:
    """A trainer's folder, in which each file is later than those before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._now = 1_700_000_000

    def write(self, path: str, data: bytes = TORCH) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        self._now += 1
        os.utime(file, (self._now, self._now))

    def write_folder(self, path: str, files: dict[str, bytes]) -> None:
        for name, data in files.items():
            self.write(f"{path}/{name}", data)

    def newest(self, since_s: int = 0) -> str:
        return newest(str(self.folder), Checkpoints(PATTERNS), since_s * 10**9)


@pytest.fixture
def out(tmp_path: Path) -> Out:
    return Out(tmp_path)


def test_a_folder_without_checkpoints_has_none(out: Out) -> None:
    out.write("model.pt")
    assert out.newest() == ""
    assert newest(str(out.folder / "missing"), Checkpoints(PATTERNS)) == ""


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["ckpt_900.pt", "ckpt_1000.pt"], "ckpt_1000.pt"),
        (["ckpt_1000.pt", "ckpt_900.pt"], "ckpt_900.pt"),
        (["ckpt.pt", "deep/down/last.ckpt"], "deep/down/last.ckpt"),
        (["logs/version_0/checkpoints/epoch=1.ckpt"], "logs/version_0/checkpoints/epoch=1.ckpt"),
        (["checkpoints/step-1/model.pt", "checkpoints/step-2/model.pt"], "checkpoints/step-2"),
        (["checkpoints/a.pt", "checkpoints/latest.txt"], "checkpoints/a.pt"),
        (["checkpoints/ckpt-1.index"], "checkpoints"),
        (["checkpoint-last/global_step5/mp_rank_00_model_states.pt"], "checkpoint-last"),
        (["dcp/__0_0.distcp", "dcp/__1_0.distcp", "dcp/.metadata"], "dcp"),
        (["__0_0.distcp", ".metadata"], "."),
        (["ckpt_1.pt", ".ckpt_2.pt.XyZ", ".ckpt_3.pt", "tmp-x/ckpt_4.pt"], "ckpt_1.pt"),
    ],
)
def test_the_checkpoint_that_was_written_last_is_chosen(
    out: Out, files: list[str], expected: str
) -> None:
    for path in files:
        out.write(path)
    assert out.newest() == expected


def test_numbers_decide_between_checkpoints_of_the_same_time(out: Out) -> None:
    for path in ("ckpt_1000.pt", "ckpt_900.pt", "ckpt_99.pt"):
        out.write(path)
        os.utime(out.folder / path, (5, 5))
    assert out.newest() == "ckpt_1000.pt"


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("ckpt_2.pt", b""),
        ("ckpt_2.pt", TORCH[:-30]),
        ("ckpt_2.pt", TORCH[:60]),
        ("checkpoints/2.safetensors", SAFE[:-1]),
        ("checkpoints/2.safetensors", SAFE[:5]),
        ("checkpoints/2.safetensors", struct.pack("<Q", 1 << 62) + b"{}"),
        ("checkpoints/2.safetensors", struct.pack("<Q", 4) + b"[{]}"),
        ("checkpoints/2.safetensors", struct.pack("<Q", 8) + b'{"a": 1}'),
        (
            "checkpoints/2.safetensors",
            struct.pack("<Q", 35) + b'{"w": {"data_offsets": [0, 1e999]}}',
        ),
        ("checkpoints/2.tmp.ckpt", TORCH),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_a_part_of_a_file_is_passed_over_for_the_one_before(
    out: Out, name: str, part: bytes
) -> None:
    out.write("ckpt_1.pt")
    out.write(name, part)
    assert out.newest() == "ckpt_1.pt"


@pytest.mark.parametrize("kept", range(len(HF)))
@pytest.mark.parametrize("cut", [0, 20])
def test_a_checkpoint_of_hugging_face_counts_from_its_last_byte_on(
    out: Out, kept: int, cut: int
) -> None:
    out.write_folder("checkpoint-500", HF)
    files = list(HF.items())
    name, data = files[kept]
    part = dict(files[:kept])
    if cut and len(data) > cut:
        part[name] = data[:-cut]
    out.write_folder("checkpoint-1000", part or {"config.json": b"{}"})
    assert out.newest() == "checkpoint-500"
    out.write_folder("checkpoint-1000", HF)
    assert out.newest() == "checkpoint-1000"


@pytest.mark.parametrize(
    "files",
    [
        {"model.safetensors": SAFE, "training_args.bin": TORCH},
        {"__0_0.distcp": b"x"},
        {"model.safetensors": SAFE, "trainer_state.json": b'{"epoch": 1, "log'},
        {"model.safetensors": SAFE, "optimizer.pt.tmp": TORCH},
        {"model.safetensors": SAFE, "optimizer.bin": b""},
    ],
)
def test_what_shows_that_it_is_no_whole_checkpoint_needs_none_before_it(
    out: Out, files: dict[str, bytes]
) -> None:
    out.write_folder("checkpoint-1", files)
    assert out.newest() == ""


def test_a_link_is_not_followed(out: Out, tmp_path: Path) -> None:
    inside = Out(tmp_path / "out")
    out.write("elsewhere/ckpt_2.pt")
    inside.write("ckpt_1.pt")
    (inside.folder / "ckpt_3.pt").symlink_to(out.folder / "elsewhere" / "ckpt_2.pt")
    (inside.folder / "checkpoint-4").symlink_to(out.folder / "elsewhere")
    assert inside.newest() == "ckpt_1.pt"
    (tmp_path / "link").symlink_to(inside.folder)
    assert newest(str(tmp_path / "link"), Checkpoints(PATTERNS)) == ""


def test_what_was_written_before_the_training_began_does_not_count(out: Out) -> None:
    out.write("ckpt_1.pt")
    assert out.newest(since_s=1_700_000_001) == "ckpt_1.pt"
    assert out.newest(since_s=1_700_000_002) == ""


def test_a_name_that_no_report_could_show_is_left_out(out: Out) -> None:
    out.write("ckpt_1.pt")
    out.write("ckpt_2\n.pt")
    (out.folder / os.fsdecode(b"ckpt_\xff.pt")).write_bytes(TORCH)
    assert out.newest() == "ckpt_1.pt"


def test_a_search_ends_after_so_many_files(out: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        out.write(f"ckpt_{number}.pt")
    monkeypatch.setattr("pytest_wf.agent.run.resume.checkpoint.MAX_ENTRIES", 20)
    assert len(Search(str(out.folder), Checkpoints(PATTERNS)).run()) == 20


_PARTS = st.sampled_from(
    ["a", "checkpoints", "checkpoint-1", "checkpoint-20", "tmp", "ckpt_3.pt", "b.ckpt", "c.bin"]
)
_TREES = st.lists(
    st.tuples(st.lists(_PARTS, min_size=1, max_size=4), st.sampled_from([b"", b"x", TORCH])),
    max_size=8,
)


@given(tree=_TREES)
def test_whatever_the_tree_the_choice_is_there_and_nothing_whole_is_newer(
    tree: list[tuple[list[str], bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = Out(tmp_path_factory.mktemp("out"))
    files: dict[str, bytes] = {}
    for parts, data in tree:
        path = "/".join(parts)
        if not any(
            f == path or f.startswith(path + "/") or path.startswith(f + "/") for f in files
        ):
            files[path] = data
            out.write(path, data)
    patterns = Checkpoints(PATTERNS)
    named = [path for path in files if patterns.of(path)]
    chosen = out.newest()
    if chosen:
        assert any(path == chosen or path.startswith(chosen + "/") for path in named)
    single = [
        path
        for path in named
        if patterns.of(path) == path and "tmp" not in path.split("/") and files[path]
    ]
    if single:
        newest_single = single[-1]
        assert chosen, "a whole file is there"
        order = list(files)
        inside = [path for path in files if path == chosen or path.startswith(chosen + "/")]
        assert max(map(order.index, inside)) >= order.index(newest_single)


def _sharded(count: int, of: int) -> dict[str, bytes]:
    return {f"model-{n:05}-of-{of:05}.safetensors": SAFE for n in range(1, count + 1)}


def test_a_checkpoint_without_one_of_its_shards_is_passed_over(out: Out) -> None:
    index = {"model.safetensors.index.json": b"{}"}
    out.write_folder("checkpoint-1", {**_sharded(2, 2), **index})
    out.write_folder("checkpoint-2", {**_sharded(2, 3), **index})
    out.write_folder("checkpoint-3", _sharded(2, 2))
    assert out.newest() == "checkpoint-1"
    out.write_folder("checkpoint-3", index)
    assert out.newest() == "checkpoint-3"


def test_a_folder_of_descriptions_alone_is_no_checkpoint(out: Out) -> None:
    out.write("checkpoints/README.md", b"Put them here.")
    out.write("checkpoint-1/config.json", b"{}")
    assert out.newest() == ""
    out.write("checkpoints/model_10.json", b"{}")
    assert out.newest() == "checkpoints"


def test_a_checkpoint_of_deepspeed_is_whole_once_latest_names_it(out: Out) -> None:
    files = {"mp_rank_00_model_states.pt": TORCH, "zero_pp_rank_0_optim_states.pt": TORCH}
    for step in (10, 20):
        out.write_folder(f"checkpoints/global_step{step}", files)
        assert out.newest() == f"checkpoints/global_step{10 if step == 20 else step}"
        out.write("checkpoints/latest", b"global_step%d" % step)
        assert out.newest() == f"checkpoints/global_step{step}"
    # another process may write its part a moment later
    out.write("checkpoints/global_step20/zero_pp_rank_1_optim_states.pt")
    assert out.newest() == "checkpoints/global_step20"
    (out.folder / "checkpoints/global_step20/mp_rank_00_model_states.pt").write_bytes(TORCH[:-9])
    assert out.newest() == "checkpoints/global_step10"
