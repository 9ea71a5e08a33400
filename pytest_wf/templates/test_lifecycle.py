"""The life of a remote experiment, phase by phase. Run it with `pytest flows/ --wf-flow`.

Each phase calls one operation and says what must be true of its result. The court that
follows every phase is not written here: no author can forget it. A phase of your own is a
function like these, under a free code between two of them.
"""

import pytest


@pytest.mark.phase("P00")
def test_precheck(wf_flow):
    """Config, consent and disk are in order before anything remote is touched."""
    assert wf_flow.precheck().laws


@pytest.mark.phase("P10")
def test_provision(wf_flow):
    """A pod is rented, or there is a reason why none needs to be."""
    result = wf_flow.provision()
    assert result.skipped or result.target


@pytest.mark.phase("P20")
def test_target_bind(wf_flow):
    """One target is resolved and locked for the whole flow."""
    assert wf_flow.bind().target


@pytest.mark.phase("P30")
def test_pod_ready(wf_flow):
    """The pod answers, is the one it should be, and has the config."""
    assert wf_flow.ready().state != "INIT"


@pytest.mark.phase("P40")
def test_bootstrap(wf_flow):
    """Prerequisites are on the pod and the helper scripts have run."""
    result = wf_flow.bootstrap()
    assert not result.missing, f"missing on the pod: {', '.join(result.missing)}"


@pytest.mark.phase("P50")
def test_checkout(wf_flow):
    """The repository is at the asked commit, with its environment."""
    assert wf_flow.checkout().git_sha


@pytest.mark.phase("P60")
def test_sweep_is_under_way(wf_flow):
    """The sweep is frozen as a campaign and launched, detached, on the pod."""
    result = wf_flow.launch()
    assert result.skipped or result.campaign_id


@pytest.mark.phase("P70", rows=True)
def test_row_trains_to_its_end(wf_run):
    """The row's training ends well; its log tail explains it if not."""
    wf_run.follow()
    assert wf_run.ok, wf_run.why()


@pytest.mark.phase("P70")
def test_monitor(wf_flow):
    """Every row's fate is known: ended, or a snapshot where nobody waits."""
    result = wf_flow.monitor()
    assert result.skipped or result.counts


@pytest.mark.phase("P80")
def test_fetch(wf_flow):
    """The asked results are here, every file verified: the court names what is not."""
    wf_flow.fetch()


@pytest.mark.phase("P90")
def test_teardown(wf_flow):
    """The pod is kept or deleted, as the policy says, never implicitly."""
    result = wf_flow.teardown()
    assert result.deleted or result.kept or wf_flow.state.session is None


@pytest.mark.phase("P99")
def test_summary(wf_flow):
    """The flow's verdict is drawn from the records of its phases."""
    assert wf_flow.summarise().phases
