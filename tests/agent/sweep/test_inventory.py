"""Which run directories there are on a pod."""

from __future__ import annotations

from tests.support.sweep_pod import SweepPod, make_row


def test_runs_of_earlier_campaigns_and_of_the_archive_are_listed_with_their_state(
    pod: SweepPod,
) -> None:
    pod.trainer("sys.exit('broken' in sys.argv[-1])\n")
    pod.run_to_end(make_row("a"), make_row("b", "broken=1"))
    first = pod.status()["campaign_id"]
    pod.run_to_end(make_row("a", "lr=2"), force=True)
    (pod.outputs / "half").mkdir()
    listed = pod.client.request("inventory")["runs"]
    assert {run["path"]: run["state"] for run in listed} == {
        "a": "success",
        "b": "failed",
        "half": "unknown",
        f"_archive/{first}/a": "success",
    }
    commits = pod.client.request("ready", {"commits": True})["trained_commits"]
    assert commits == sorted({run["git_sha"] for run in listed} - {""})
    last = pod.status()["campaign_id"]
    owners = {run["path"]: run["campaign_id"] for run in listed}
    assert owners == {"a": last, "b": first, "half": "unknown", f"_archive/{first}/a": first}


def test_files_of_an_archived_run_are_listed_by_its_path(pod: SweepPod) -> None:
    pod.trainer("(out / 'ckpt.pt').write_text('x')\n")
    pod.run_to_end(make_row("a"))
    path = f"_archive/{pod.status()['campaign_id']}/a"
    pod.run_to_end(make_row("a", "lr=2"), force=True)
    args = {"run_ids": [path]}
    listed = pod.client.request("listing", args)["runs"][path]["files"]
    assert any(name.endswith("ckpt.pt") for name, *_ in listed)


def test_a_fetch_that_begins_tells_the_campaign_and_the_files_of_its_ended_rows(
    pod: SweepPod,
) -> None:
    pod.trainer("(out / 'result').write_text('x')\n")
    pod.run_to_end(make_row("a"))

    told = pod.client.request("fetch-begin", {"status": True})

    assert [row["run_id"] for row in told["campaign"]["rows"]] == ["a"]
    assert told["listing"] == pod.client.request("listing", {"run_ids": ["a"]})
