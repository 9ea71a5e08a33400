"""What an installation changed, by the packages before and after it."""

from __future__ import annotations

from pytest_wf.agent.setup import install
from pytest_wf.agent.setup.virtualenv import Package


def listed(**versions: str) -> list[Package]:
    return [
        Package(f"{name}=={version}", "/site", version)
        for name, version in ((name.replace("_", "-"), one) for name, one in versions.items())
    ]


def test_packages_that_came_changed_and_went_are_counted_and_torch_s_are_named() -> None:
    before = listed(torch="2.9", numpy="1.0", old="1", triton="3.5", nvidia_nccl_cu12="2.1")
    after = listed(torch="2.9", numpy="2.0", torchvision="0.24", triton="3.6", books="1")
    assert install.changes(before, after) == {
        "added": 2,
        "changed": 2,
        "removed": 2,
        "of_torch": [
            "torchvision 0.24 added",
            "triton 3.5 to 3.6 changed",
            "nvidia-nccl-cu12 2.1 removed",
        ],
    }


def test_another_way_to_name_the_same_version_is_no_change() -> None:
    image = Package("torch @ file:///croot/torch_1", "/image", "2.3.0")
    ours = Package("torch==2.3.0", "/venv", "2.3.0")
    assert install.changes([image], [ours]) == {
        "added": 0,
        "changed": 0,
        "removed": 0,
        "of_torch": [],
    }
