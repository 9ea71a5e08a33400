"""The lifecycle of a remote experiment, one test per phase. Run it with `pytest flows/ --wf-flow`.

Each phase calls one operation and says what must be true of its result. The court that
follows every phase is not written here, so no author can forget it. A phase of your own is a
function like these, with an unused code between two of them.
"""

import pytest


@pytest.mark.phase("P00")
def test_precheck(wf_flow):
    """Config, consent and disk are in order before any contact with a pod."""
    assert wf_flow.precheck().laws


@pytest.mark.phase("P10")
def test_provision(wf_flow):
    """A pod is rented, or there is a reason to rent none."""
    result = wf_flow.provision()
    assert result.skipped or result.target


@pytest.mark.phase("P20")
def test_target_bind(wf_flow):
    """One target is resolved and locked for the whole flow."""
    assert wf_flow.bind().target


@pytest.mark.phase("P30")
def test_pod_ready(wf_flow):
    """The pod answers, its identity is verified, and it has the config."""
    assert wf_flow.ready().state != "INIT"


@pytest.mark.phase("P40")
def test_bootstrap(wf_flow):
    """Prerequisites are on the pod and the helper scripts have run."""
    result = wf_flow.bootstrap()
    assert not result.missing, f"missing on the pod: {', '.join(result.missing)}"


@pytest.mark.phase("P50")
def test_checkout(wf_flow):
    """The repository is at the requested commit, with its environment."""
    assert wf_flow.checkout().git_sha


@pytest.mark.phase("P60")
def test_sweep_is_under_way(wf_flow):
    """The sweep is frozen as a campaign and launched on the pod, detached."""
    result = wf_flow.launch()
    assert result.skipped or result.campaign_id


@pytest.mark.phase("P70", rows=True)
def test_row_trains_to_its_end(wf_run):
    """The row's training succeeds; if not, the failure shows the end of its log."""
    wf_run.follow()
    assert wf_run.ok, wf_run.why()


@pytest.mark.phase("P70")
def test_monitor(wf_flow):
    """The result of every row is known, or its present state if the flow does not wait."""
    result = wf_flow.monitor()
    assert result.skipped or result.counts


@pytest.mark.phase("P80")
def test_fetch(wf_flow):
    """The requested results are here, every file verified; the court names any that are not."""
    wf_flow.fetch()


@pytest.mark.phase("P90")
def test_teardown(wf_flow):
    """The pod is kept or deleted, as the policy says, and never implicitly."""
    result = wf_flow.teardown()
    assert result.deleted or result.kept or wf_flow.state.session is None


@pytest.mark.phase("P99")
def test_summary(wf_flow):
    """The flow's verdict follows from the records of its phases."""
    assert wf_flow.summarise().phases
