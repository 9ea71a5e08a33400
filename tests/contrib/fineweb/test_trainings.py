"""What a sweep's rows read, told by their configs and overrides."""

from __future__ import annotations

from pytest_wf.contrib.fineweb import trainings
from pytest_wf.project.manifest import read


def test_each_pair_of_config_and_data_set_is_told_once() -> None:
    raw = b"""run_id,config,seed,overrides,notes
a,x.py,1,,
b,x.py,2,lr=1,
c,x.py,3,dataset=fineweb10B lr=1,
d,y.py,4,--dataset books,
e,y.py,5,--dataset=books,
f,y.py,6,--dataset,
g,z.py,7,dataset,
"""
    assert trainings(read(raw, "sweep.csv").rows) == [
        ["x.py", ""],
        ["x.py", "fineweb10B"],
        ["y.py", ""],
        ["y.py", "books"],
        ["z.py", ""],
    ]
